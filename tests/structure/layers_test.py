"""The architecture's rules, checked against the tree: who may include whom, where third-party headers may
stand, and that the room tables in README.md and docs/architecture.md say what the CMake files say.

Run by ctest; by hand: python3 tests/structure/layers_test.py
"""

import pathlib
import re
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Third-party headers, by the start of their path, and the rooms whose .cc files may include them.
THIRD_PARTY = {
    "nlohmann/": {"files", "text", "grammar", "server", "apps"},
    "xgrammar/": {"grammar"},
    "dlpack/": {"grammar"},
    "CLI/": {"apps"},
    "pcre2.h": {"text"},
    "utf8proc.h": {"text"},
    "yaml.h": {"apps"},
    "httplib.h": {"server"},
    "openssl/": {"server"},
    "fmt/": None,  # any room
}
# Headers of the operating system and the compiler that are no part of standard C++.
SYSTEM = re.compile(r"^(sys/\w+|linux/\w+|netinet/\w+|arpa/inet|netdb|strings|spawn|unistd|fcntl|sched|pthread|dirent|termios|signal|poll|cpuid|immintrin)\.h$")
STANDARD = re.compile(r"^[a-z_]+$")
# A file of kernels/isa is compiled with -m flags: an inline function from anywhere else, compiled there and
# picked by the linker, would run illegal instructions on an older CPU. isa_symbols_test.py looks at the result.
ISA_SYSTEM_HEADERS = {"cstdint", "cstddef", "immintrin.h"}
ISA_OWN_HEADERS = ("kernels/", "numeric/dtype.h")
BANNED_WORDS = {"util", "utils", "helper", "helpers", "common", "manager", "misc"}
SOURCE_SUFFIXES = {".h", ".cc", ".inc"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>]+)>|"([^"]+)")', re.MULTILINE)


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in SOURCE_SUFFIXES)


def includes(path):
    """(header, is_quoted) of every #include in the file."""
    text = path.read_text(encoding="utf-8")
    return [(m.group(1) or m.group(2), m.group(2) is not None) for m in INCLUDE.finditer(text)]


def declared_rooms(root):
    """room -> rooms it declares in USES, from the octet_room() calls of src/*/CMakeLists.txt."""
    rooms = {}
    for path in sorted((root / "src").glob("*/CMakeLists.txt")):
        text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
        for call in re.finditer(r"\boctet_room\s*\(([^)]*)\)", text):
            words = call.group(1).split()
            uses, inside = set(), False
            for word in words[1:]:
                if word.isupper():
                    inside = word == "USES"
                elif inside:
                    uses.add(word)
            rooms[words[0]] = uses
    return rooms


def third_party(header):
    return next((start for start in THIRD_PARTY if header.startswith(start)), None)


def leaked_library(path, root, seen=()):
    """The third-party header that a file includes, itself or by way of our headers, or None."""
    for header, quoted in includes(path):
        inner = root / "src" / header
        if not quoted and third_party(header):
            return header
        if quoted and inner.is_file() and inner not in seen:
            found = leaked_library(inner, root, (*seen, inner))
            if found:
                return found
    return None


def check_quoted(where, room, header, rooms, root):
    if "/" not in header or not (root / "src" / header).is_file():
        return [f'{where}: "{header}" is no file of src/; include "room/file.h"']
    other = header.split("/")[0]
    leak = leaked_library(root / "src" / header, root) if other != room else None
    if leak:
        return [f'{where}: "{header}" brings <{leak}> out of its room {other}']
    if other != room and other not in rooms[room]:
        return [f'{where}: room {room} may not include "{header}": {other} is not in its USES']
    return []


def check_angled(where, room, header):
    start = third_party(header)
    if start:
        allowed = THIRD_PARTY[start]
        if allowed is not None and room not in allowed:
            return [f"{where}: <{header}> belongs to {', '.join(sorted(allowed))}, not to {room}"]
        return []
    if STANDARD.match(header) or SYSTEM.match(header):
        return []
    if header.startswith("octet/"):
        if header == "octet/error.h" or room in {"llm", "server", "apps"}:
            return []
        return [f"{where}: room {room} may not include the public <{header}>"]
    return [f"{where}: <{header}> is unknown; add it to THIRD_PARTY with the rooms that may use it"]


def check_room_file(path, room, rooms, root):
    where = path.relative_to(root)
    in_isa = path.parent.name == "isa"
    problems = []
    for header, quoted in includes(path):
        if in_isa and not (header.startswith(ISA_OWN_HEADERS) if quoted else header in ISA_SYSTEM_HEADERS):
            problems.append(f"{where}: files of isa/ may include only {', '.join(ISA_OWN_HEADERS)} and "
                            f"{', '.join(sorted(ISA_SYSTEM_HEADERS))}; found {header}")
        elif quoted:
            problems += check_quoted(where, room, header, rooms, root)
        else:
            problems += check_angled(where, room, header)
    return problems


def check_public_headers(root):
    problems = []
    for path in sources(root / "include"):
        for header, quoted in includes(path):
            is_ours = header.startswith("octet/") and (root / "include" / header).is_file()
            if quoted or not (is_ours or STANDARD.match(header)):
                problems.append(f"{path.relative_to(root)}: public headers include the standard library and "
                                f"<octet/…> only; found {header}")
    return problems


def check_names(root):
    problems = []
    for top in ("include", "src", "tests", "fuzz", "bench", "scripts"):
        for path in sorted((root / top).rglob("*")):
            words = set(re.split(r"[^a-z]+", path.stem.lower()))
            if "__pycache__" not in path.parts and words & BANNED_WORDS:
                problems.append(f"{path.relative_to(root)}: a name must say what is inside; "
                                f"{' '.join(sorted(words & BANNED_WORDS))} does not")
    return problems


def check_test_names(root, rooms):
    problems = []
    for room in rooms:
        for path in sorted((root / "tests" / room).glob("*.cc")):
            if not path.stem.endswith("_test") and ("gtest/gtest.h", False) in includes(path):
                problems.append(f"{path.relative_to(root)}: the name of a test ends in _test.cc")
    return problems


def check_cycles(rooms):
    order, state = [], {}

    def visit(room, trail):
        if state.get(room) == "done":
            return []
        if state.get(room) == "open":
            return [f"rooms include each other in a circle: {' -> '.join(trail + [room])}"]
        state[room] = "open"
        problems = [p for other in sorted(rooms.get(room, ())) for p in visit(other, trail + [room])]
        state[room] = "done"
        order.append(room)
        return problems

    return [p for room in sorted(rooms) for p in visit(room, [])]


def check_tree(root):
    """Every breach of the rules in the tree at `root`, one line each."""
    rooms = declared_rooms(root)
    problems = check_cycles(rooms) + check_public_headers(root) + check_names(root)
    problems += check_test_names(root, rooms)
    for room, uses in sorted(rooms.items()):
        problems += [f"src/{room}/CMakeLists.txt: USES names {other}, which is no room"
                     for other in sorted(uses - rooms.keys())]
    for folder in sorted(p for p in (root / "src").iterdir() if p.is_dir()):
        if folder.name not in rooms:
            if sources(folder):
                problems.append(f"src/{folder.name}: has sources but no octet_room({folder.name} …)")
            continue
        for path in sources(folder):
            problems += check_room_file(path, folder.name, rooms, root)
    return problems


def room_table(path):
    """(room, what it is, may include) of the table that starts with | room | in a Markdown file."""
    rows, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| room |"):
            inside = True
        elif inside and line.startswith("|"):
            if not set(cells[0]) <= set("-: "):
                rows.append(tuple(cells))
        elif inside:
            break
    return rows


def check_table(root):
    """Differences between the room table of docs/architecture.md, README.md's, and the CMake files."""
    rows = room_table(root / "docs/architecture.md")
    if not rows:
        return ["docs/architecture.md: no table that starts with | room |"]
    problems = []
    if room_table(root / "README.md") != rows:
        problems.append("README.md: the room table differs from that of docs/architecture.md")
    rooms = declared_rooms(root)
    table = {row[0].strip("`"): {w.strip("` ") for w in row[2].split(",") if w.strip() != "–"} for row in rows}
    for room in sorted(table.keys() ^ rooms.keys()):
        problems.append(f"room {room} stands only in " + ("the table" if room in table else "src"))
    for room in sorted(table.keys() & rooms.keys()):
        if not rooms[room] <= table[room]:
            problems.append(f"room {room}: the table lets it include {sorted(table[room])}, "
                            f"its CMakeLists.txt names {sorted(rooms[room] - table[room])} too")
    return problems


class Tree(unittest.TestCase):
    def test_rules_hold(self):
        self.assertEqual([], check_tree(ROOT))

    def test_every_room_is_found(self):
        self.assertLessEqual({"base", "numeric", "kernels", "files", "text", "kv", "model", "engine", "llm"},
                             declared_rooms(ROOT).keys())

    def test_room_tables_match_the_build(self):
        self.assertEqual([], check_table(ROOT))


class Rules(unittest.TestCase):
    """Each rule finds a breach planted in a small tree, so that a green run above means something."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("src/base/CMakeLists.txt", "octet_room(base SOURCES error.cc)")
        self.write("src/base/error.h", "#include <octet/error.h>\n#include <string>")
        self.write("src/base/error.cc", '#include "base/error.h"\n#include <unistd.h>\n#include <fmt/core.h>')
        self.write("src/kv/CMakeLists.txt", "octet_room(kv\n  SOURCES a.cc\n  USES base\n  LIBRARIES fmt::fmt)")
        self.write("src/kv/a.cc", '#include "base/error.h"')
        self.write("src/kernels/CMakeLists.txt", "octet_room(kernels SOURCES isa/avx2.cc)")
        self.write("src/kernels/table.h", "#include <cstdint>")
        self.write("src/kernels/isa/avx2.cc", '#include <immintrin.h>\n#include "kernels/table.h"')
        self.write("include/octet/error.h", "#include <string>")

    def write(self, path, text):
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(textwrap.dedent(text), encoding="utf-8")

    def assert_breach(self, *words):
        problems = check_tree(self.root)
        self.assertEqual(1, len(problems), problems)
        for word in words:
            self.assertIn(word, problems[0])

    def test_the_small_tree_is_clean(self):
        self.assertEqual([], check_tree(self.root))

    def test_a_room_that_is_not_in_uses(self):
        self.write("src/base/error.cc", '#include "kv/a.h"')
        self.write("src/kv/a.h", "")
        self.assert_breach("src/base/error.cc", "kv/a.h", "USES")

    def test_an_include_without_its_room(self):
        self.write("src/kv/a.cc", '#include "a.h"')
        self.assert_breach("src/kv/a.cc", "room/file.h")

    def test_third_party_in_a_foreign_room(self):
        self.write("src/kv/a.cc", "#include <nlohmann/json.hpp>")
        self.assert_breach("nlohmann/json.hpp", "not to kv")

    def test_third_party_in_a_header_that_another_room_includes(self):
        self.write("src/base/deep.h", "#include <fmt/core.h>")
        self.write("src/base/error.h", '#include "base/deep.h"')
        self.assert_breach("src/kv/a.cc", "fmt/core.h", "out of its room base")

    def test_an_unknown_library(self):
        self.write("src/kv/a.cc", "#include <boost/any.hpp>")
        self.assert_breach("boost/any.hpp", "unknown")

    def test_public_headers_stay_clean(self):
        self.write("include/octet/error.h", '#include "base/error.h"')
        self.assert_breach("include/octet/error.h", "base/error.h")

    def test_low_rooms_do_not_see_the_public_interface(self):
        self.write("include/octet/llm.h", "")
        self.write("src/kv/a.cc", "#include <octet/llm.h>")
        self.assert_breach("src/kv/a.cc", "octet/llm.h")

    def test_isa_files_include_no_library(self):
        self.write("src/kernels/isa/avx2.cc", "#include <algorithm>")
        self.assert_breach("isa/avx2.cc", "algorithm")

    def test_isa_files_include_no_other_room(self):
        self.write("src/kernels/CMakeLists.txt", "octet_room(kernels SOURCES isa/avx2.cc USES base)")
        self.write("src/kernels/isa/avx2.cc", '#include "base/error.h"')
        self.assert_breach("isa/avx2.cc", "base/error.h")

    def test_empty_names(self):
        self.write("src/kv/cache_utils.h", "")
        self.assert_breach("cache_utils.h", "utils")

    def test_a_test_without_its_name(self):
        self.write("tests/kv/cache.cc", "#include <gtest/gtest.h>")
        self.assert_breach("tests/kv/cache.cc", "_test.cc")

    def test_circles(self):
        self.write("src/base/CMakeLists.txt", "octet_room(base SOURCES error.cc USES kv)")
        self.assert_breach("circle")

    def test_a_room_without_a_declaration(self):
        self.write("src/extra/a.cc", "")
        self.assert_breach("src/extra")

    def test_a_use_that_is_no_room(self):
        self.write("src/kv/CMakeLists.txt", "octet_room(kv SOURCES a.cc USES base attic)")
        self.assert_breach("attic")

    def test_tables(self):
        table = "| room | what it is | may include |\n|---|---|---|\n| base | errors | – |\n| kv | cache | %s |\n" \
                "| kernels | loops | – |\n\nafter\n"
        self.write("README.md", table % "base")
        self.write("docs/architecture.md", table % "base")
        self.assertEqual([], check_table(self.root))
        self.write("docs/architecture.md", table % "–")
        self.assertEqual(2, len(check_table(self.root)))  # README.md differs; kv uses base


if __name__ == "__main__":
    unittest.main()
