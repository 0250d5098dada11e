"""`python -m octet` is the program octet: generate, serve, calibrate, eval, inspect, plan and bench."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Becomes the program, with the same arguments."""
    program = Path(__file__).parent / "bin" / "octet"
    os.execv(program, ["octet", *sys.argv[1:]])


if __name__ == "__main__":
    main()
