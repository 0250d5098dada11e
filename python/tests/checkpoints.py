"""The models that the tests run: a tiny random one, written anew, and SmolLM2 where scripts/get-model made it."""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/apps"))

import tiny_checkpoint  # noqa: E402

MODEL = ROOT / "models/smollm2-135m-instruct"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def require_model() -> str:
    """SmolLM2's directory; skips the test where it is not there."""
    if not (MODEL / "config.json").is_file():
        raise unittest.SkipTest(f"{MODEL} is not there; scripts/get-model makes it")
    return str(MODEL)


def lay_out_hub(home: pathlib.Path, name: str, model: str) -> None:
    """A Hugging Face cache under `home` (HF_HOME) in which `name` is the files of `model`."""
    cached = home / "hub" / f"models--{name.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    snapshot = cached / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for file in pathlib.Path(model).iterdir():
        (snapshot / file.name).symlink_to(file.resolve())


class TinyModel(unittest.TestCase):
    """Tests over a tiny random checkpoint, at self.model, in a folder of their own, self.folder."""

    folder: pathlib.Path
    model: str

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="octet-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.model = str(tiny_checkpoint.write(cls.folder / "tiny"))
        os.environ["HF_HUB_OFFLINE"] = "1"
