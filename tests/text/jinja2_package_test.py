"""Compares Octet's chat templates with the jinja2 package, set up as transformers does.

    jinja2_package_test.py RENDER_LINES TEMPLATE_DIRECTORY [--all]

RENDER_LINES is the program of render_lines.cc. Every case is a template with variables; both sides must
write the same text, or both must fail. Exits with 77 where jinja2 is missing.
"""

import copy
import itertools
import json
import pathlib
import random
import subprocess
import sys
from datetime import datetime

try:
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("skipped: this Python has no jinja2 package")
    sys.exit(77)

# What Octet says where it knows that it does less than Python.
KNOWN_LIMITS = ("not supported", "does not fit in 64 bits", "unsupported", "out of range",
                # The package folds a slice of a literal into undefined, but fails for the same slice of a variable.
                "cannot be sliced")
# Text that depends on addresses in memory.
UNCOMPARABLE = ("<generator", "<function", "<built-in", "<bound method", "object at 0x", "<class", "<list_reverse",
                "<dict_reverse", "<dict_keyiterator", "<reversed", "<range_iterator", "<method", "<dict_reversekey",
                "<tuple_reverse")


class Generation(jinja2.ext.Extension):
    """transformers' {% generation %}: renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("render_body"), [], [], body).set_lineno(line)

    def render_body(self, caller):
        return caller()


def make_environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    return environment


# ---- Values and snippets

VALUES = [
    "none", "true", "false", "0", "1", "-3", "7", "2.5", "-0.0", "1e20", "1e-7", "100000.0", "0.1", "''", "'abc'",
    "'Hello World'", "' pad '", "'a,b,,c'", "'ÄÖß ǆ ΑΣ'", "'🙂é'", "'It\\'s'", "'q\"x'", "'line\\none\\n\\ntwo'",
    "'42'", "' 4_2 '", "'-1.5e3'", "'0x1f'", "'\\t\\x07'", "[]", "[1, 2, 3]", "['b', 'A', 'a']", "[3, 1.5, true]",
    "[[1, 2], [0]]", "()", "(1,)", "('x', 2)", "{}", "{'b': 1, 'A': [2], 'a': none}", "{1: 'i', 2.5: 'f'}",
    "missing", "range(4)", "range(5, 0, -2)", "user", "user.name", "user.tags", "numbers", "rows", "text",
]
VARIABLES = {
    "user": {"name": "Zoë", "age": 41, "tags": ["x", "Y", "x"], "nested": {"deep": [1, {"k": "v"}]}, "items": 3},
    "numbers": [5, 3.25, -1, 0, 1234567890123456789, 1e300],
    "rows": [{"n": "b", "v": 2, "ok": True}, {"n": "A", "v": 10, "ok": False}, {"n": "a", "v": 1}],
    "text": "The quick <brown> fox & 'friends' of Straße No. 5\r\n\tİstanbul ΟΔΥΣΣΕΥΣ end\n",
}
FILTERS = [
    "abs", "capitalize", "count", "d('x')", "default('x', true)", "dictsort", "dictsort(by='value')",
    "dictsort(true, reverse=true)", "e", "first", "float", "float(1.5)", "indent", "indent(2, true)",
    "indent('> ', blank=true)", "int", "int(9)", "int(0, 16)", "int(0, 0)", "items|list", "join", "join('-')",
    "last", "length", "list", "lower", "map('upper')|list", "map(attribute='n')|list",
    "map(attribute='v', default='none')|list", "map('int')|list", "max", "min", "max(case_sensitive=true)", "reject|list",
    "reject('none')|list", "rejectattr('ok')|list", "replace('a', 'xy')", "replace('', '.')", "replace('l', '', 1)",
    "reverse|list", "reverse|join('|')", "round", "round(1)", "round(2, 'floor')", "round(0, 'ceil')", "select|list",
    "select('string')|list", "select('gt', 1)|list", "selectattr('v', 'gt', 1)|map(attribute='n')|join(',')",
    "selectattr('ok')|list", "selectattr('nope', 'defined')|list|length", "sort", "sort(reverse=true)",
    "sort(case_sensitive=true)", "sort(attribute='v')", "sort(attribute='n,v')", "string", "sum",
    "sum(attribute='v')", "sum(start=1.5)", "title", "tojson", "tojson(indent=2)", "tojson(ensure_ascii=true)",
    "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "trim", "trim('lpa ')", "truncate(9)",
    "truncate(9, true)", "truncate(8, false, '…', 0)", "unique|list", "unique(true)|list", "upper", "urlencode", "wordcount", "batch(2)|list",
    "batch(2, 'z')|list", "center(12)", "center(11)", "safe", "string|length", "list|length", "map('length')|list",
    "forceescape", "first|upper", "list|first", "max|default('e')", "tojson(indent=0)", "tojson(indent=none)",
    "batch(2)|map('join', '+')|list", "select('in', [1, 'a'])|list", "map('default', 'D')|list",
]
METHODS = [
    "strip()", "strip('a ')", "lstrip()", "rstrip()", "split()", "split(',')", "split(' ', 1)", "split(none, 1)",
    "rsplit(',', 1)", "rsplit(none, 1)", "splitlines()", "splitlines(true)", "startswith('a')",
    "startswith(('x', 'H'))", "endswith('c')", "endswith('d', 1, 40)", "upper()", "lower()", "title()",
    "capitalize()", "replace('a', 'b')", "replace('', '-', 2)", "find('l')", "rfind('l')", "find('l', 3)",
    "index('a')", "join(['x', 'y'])", "join('pq')", "count('l')", "count('')", "count(1)", "isdigit()", "isalpha()",
    "isalnum()", "isspace()", "isupper()", "islower()", "isdecimal()", "partition(' ')", "rpartition(',')",
    "removeprefix('a')", "removesuffix('c')", "format(1, a=2)", "items()", "keys()", "values()", "get('a')",
    "get('name', 'd')", "get('zz', 'd')", "items()|list", "keys()|list", "values()|list", "append(1)", "pop()",
    "update({})", "index(2)", "copy()", "name", "items", "nope", "nope.more", "0", "get", "splitlines()|last",
    "strip().split(' ')[0]", "count('l', 2, -1)", "encode",
]
TESTS = [
    "defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence",
    "iterable", "true", "false", "odd", "even", "divisibleby(3)", "divisibleby 2", "eq(1)", "equalto('abc')",
    "ne 1", "lt(2)", "gt 1", "le(2.5)", "ge(0)", "in [1, 'abc', none]", "in('abcdef')", "callable", "lower", "upper",
    "sameas(none)", "sameas true", "escaped", "not none", "not defined", "not in [1, 2]", "greaterthan(1)",
    "lessthan 3", "filter", "test",
]
BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
ACCESS = [
    "[0]", "[-1]", "[5]", "['a']", "['name']", "['items']", "[1:]", "[:2]", "[::-1]", "[-2:]", "[1:-1]", "[::2]",
    "[5:1:-2]", "['x':]", "[none:2]", "[true]", "[1.0]", "[2.5]", "[[1]]", "['a', 1]", ".a", ".name.x", ".0", "()",
    "[missing]", "[::0]", "[-100:100]",
]
SNIPPETS = [
    # literals and operators
    "{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1e3 }} {{ 1.5e-3 }} {{ 1E5 }} {{ 00 }}",
    "{{ 'a' 'b' \"c\" }} {{ 'tab\\tnew\\\\ \\u00e9 \\U0001f642 \\x41 \\101 \\q' }}",
    "{{ 2 + 3 * 4 ** 2 // 3 % 5 - -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ (-2) ** 2 }} {{ 2 ** -1 }}",
    "{{ 7 // -2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1 / 3 }} {{ 4 / 2 }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ not 1 == 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }}",
    "{{ 1 if true }} {{ 1 if false }} {{ 1 if false else 2 if false else 3 }} {{ (1 if false) is undefined }}",
    "{{ true and none }} {{ 0 or 'x' }} {{ not [] }} {{ none or missing or 'last' }}",
    "{{ 'x' ~ 1 ~ none ~ true ~ 1.50 ~ missing ~ [1] }}",
    "{{ [1, 'a', 2.0, none, true, [], {}, (), (1,), missing] }}", "{{ {'a': 'it\\'s', \"b\": 'q\"', 1: {2: 3}} }}",
    "{{ 1, 2 }} {{ () }} {{ (1) }} {{ (1,) }} {{ 1, }}", "{{ [1, 2,] }} {{ {'a': 1,} }}", "{{ {'a': 1, 'a': 2, 1: 'x', true: 'y'} }}",
    "{{ 'abc' | upper ~ 'x' | length }}", "{{ -5 | abs }} {{ (-5) | abs }}", "{{ 'a' in 'abc' and 'z' not in 'abc' }}",
    "{{ 'a' * 3 }} {{ 3 * 'ab' }} {{ [0] * 2 }} {{ (1,) * 2 }} {{ 'a' * -1 }}", "{{ 'x' is string and 1 is number }}",
    "{{ x.y }}", "{{ x['y'] }}", "{{ missing.attribute.more }}", "{{ missing }}", "{{ missing + 1 }}", "{{ missing ~ '' }}",
    "{{ missing | upper }}", "{{ missing | length }}", "{{ missing | list }}", "{% for x in missing %}x{% else %}e{% endfor %}",
    "{{ missing == missing2 }} {{ missing == none }} {{ missing in [missing] }} {{ not missing }}", "{{ missing() }}",
    "{{ none.x }}", "{{ none.x.y }}", "{{ (none.x) is defined }}", "{{ user.nope }}", "{{ user.nope.more }}",
    "{{ user.nested.deep[1].k }} {{ user['nested']['deep'][1]['k'] }} {{ user.nested.deep.1.k }} {{ user.nested.deep.0 }}",
    "{{ user.items }}", "{{ user['items'] }}", "{% for k, v in user.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in user|items %}{{ loop.index }}{{ k }}{% endfor %}", "{% for k in user %}{{ k }},{% endfor %}",
    "{{ 9223372036854775807 }} {{ -9223372036854775807 }}", "{{ 12345678901234567890 | string | length }}",
    # formats
    "{{ '%s %d %5.1f %-5s| %05d %x %X %o %e %g %%' % ('a', 3, 2.25, 'é', 42, 255, 255, 8, 12345.678, 0.00001) }}",
    "{{ '%(a)s-%(b)03d' % {'a': 1, 'b': 2} }} {{ '%s' % 1 }} {{ '%s' % [1, 2] }} {{ '%r' % 'x' }} {{ '%+d % d' % (1, 2) }}",
    "{{ '%s %s' % (1,) }}", "{{ '%s' % (1, 2) }}", "{{ '%d' % 'x' }}", "{{ '%d' % 2.9 }}", "{{ 'none' % () }}", "{{ '%' % 1 }}", "{{ '%y' % 1 }}",
    "{{ '%s and %s' | format('a', 2) }} {{ '%(x)s' | format(x=1) }} {{ '%#x %.2s|%8.3s|' % (255, 'abcdef', 'abcdef') }}",
    "{{ '{} {}'.format(1, 'a') }} {{ '{1}{0}{1}'.format(1, 2) }} {{ '{a}{b.name}{b[age]}'.format(a=1, b=user) }}",
    "{{ '{:>5}|{:<5}|{:^5}|{:*^7}|{:05d}|{:.2f}|{:,}|{:x}|{:%}|{!r}'.format(1, 'a', 'b', 'c', 42, 2.345, 1234567, 255, 0.25, 'q') }}",
    "{{ '{{}}{}'.format(1) }} {{ '{:+d} {: d} {:e} {:g} {:#x} {:b} {:,.2f}'.format(1, 2, 3.5, 1e10, 255, 5, 12345.678) }}",
    "{{ '{'.format(1) }}", "{{ '}'.format(1) }}", "{{ '{}'.format() }}", "{{ '{x}'.format() }}", "{{ '{:d}'.format('x') }}", "{{ '{:5}'.format(true) }}",
    # for
    "{% for i in [1,2,3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for i in [1,2,3] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {{ loop.cycle('a', 'b') }}{{ loop.previtem is defined }}{% endfor %}",
    "{% for i in range(10) if i % 2 %}{{ i }}{{ loop.length }}{% else %}none{% endfor %}", "{% for i in [] if i %}x{% else %}none{% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}", "{% for a, b in ['xy', 'zw'] %}{{ a }}{{ b }}{% endfor %}", "{% for i in 5 %}{% endfor %}",
    "{% for i in none %}{% endfor %}", "{% for c in 'aé🙂' %}[{{ c }}]{% endfor %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "{% for i in [1] %}{% set y = 2 %}{% endfor %}{{ y }}",
    "{% for i in [1, 2] %}{% for j in [1, 2] %}{{ loop.index }}{{ i }}{{ j }}{% endfor %}{{ loop.index }}{% endfor %}{{ loop }}",
    "{% for i in [1, 2] %}{% set outer = loop %}{% for j in [3] %}{{ outer.index }}{% endfor %}{% endfor %}", "{% for i in [1] %}{{ loop }}{{ loop|length }}{{ loop['index'] }}{% endfor %}",
    "{% for i in (x for x in y) %}{% endfor %}", "{% break %}", "{% if true %}{% continue %}{% endif %}", "{% for i in [1] recursive %}{{ i }}{% endfor %}{{ missing.x }}",
    "{% for loop in [1] %}{{ loop }}{% endfor %}",
    "{% for i in [1,2,3] %}{% set t %}{{ i }}{% if i == 2 %}{% continue %}{% endif %}{% endset %}{{ t }}{% endfor %}",
    # if
    "{% if 0 %}a{% elif '' %}b{% elif [] %}c{% else %}d{% endif %}", "{% if true %}{% if false %}{% else %}x{% endif %}{% endif %}",
    "{% if 'a' if true else '' %}{% endif %}", "{% if missing %}a{% endif %}b", "{% if a = 1 %}{% endif %}", "{% if %}{% endif %}", "{% if 1 %}", "{% endif %}", "{% else %}", "{% elif 1 %}",
    # set, namespaces and scopes
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = [1] %}", "{% set (a, b) = (1, 2) %}{{ a }}", "{% set a = 1, 2 %}{{ a }}", "{% set a %}x{{ 1 }}{% endset %}{{ a }}",
    "{% set a | upper %}x{{ 1 }}{% endset %}{{ a }}", "{% set a | replace('x', 'yy') | upper %}x{% endset %}{{ a }}", "{% set a %}{% set b = 1 %}{% endset %}{{ b }}",
    "{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns }}{{ ns.nope }}{{ ns['x'] }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{% set ns.c %}block{% endset %}{{ ns.c }}", "{% set d = {} %}{% set d.x = 1 %}", "{% set nope.x = 1 %}",
    "{% set 1 = 2 %}", "{% set true = 2 %}", "{% set a.b.c = 2 %}", "{% set a = %}", "{% if true %}{% set z = 5 %}{% endif %}{{ z }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set q = 1 %}{% endwith %}{{ q }}",
    "{% set ns = namespace() %}{% set ns.self = ns %}{{ ns.self.self is defined }}", "{{ namespace(1) }}", "{{ dict(a=1, b=[2]) }} {{ dict({'x': 1}, y=2) }} {{ dict([('a', 1)]) }}", "{{ dict(1) }}",
    # macros
    "{% macro m(a, b=2, c=b) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(c=5, a=4) }} {{ m() }} {{ m(1, b=none) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=1) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ a }}{{ varargs | length }}{% endmacro %}{{ m(*[1, 2, 3]) }}",
    "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(**{'a': 1, 'b': 2}) }}", "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m() %}[{{ caller(1, 2) }}]{% endmacro %}{% call(a, b=9) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% set v = 1 %}{% macro m() %}{{ v }}{% set v = 2 %}{{ v }}{% endmacro %}{{ m() }}{{ v }}", "{% macro m() %}{{ later }}{% endmacro %}{% set later = 3 %}{{ m() }}",
    "{% macro m(a, a2=1, b) %}{% endmacro %}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m }}{{ m.name }}", "{% macro m() %} x {% endmacro %}{{ m() | trim }}{{ m() ~ 'y' }}{{ (m()) is string }}", "{{ m() }}{% macro m() %}{% endmacro %}",
    "{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}", "{% macro m(x) %}{% for i in x %}{% break %}{% endfor %}{% endmacro %}{{ m([1]) }}", "{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}",
    # filter blocks, raw, generation, comments
    "{% filter upper %}a{{ 'b' }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aa{% endfilter %}", "{% filter nope %}{% endfilter %}", "{% filter trim %}  x  {% endfilter %}|", "{% raw %}{{ x }}{% endraw %}", "{%- raw -%} {{ x }} {%- endraw -%} y",
    "{% generation %}a{% set g = 1 %}{% endgeneration %}{{ g }}", "a{# c #}b{#- c -#} d {#+ e +#}\n f", "{# {{ nope( #}x", "{# never closed", "{% raw %}x", "{{ '{{' }}{{ '%}' }}{{ \"}}\" }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a':{}} }}", "{{ '", "{{ (1 }}", "{{ 1) }}", "{{ [1) }}", "{{ 1 2 }}", "{{ }}", "{{", "{%", "{% %}", "{% 1 %}", "{{ a b }}", "{{ 'a' % }}", "{{ ! }}", "{{ a ? b }}", "{{ a $ }}", "{{ $a }}", "}} %} #}",
    # errors and globals
    "{{ raise_exception('stop') }}", "{% if false %}{{ raise_exception('stop') }}{% endif %}ok", "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ none + 1 }}", "{{ [] + () }}", "{{ {} + {} }}", "{{ -'a' }}", "{{ +'a' }}", "{{ 1() }}", "{{ 'a'() }}", "{{ 1 < 'a' }}", "{{ none < 1 }}", "{{ {} < {} }}", "{{ 1 in 5 }}", "{{ 1 in 'a' }}", "{{ [1] in {} }}", "{{ {[1]: 2} }}", "{{ {(1, 2): 3} }}", "{{ range(3) }} {{ range(1, 10, 3) | list }} {{ range(3)[1] }} {{ range(0) | list }} {{ range(5)[::2] | list }}", "{{ range(100001) }}", "{{ range('a') }}", "{{ range(1, 2, 0) }}", "{{ range() }}", "{{ range | string | length > 0 }}", "{{ strftime_now('%Y') | length }} {{ strftime_now('') }}|{{ strftime_now('%d%%') | length }}", "{{ [1, 2].append(3) }}", "{{ {'a': 1}.update({'b': 2}) }}", "{{ {}.pop }}", "{{ 'a'.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ x | nope }}", "{{ x is nope }}", "{% nope %}", "{% include 'x' %}{{ missing.x }}", "{{ 5 | join }}", "{{ 1 | length }}", "{{ none | length }}", "{{ none | list }}", "{{ none | join }}", "{{ 5 is in 5 }}", "{{ 'a' | indent }}", "{{ 1 | indent }}", "{{ 'abc' | trim(1) }}", "{{ 'abc'.strip(1) }}", "{{ 'abc'.split('') }}", "{{ 'abc'.index('z') }}", "{{ [1].index(2) }}", "{{ ','.join([1]) }}", "{{ 'a'.startswith(1) }}", "{{ 'x' | tojson(nope=1) }}", "{{ missing | tojson }}", "{{ range(2) | tojson }}", "{{ {1: 2, none: 3, true: 4, 2.5: 1} | tojson }}", "{{ {(1, 2): 3} | tojson }}", "{{ (1, 'é') | tojson }}", "{{ '\\u2028\\x7f\\x01</script>&\"\\\\' | tojson }}", "{{ [[], {}, [[]]] | tojson(indent=2) }}", "{{ {'a': [1, {'b': []}]} | tojson(indent='--') }}", "{{ numbers | tojson }} {{ numbers }}", "{{ 1e400 | tojson if false }}", "{{ [3, 1, 2] | sort | first }}", "{{ ['a', 1] | sort }}", "{{ [1, 'a'] | max }}", "{{ [] | max }}", "{{ [] | first }}{{ [] | last }}", "{{ [[1], 2] | sum }}", "{{ ['a'] | sum }}", "{{ 'x' is defined is defined }}",
    "{{ [1, 2] | map('nope') | list }}", "{{ [1, 2] | select('nope') | list }}", "{{ [] | map('nope') | list }}", "{{ rows | map(attribute='n', bad=1) | list }}", "{{ rows | map | list }}", "{{ rows | selectattr | list }}",
    "{% set g = [1, 2, 3] | map('string') %}{{ g | join }}{{ g | join }}", "{% set g = [] | select %}{{ 'yes' if g else 'no' }}", "{% set g = [1, 2, 3] | select %}{{ g | first }}{{ g | list }}", "{{ ([1, 2] | map('string'))[0] }}", "{{ [1, 2] | map('string') | length }}", "{{ [1, 2] | select | last }}", "{{ user.keys()[0] }}|{{ user.keys() | first }}|{{ user.keys() | length }}|{{ 'name' in user.keys() }}", "{{ user.items() | first }}", "{{ {'a': 1}.items() }} {{ {'a': 1}.keys() }} {{ {'a': 1}.values() }}", "{{ {'a': 1}.items() is sequence }}{{ {'a': 1}.items() is iterable }}{{ {} is sequence }}", "{{ {'a': 1} == {'a': 1.0} }}{{ [1] == [true] }}{{ (1,) == [1] }}{{ 'a' == 1 }}{{ none == false }}",
    "{{ 0.1 + 0.2 }} {{ 1e16 }} {{ 1e15 }} {{ 123456789.123456789 }} {{ 1e-4 }} {{ 1e-5 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }} {{ 100.0 }} {{ 3.0 * 2 }}", "{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 1234.5 | round(-2) }} {{ 5 | round }} {{ 'x' | round }}", "{{ 1e308 * 10 }} {{ -1e308 * 10 }}", "{{ 3.7 | int }} {{ -3.7 | int }} {{ '3.7' | int }} {{ 'x' | int }} {{ none | int }} {{ [] | int(5) }} {{ true | int }} {{ '1e3' | int }} {{ 'inf' | float }} {{ 'nan' | float }} {{ '1e999' | float }}", "{{ 'a' | e }} {{ '<&\"\\'>' | e }}", "{{ 'straße' | upper }} {{ 'ÀÉ' | lower }} {{ 'ŉ ǰ ﬁ' | upper }} {{ 'ﬁne ǆabc' | title }} {{ 'ΑΣ ΣΑ Σ.' | lower }} {{ 'İ' | lower | length }} {{ 'hello-world (foo) [bar] o\\'neil' | title }} {{ \"o'neil x1y\".title() }}", "{{ 'é' | length }} {{ '🙂a'[0] }} {{ '🙂a'[1:] }} {{ 'e\\u0301' | length }}", "{{ '\\u00a0x\\u3000' | trim }}|{{ '\\u200bx' | trim | length }}|{{ 'a\\u2028b\\x0bc\\x1cd\\x85e' .splitlines() }}", "{{ ['\\u200b', '\\xad', 'é', '\\ue000', '\\u0301', '\\xa0', '\\U000e0001'] }}",
    "{{ 'a' if 1 else 'b' if 2 else 'c' }}", "{{ not true and false }} {{ not (true and false) }} {{ true or false and false }}", "{{ 1 is odd and 2 is even }} {{ 1 is not odd }} {{ not 1 is odd }}", "{{ 5 is divisibleby 5 and true }}", "{{ x is defined and x.y }}", "{{ 'a' ~ 'b' == 'ab' }} {{ 1 + 1 ~ 1 }} {{ 2 * 3 ~ 4 }}", "{{ 'abc'|length is eq 3 }} {{ 'abc'|length > 2 }}", "{{ [1, 2, 3][1:] | join(',') }} {{ 'abc'[::-1] | upper }}", "{{ 'x'.upper().lower().title() }}", "{{ ('a', 'b')[1] }} {{ {'k': [1]}.k[0] }} {{ [[1, 2], [3]][0][1] }}", "{{ foo.bar if foo is defined else 'nf' }}", "{{ loop is defined }} ", "{{ 'a' is in 'abc' }} {{ 'a' is not in ['b'] }}", "{{ '5' | int + 3 }} {{ '5' ~ 3 | string }}", "{{ true + 1 }} {{ true * 'x' }} {{ -true }} {{ +true }} {{ true == 1 }}", "{{ 'x' | default }} {{ missing | default }} {{ missing | d(1) }} {{ '' | d('e', boolean=true) }} {{ none | default('n') }} {{ missing.x | default('n') }}",
]


def products(a, b):
    """A third of all pairs, always the same ones; all of them with --all."""
    pairs = list(itertools.product(a, b))
    return pairs if "--all" in sys.argv else random.sample(pairs, len(pairs) // 3)


def snippet_cases():
    for value, filter in products(VALUES, FILTERS):
        yield "{{ %s | %s }}" % (value if not value.startswith("-") else f"({value})", filter)
    for value, method in products(VALUES, METHODS):
        yield "{{ (%s).%s }}" % (value, method)
    for value, test in products(VALUES, TESTS):
        yield "{{ (%s) is %s }}" % (value, test)
    for value, access in products(VALUES, ACCESS):
        yield "{{ (%s)%s }}" % (value, access)
    for a, b in products(VALUES, VALUES):
        for op in random.sample(BINARY, 2):
            yield "{{ (%s) %s (%s) }}" % (a, op, b)
    for value in VALUES:
        yield "{{ %s }} {{ [%s] }} {{ %s ~ '' }} {{ not %s }}" % (value, value, value, value)
        yield "{%% for x in %s %%}<{{ x }}>{%% else %%}empty{%% endfor %%}" % value
        yield "{%% if %s %%}T{%% else %%}F{%% endif %%}" % value
    yield from SNIPPETS


def whitespace_cases(count):
    """Tags with every sign between every kind of space: the lexer's rules."""
    spaces = ["", " ", "\n", "  \n", "\n  ", " \n \n ", "\t", "x", "x\n", " x ", "\r\n", "\u00a0\n", "\n\n", "{", "é "]
    tags = ["{%S if true E%}", "{%S endif E%}", "{%S set a = 1 E%}", "{{S 'v' V}}", "{#S note C#}", "{%S raw R%}r{{ \n{%S endraw E%}",
            "{%S for i in [1, 2] E%}", "{%S endfor E%}"]
    pairs = [(0, 1), (6, 7), (2,), (3,), (4,), (5,)]
    for _ in range(count):
        def fill(tag):
            for letter, signs in (("S", ["", "-", "+"]), ("E", ["", "-", "+"]), ("V", ["", "-"]), ("C", ["", "-", "+"]), ("R", ["", "-"])):
                while letter in tag:
                    tag = tag.replace(letter, random.choice(signs), 1)
            return tag

        def block(depth):
            text = ""
            for _ in range(random.randint(1, 3)):
                text += random.choice(spaces)
                pair = random.choice(pairs)
                text += fill(tags[pair[0]])
                if len(pair) == 2:
                    text += (block(depth - 1) if depth else random.choice(spaces)) + fill(tags[pair[1]])
            return text + random.choice(spaces)

        yield block(2) + random.choice(["", "\n", "\n\n", "\r\n"])


# ---- Random chats

WORDS = ["hello", "Größe", "日本語", "🙂", "</think>", "<think>", "{{x}}", "{% if %}", "\"quoted\"", "it's", "a\\b", "\n", "\t",
         "  ", "/no_think", "/think", "<|end|>", "Ünïcödé", "1,234.5", "NULL", "\u2028", "e\u0301", "[x]", "Σίσυφος", "ﬁ"]


def random_text(rng):
    return rng.choice(["", " "]).join(rng.choice(WORDS) for _ in range(rng.randint(0, 8)))


def random_json(rng, depth=2):
    kind = rng.randint(0, 7 if depth else 4)
    if kind == 5:
        return [random_json(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    if kind >= 6:
        return {random_text(rng)[:12]: random_json(rng, depth - 1) for _ in range(rng.randint(0, 3))}
    return [None, rng.random() < 0.5, rng.randint(-10**6, 10**12), round(rng.uniform(-1e3, 1e3), rng.randint(0, 6)), random_text(rng)][kind]


def random_schema(rng, depth=2):
    kind = rng.choice(["string", "integer", "number", "boolean", "array", "object", "union", "map", "enum"])
    if depth and kind == "array":
        return {"type": "array", "items": random_schema(rng, depth - 1), "description": random_text(rng)}
    if depth and kind == "object":
        names = rng.sample(["city", "unit", "größe", "limit", "where"], rng.randint(0, 3))
        schema = {"type": "object", "properties": {n: random_schema(rng, depth - 1) for n in names}}
        if rng.random() < 0.7:
            schema["required"] = names[:1]
        return schema
    if depth and kind == "map":
        return {"type": "object", "additionalProperties": random_schema(rng, depth - 1)}
    if kind == "union":
        return {"type": ["string", "null"]}
    if kind == "enum":
        return {"type": "string", "enum": ["a", "b c", "é"], "description": " padded "}
    return {"type": kind if kind in ("string", "integer", "number", "boolean") else "string"}


def random_tool(rng):
    properties = {name: random_schema(rng) for name in rng.sample(["location", "format", "n", "tags", "filter"], rng.randint(0, 4))}
    return {"type": "function", "function": {
        "name": rng.choice(["get_weather", "search", "run_code"]), "description": rng.choice(["", "Looks up\nsomething.", "Größe!"]),
        "parameters": {"type": "object", "properties": properties, "required": list(properties)[:2]}}}


def random_message(rng, role):
    message = {"role": role, "content": random_text(rng)}
    if role == "assistant" and rng.random() < 0.3:
        message["tool_calls"] = [
            {"type": "function", "id": "c%d" % i, "function": {
                "name": rng.choice(["search", "get_weather"]),
                "arguments": rng.choice([{"q": random_json(rng), "n": rng.randint(0, 9)}, {}, '{"raw": 1}'])}}
            for i in range(rng.randint(1, 3))]
        message["content"] = rng.choice([None, "", message["content"]])
    if role == "assistant" and rng.random() < 0.2:
        message["reasoning_content"] = random_text(rng)
    if role in ("user", "tool") and rng.random() < 0.15:
        message["content"] = [{"type": "text", "text": random_text(rng)}, {"type": "image"}][: rng.randint(0, 2)]
    if rng.random() < 0.03:
        message["content"] = rng.choice([None, 5, {"a": 1}])
    return message


def random_chat(rng):
    messages = [random_message(rng, "system")] if rng.random() < 0.5 else []
    for _ in range(rng.randint(0, 3)):
        messages.append(random_message(rng, "user"))
        messages.append(random_message(rng, "assistant"))
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            messages.append(random_message(rng, "tool"))
    if rng.random() < 0.7:
        messages.append(random_message(rng, rng.choice(["user", "user", "tool"])))
    chat = {"messages": messages, "add_generation_prompt": rng.random() < 0.5, "bos_token": "<s>", "eos_token": "</s>"}
    if rng.random() < 0.5:
        chat["tools"] = [random_tool(rng) for _ in range(rng.randint(1, 3))] if rng.random() < 0.8 else None
    for name, value in (("enable_thinking", rng.random() < 0.5), ("describe_early", True), ("xml_tools", [random_tool(rng)]),
                        ("shell_tools", ["search", "sleep"]), ("extra_tools", [random_tool(rng)])):
        if rng.random() < 0.2:
            chat[name] = value
    return chat


# ---- The comparison

def render_reference(environment, template, variables):
    try:
        # The package folds constants while it compiles and reports what fails there later, when it renders.
        return {"text": environment.from_string(template).render(**copy.deepcopy(variables))}  # indent changes lists
    except RecursionError:
        raise
    except Exception as error:  # whatever Python raises is a failure of the template
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    program, templates = sys.argv[1], pathlib.Path(sys.argv[2])
    random.seed(20240726)
    rng = random.Random(7)
    cases = []
    files = sorted(templates.glob("*.jinja"))
    assert len(files) >= 10, f"templates are missing from {templates}"
    for file in files:
        source = file.read_text(encoding="utf-8")
        cases += [(file.name, source, random_chat(rng)) for _ in range(60)]
    cases += [("snippet", snippet, VARIABLES) for snippet in snippet_cases()]
    cases += [("whitespace", template, {}) for template in whitespace_cases(1500)]

    lines = "".join(json.dumps({"template": t, "variables": v}) + "\n" for _, t, v in cases)
    run = subprocess.run([program], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    replies = [json.loads(line) for line in run.stdout.decode().split("\n")[:-1]]
    assert len(replies) == len(cases), f"{len(cases)} cases, {len(replies)} replies"

    environment = make_environment()
    failures, texts, errors, limits = 0, 0, 0, 0
    rendered_files = set()
    for (name, template, variables), reply in zip(cases, replies):
        expected = render_reference(environment, template, variables)
        if "text" in expected and any(mark in expected["text"] for mark in UNCOMPARABLE):
            continue
        if "text" in expected and reply == expected:
            texts += 1
            rendered_files.add(name)
        elif "error" in expected and "error" in reply:
            errors += 1
        elif "error" in reply and any(limit in reply["error"] for limit in KNOWN_LIMITS):
            limits += 1
        else:
            failures += 1
            if failures <= 40:
                print(f"--- {name}: {template if name in ('snippet', 'whitespace') else json.dumps(variables)!r}")
                print(f"    package: {expected}\n    Octet:   {reply}")
    unrendered = [file.name for file in files if file.name not in rendered_files]
    print(f"{len(cases)} cases: {texts} equal texts, {errors} errors on both sides, {limits} known limits, {failures} differ")
    if unrendered:
        print("never rendered:", ", ".join(unrendered))
    return 1 if failures or unrendered or texts < len(cases) // 4 else 0


if __name__ == "__main__":
    sys.exit(main())
