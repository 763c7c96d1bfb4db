// The building blocks of contract.h: checks of one argument each, with the message they give.
#pragma once
#include <initializer_list>
#include <string>

#include "kernels/contract.h"

namespace tera::kernels::contract {

// "[4, any]".
std::string shape_text(const std::int64_t* dims, int rank);

inline bool is_compute(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16 || dtype == DType::f64;
}

inline std::int64_t dim(const View& v, int d) {
  return v.shape[static_cast<std::size_t>(d)];
}

// The checks of one op: every member names the argument it speaks of.
class Checker {
 public:
  explicit Checker(const char* op) : op_(op) {}

  // Last dim contiguous, the others with any stride.
  void rows(const char* name,
            const View& v,
            DType dtype,
            std::initializer_list<std::int64_t> dims) const {
    shape(name, v, dims);
    is(name, v, dtype);
    const auto last = static_cast<std::size_t>(v.rank - 1);
    if (v.shape[last] > 1 && v.strides[last] != 1) {
      fail(op_, std::string(name) + " is " + describe(v) + " with stride " +
                    std::to_string(v.strides[last]) + " in its last dim, expected 1");
    }
  }

  void dense(const char* name,
             const View& v,
             DType dtype,
             std::initializer_list<std::int64_t> dims) const {
    rows(name, v, dtype, dims);
    contiguous(name, v);
  }

  void contiguous(const char* name, const View& v) const {
    if (v.num_elements() > 0 && !v.contiguous()) {
      fail(op_, std::string(name) + " is " + describe(v) + " with gaps, expected it contiguous");
    }
  }

  void optional(const char* name,
                const View& v,
                DType dtype,
                std::initializer_list<std::int64_t> dims) const {
    if (v.present()) dense(name, v, dtype, dims);
  }

  // Contiguous, with the shape and dtype of another argument.
  void like(const char* name, const View& v, const char* other_name, const View& other) const {
    that(v.rank == other.rank && v.shape == other.shape && v.dtype == other.dtype && v.contiguous(),
         [&] {
           return std::string(name) + " is " + describe(v) + ", expected it contiguous like " +
                  other_name + ", " + describe(other);
         });
  }

  void compute(const char* name, const View& v) const {
    if (!is_compute(v.dtype))
      fail(op_, std::string(name) + " is " + describe(v) + ", expected f32, bf16, f16 or f64");
  }

  // f32 or f64.
  void accumulate(const char* name, const View& v) const {
    if (v.dtype != DType::f32 && v.dtype != DType::f64) {
      fail(op_, std::string(name) + " is " + describe(v) + ", expected f32 or f64");
    }
  }

  void rank(const char* name, const View& v, int expected) const {
    if (v.rank != expected) {
      fail(op_, std::string(name) + " is " + describe(v) + ", expected " +
                    std::to_string(expected) + " dims");
    }
  }

  // `text` builds the message, only when it is needed.
  template <class Text>
  void that(bool ok, Text&& text) const {
    if (!ok) fail(op_, text());
  }

 private:
  void shape(const char* name, const View& v, std::initializer_list<std::int64_t> dims) const {
    bool same = v.rank == static_cast<int>(dims.size());
    for (int d = 0; same && d < v.rank; ++d) {
      const std::int64_t expected = dims.begin()[d];
      same = dim(v, d) >= 0 && (expected == kAny || dim(v, d) == expected);
    }
    if (!same) {
      fail(op_, std::string(name) + " is " + describe(v) + ", expected shape " +
                    shape_text(dims.begin(), static_cast<int>(dims.size())));
    }
    if (!v.present() && v.num_elements() > 0) fail(op_, std::string(name) + " has no memory");
  }

  void is(const char* name, const View& v, DType dtype) const {
    if (v.dtype != dtype) {
      fail(op_, std::string(name) + " is " + describe(v) + ", expected " +
                    std::string(dtype_name(dtype)));
    }
  }

  const char* op_;
};

// Every element of an i32 view is in [lowest, limit).
void check_indices(
    const char* op, const char* name, const View& v, std::int64_t lowest, std::int64_t limit);

}  // namespace tera::kernels::contract
