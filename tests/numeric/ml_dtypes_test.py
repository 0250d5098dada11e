"""Compares the numeric room with the ml_dtypes package: all codes decoded, every float16 encoded.

Usage: ml_dtypes_test.py NUMERIC_DUMP. Exits with 77 (ctest: skipped) where the package is missing.
"""

import subprocess
import sys

try:
    import ml_dtypes
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def read_dump(program):
    text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    numbers = iter(text.split())

    def take(count):
        return np.array([int(next(numbers)) for _ in range(count)], dtype=np.uint32)

    decoded = {name: take(256) for name in ("e4m3", "e5m2")}
    encoded = {name: take(65536) for name in ("e4m3", "e5m2", "bfloat16")}
    half = take(65536)
    assert next(numbers, None) is None, "the dump is longer than this test expects"
    return decoded, encoded, half


def same_floats(ours, theirs):
    """Bit for bit, but any NaN equals any NaN."""
    ours = ours.view(np.float32)
    nan = np.isnan(ours) & np.isnan(theirs)
    return nan | (ours.view(np.uint32) == theirs.view(np.uint32))


def main():
    decoded, encoded, half = read_dump(sys.argv[1])
    failures = 0

    def check(name, same):
        nonlocal failures
        print(f"{name}: {same.size} compared, {np.count_nonzero(~same)} differ")
        failures += np.count_nonzero(~same)

    codes = np.arange(256, dtype=np.uint8)
    every_half = np.arange(65536, dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        every_float = every_half.astype(np.float32)
        check("float16 decoded", same_floats(half, every_float))
        for name, theirs, largest in (
            ("e4m3", ml_dtypes.float8_e4m3fn, 448.0),
            ("e5m2", ml_dtypes.float8_e5m2, 57344.0),
        ):
            check(f"{name} decoded", same_floats(decoded[name], codes.view(theirs).astype(np.float32)))
            # ml_dtypes overflows to NaN or infinity; Octet saturates.
            clipped = np.clip(every_float, -largest, largest)  # NaN stays NaN
            expected = clipped.astype(theirs)
            ours = encoded[name].astype(np.uint8)
            both_nan = np.isnan(ours.view(theirs).astype(np.float32)) & np.isnan(expected.astype(np.float32))
            check(f"{name} encoded", both_nan | (ours == expected.view(np.uint8)))
        expected = every_float.astype(ml_dtypes.bfloat16)
        ours = encoded["bfloat16"].astype(np.uint16)
        both_nan = np.isnan(ours.view(ml_dtypes.bfloat16).astype(np.float32)) & np.isnan(every_float)
        check("bfloat16 encoded", both_nan | (ours == expected.view(np.uint16)))
    sys.exit(1 if failures else 0)


main()
