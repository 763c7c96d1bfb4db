#include "core/base/fields.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tera {

enum class Fruit : std::uint8_t { apple, pear };
template <>
struct EnumNames<Fruit> {
  static constexpr std::array<std::string_view, 2> value = {"apple", "pear"};
};

namespace {

struct Basket {
  int count = 3;
  Fruit fruit = Fruit::pear;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "count", .min = 0, .max = 9}, self.count);
    visit(Field{.name = "fruit"}, self.fruit);
  }
};

struct NameCollector {
  std::vector<std::string>* names;
  template <class T>
  void operator()(const Field& field, T&) const {
    names->emplace_back(field.name);
  }
};

TEST(Fields, VisitsInOrderConstOrNot) {
  std::vector<std::string> names;
  const Basket constant;
  Basket::visit_fields(constant, NameCollector{&names});
  EXPECT_EQ(names, (std::vector<std::string>{"count", "fruit"}));
  static_assert(HasFields<Basket>);
  static_assert(!HasFields<int>);
}

TEST(Fields, EnumsHaveNamesBothWays) {
  EXPECT_EQ(enum_name(Fruit::pear), "pear");
  EXPECT_EQ(enum_from_name<Fruit>("apple"), Fruit::apple);
  EXPECT_FALSE(enum_from_name<Fruit>("plum").has_value());
}

}  // namespace
}  // namespace tera
