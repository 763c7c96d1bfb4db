// One list of fields per struct: name, unit, range, step, help, source. YAML, the command line, the
// forms of the workbench and validation all read the same list.
//
// A struct takes part by one static member template; Self may be const:
//
//   struct LaunchConfig {
//     int num_threads = 0;
//     template <class Self, class Visitor>
//     static void visit_fields(Self& self, Visitor&& visit) {
//       visit(Field{.name = "num_threads", .min = 0, .max = 1024, .help = "..."},
//       self.num_threads);
//     }
//   };
//
// Members may be int, std::int64_t, std::uint64_t, double, bool, std::string, an enum with
// enum_names(), another such struct, or a std::vector of doubles, strings or such structs.
#pragma once
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace tera {

struct Field {
  std::string_view name;                                  // YAML key and label
  std::string_view unit = {};                             // "tokens", "B", "flop/s"; empty: a count
  double min = -std::numeric_limits<double>::infinity();  // inclusive
  double max = std::numeric_limits<double>::infinity();   // inclusive
  double step = 1;                                        // of an arrow key in a form
  std::string_view help = {};                             // one sentence
  std::string_view source = {};                           // where the meaning or default comes from
  bool required = false;                                  // no useful default
};

// Specialise for each enum: the YAML words, in the order of the enumerators (which start at 0).
template <class E>
struct EnumNames;  // static constexpr std::array<std::string_view, N> value

template <class E>
concept NamedEnum = std::is_enum_v<E> && requires {
  EnumNames<E>::value;
};

template <NamedEnum E>
constexpr std::string_view enum_name(E value) {
  return EnumNames<E>::value[static_cast<std::size_t>(value)];
}

template <NamedEnum E>
constexpr std::optional<E> enum_from_name(std::string_view name) {
  for (std::size_t i = 0; i < EnumNames<E>::value.size(); ++i) {
    if (EnumNames<E>::value[i] == name) return static_cast<E>(i);
  }
  return std::nullopt;
}

namespace detail {
struct AnyVisitor {
  template <class T>
  void operator()(const Field&, T&) const {}
};
}  // namespace detail

template <class T>
concept HasFields = requires(T& t) {
  std::remove_const_t<T>::visit_fields(t, detail::AnyVisitor{});
};

}  // namespace tera
