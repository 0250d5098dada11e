// Templates are untrusted: each of these would take hours, gigabytes or the whole stack without the limits.
#include "text/jinja_runtime.h"

#include <gtest/gtest.h>

#include <string>

#include "rendered.h"

namespace octet::text {
namespace {

TEST(JinjaRuntime, StepsAreLimited) {
  EXPECT_NE(
      error_of("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}").find("steps"),
      std::string::npos);
}

TEST(JinjaRuntime, RecursionIsLimited) {
  EXPECT_NE(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").find("levels deep"), std::string::npos);
  EXPECT_NE(error_of("{% macro f() %}{% call f() %}{% endcall %}{{ caller }}{% endmacro %}{{ f() }}")
                .find("levels deep"),
            std::string::npos);
  EXPECT_EQ(
      rendered("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{% else %}end{% endif %}{% endmacro %}{{ f(50) }}"),
      "end");
}

TEST(JinjaRuntime, TextsAndListsAreLimited) {
  for (const char* source : {
           "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% "
           "endfor %}",
           "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% "
           "endfor %}",
           "{{ 'x' * 99999999999 }}",
           "{{ [0] * 99999999999 }}",
           "{% set s = 'x' * 99999999 %}{{ s }}",
           "{% set s = 'x' * 1000000 %}{% for i in range(99999) %}{{ s }}{% endfor %}",
           "{% set s = 'x' * 10000000 %}{{ ([s] * 1000) | join }}",
           "{% set s = 'x' * 10000000 %}{{ s.replace('x', s) | length }}",
           "{% set s = 'x' * 10000000 %}{{ s.replace('', 'yyyyyyyyyyyyyyy') | length }}",
           "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
           "{% set a = 'a' * 20000000 %}{% for i in range(9999) %}{{ a in (a ~ 'b') }}{% endfor %}",
           "{% set a = 'a' * 20000000 %}{{ (a ~ 'c').find('a' * 9999999 ~ 'b') }}",
           "{{ '%99999999d' % 1 }}",
           "{{ '{:99999999}'.format(1) }}",
           "{{ 'x' | center(999999999) }}",
           "{{ 'x' | indent(999999999) }}",
           "{{ range(999999999) }}",
       }) {
    EXPECT_EQ(error_of(source).rfind("t:1:", 0), 0U) << source << ": " << error_of(source).substr(0, 100);
  }
}

TEST(JinjaRuntime, NestedValuesAreLimited) {
  // Two references in each level: 2^90 items when printed, compared or written as JSON.
  const std::string tree =
      "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(90) %}"
      "{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}";
  for (const char* use : {"{{ ns.a }}", "{{ ns.a | tojson }}", "{{ ns.a == ns.b }}", "{{ ns.a < ns.b }}",
                          "{{ ns.a in [ns.b] }}", "{{ ns.a ~ '' }}", "{{ {(ns.a, ns.b): 1} }}"}) {
    EXPECT_EQ(error_of(tree + use).rfind("t:1:", 0), 0U) << use;
  }
  EXPECT_NE(
      error_of("{% set ns = namespace(a=[]) %}{% for i in range(99999) %}{% set ns.a = [ns.a] %}{% endfor %}")
          .find("nested more than 100 deep"),
      std::string::npos);
}

TEST(JinjaRuntime, CyclesThroughNamespacesEnd) {
  EXPECT_EQ(rendered("{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns.me[0].me[0] is defined }}"),
            "True");
  EXPECT_NE(error_of("{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns }}").find("levels deep"),
            std::string::npos);
  EXPECT_EQ(
      rendered("{% set ns = namespace() %}{% for i in [1, 2] %}{% macro m() %}{{ i }}{{ ns.x }}{% endmacro %}"
               "{% set ns.m = m %}{% set ns.x = i %}{% endfor %}{{ ns.m() }}"),
      "22");
}

}  // namespace
}  // namespace octet::text
