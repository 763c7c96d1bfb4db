# Compiler settings shared by every target, and the two helpers that make targets.
include(GNUInstallDirs)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
# -g1 keeps stack traces and halves the build; asserts on contracts (TERA_CHECK) never depend on NDEBUG.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1 -D_GLIBCXX_ASSERTIONS")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Without these two ccache compiles every source that uses a precompiled header anew.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

add_library(tera_options INTERFACE)
# -ffp-contract=off: a fused multiply-add happens where a kernel asks for it, never where a compiler
# happens to find one, so results do not depend on optimisation level.
target_compile_options(tera_options INTERFACE -Wall -Wextra -Wconversion -Wshadow -ffp-contract=off
                                              $<$<BOOL:${TERA_WERROR}>:-Werror>)
target_include_directories(tera_options INTERFACE ${CMAKE_SOURCE_DIR})
# A finding of any sanitizer ends the program: without -fno-sanitize-recover undefined behaviour is only
# printed and the test passes.
if(TERA_SANITIZE)
  target_compile_options(tera_options INTERFACE -fsanitize=${TERA_SANITIZE} -fno-sanitize-recover=all
                                                -fno-omit-frame-pointer)
  target_link_options(tera_options INTERFACE -fsanitize=${TERA_SANITIZE})
endif()

# tera_add_library(name SOURCES a.cpp ... DEPENDS tera_base ...): one static library per folder.
function(tera_add_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC tera_options ${arg_DEPENDS} PRIVATE ${arg_PRIVATE_DEPENDS})
endfunction()

# GoogleTest's headers, and Qt's, are read once, for the first program that needs them; the others take them
# from there. A program with Qt is compiled with other flags, so there are two such sets.
function(tera_share_headers name)
  set(kind plain)
  set(headers <gmock/gmock.h> <gtest/gtest.h> <filesystem> <map> <regex> <string> <vector>)
  if("${ARGN}" MATCHES "Qt6::")
    set(kind qt)
    list(APPEND headers <QtTest/QtTest> <QtWidgets/QtWidgets>)
  endif()
  get_property(first GLOBAL PROPERTY TERA_SHARED_HEADERS_${kind})
  if(first)
    target_precompile_headers(${name} REUSE_FROM ${first})
  else()
    target_precompile_headers(${name} PRIVATE ${headers})
    set_property(GLOBAL PROPERTY TERA_SHARED_HEADERS_${kind} ${name})
  endif()
endfunction()

# tera_add_test(name SOURCES a_test.cpp ... DEPENDS tera_plan ... [LABELS threads] [TIMEOUT s]):
# one GoogleTest program; every TEST becomes a ctest entry. A test found that way has one label: several
# are joined to one, and `ctest -L threads` finds gui_threads too. Code that starts threads is labelled so.
function(tera_add_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(TERA_SANITIZE)
    math(EXPR arg_TIMEOUT "5 * ${arg_TIMEOUT}")  # instrumented code is that much slower
  endif()
  add_executable(${name} ${arg_SOURCES})
  # tera_base for all: the headers they share are read with its definitions.
  target_link_libraries(${name} PRIVATE tera_options ${arg_DEPENDS} tera_base tera_test_main GTest::gmock
                                        GTest::gtest)
  target_compile_options(${name} PRIVATE -O0)  # what is tested is optimised; the test itself need not be
  tera_share_headers(${name} ${arg_DEPENDS})
  set(properties TIMEOUT ${arg_TIMEOUT})
  if(arg_LABELS)
    list(JOIN arg_LABELS "_" label)
    list(APPEND properties LABELS ${label})
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES ${properties})
endfunction()
