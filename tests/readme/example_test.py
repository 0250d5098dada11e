"""Runs README's C++ example from the root of the checkout and looks for the answers in what it prints.

Run by ctest: python3 example_test.py PROGRAM
"""

import pathlib
import re
import subprocess
import sys

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
SKIPPED = 77  # ctest's SKIP_RETURN_CODE


def main():
    program = sys.argv[1]
    example = re.search(r"^```cpp\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL).group(1)
    model = re.search(r'"(models/[^"]+)"', example).group(1)
    if not pathlib.Path(model, "config.json").is_file():
        print(f"skipped: {model} is not there; scripts/get-model makes it")
        sys.exit(SKIPPED)
    done = subprocess.run([program], capture_output=True, text=True, timeout=300)
    print(done.stdout + done.stderr)
    prompts = re.findall(r'^\s+"([A-Z][^"]+)",?', example, re.MULTILINE)
    missing = [prompt for prompt in prompts if not re.search(re.escape(prompt) + r".*\w", done.stdout)]
    if done.returncode != 0 or not prompts or missing:
        sys.exit(f"status {done.returncode}; no answer to {missing or prompts}")


if __name__ == "__main__":
    main()
