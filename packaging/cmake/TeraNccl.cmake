# NCCL 2.18 or later and CUDA's runtime, where both are found: TERA_NCCL and the target TeraNccl::nccl. NCCL may come with the
# toolkit, from apt (libnccl-dev) or from pip (nvidia-nccl-cu13), or lie under NCCL_ROOT.
set(TERA_NCCL OFF)
find_package(CUDAToolkit QUIET)
find_program(TERA_PYTHON NAMES python3)
if(TERA_PYTHON)
  execute_process(COMMAND ${TERA_PYTHON} -c "import sysconfig; print(sysconfig.get_paths()['purelib'])"
                  OUTPUT_VARIABLE TERA_PYTHON_PACKAGES OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${NCCL_ROOT} $ENV{NCCL_ROOT} PATH_SUFFIXES include
          PATHS ${CUDAToolkit_INCLUDE_DIRS} ${TERA_PYTHON_PACKAGES}/nvidia/nccl/include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${NCCL_ROOT} $ENV{NCCL_ROOT} PATH_SUFFIXES lib lib64
             PATHS ${CUDAToolkit_LIBRARY_DIR} ${TERA_PYTHON_PACKAGES}/nvidia/nccl/lib)
set(TERA_NCCL_VERSION 0)
if(NCCL_INCLUDE_DIR)
  file(STRINGS ${NCCL_INCLUDE_DIR}/nccl.h TERA_NCCL_NUMBERS REGEX "^#define NCCL_(MAJOR|MINOR) +[0-9]+")
  string(REGEX REPLACE "[^0-9;]" "" TERA_NCCL_NUMBERS "${TERA_NCCL_NUMBERS}")
  list(JOIN TERA_NCCL_NUMBERS "." TERA_NCCL_VERSION)
endif()
if(TARGET CUDA::cudart_static AND NCCL_LIBRARY AND TERA_NCCL_VERSION VERSION_GREATER_EQUAL 2.18)
  set(TERA_NCCL ON)
  add_library(TeraNccl::nccl UNKNOWN IMPORTED)
  set_target_properties(TeraNccl::nccl PROPERTIES IMPORTED_LOCATION ${NCCL_LIBRARY}
                                                  INTERFACE_INCLUDE_DIRECTORIES ${NCCL_INCLUDE_DIR})
  message(STATUS "NCCL ${TERA_NCCL_VERSION}: ${NCCL_LIBRARY}")
else()
  message(STATUS "NCCL 2.18 with the CUDA toolkit not found: no ranks with a GPU each (package libnccl-dev)")
endif()
