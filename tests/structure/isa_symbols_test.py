"""The object files of kernels/isa define no symbol that another file may define too.

An inline function or template instance is a weak symbol: the linker keeps one copy for the whole program, and a
copy that was compiled with -mavx512f would be run on CPUs without it.

Run by ctest: python3 isa_symbols_test.py OBJECT …
"""

import pathlib
import subprocess
import sys


def weak_symbols(path):
    listing = subprocess.run(["nm", "--demangle", "--defined-only", path], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        _, kind, name = line.split(maxsplit=2)
        if kind in "WVu" and not name.startswith("DW.ref."):  # a pointer that noexcept needs, not code
            yield name


def main():
    objects = [path for path in sys.argv[1:] if pathlib.Path(path).parent.name == "isa"]
    if not objects:
        sys.exit("no object file of isa/ among the arguments")
    found = [f"{path}: {name}" for path in objects for name in weak_symbols(path)]
    for line in found:
        print(line)
    print(f"{len(objects)} object files, {len(found)} weak symbols")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
