"""The examples, run as they stand: a Hugging Face cache of our own holds SmolLM2 under Llama's name."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import checkpoints

EXAMPLES = checkpoints.ROOT / "examples"


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="octet-examples-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        checkpoints.lay_out_hub(cls.folder, "meta-llama/Llama-2-7b-chat-hf", checkpoints.require_model())

    def run_example(self, name: str, *arguments: str) -> str:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_"))}
        environment |= {"HF_HOME": str(self.folder), "HF_HUB_OFFLINE": "1"}
        result = subprocess.run(
            [sys.executable, "-B", EXAMPLES / name, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.folder,
            timeout=300,
        )
        self.assertEqual(0, result.returncode, result.stderr)
        return result.stdout

    def test_generate(self) -> None:
        self.assertGreater(len(self.run_example("generate.py").split()), 3)

    def test_calibrate(self) -> None:
        lines = self.run_example("calibrate.py", "calibrated").splitlines()
        self.assertEqual("checkpoint (60 tensors)", lines[0])
        self.assertIn("sky", lines[1].lower())
        self.assertTrue((self.folder / "calibrated/config.json").is_file())

    def test_stream(self) -> None:
        lines = self.run_example("stream.py").splitlines()
        self.assertEqual(3, len({line.split(" … ")[0] for line in lines}))
        self.assertGreater(len(lines), 9)


if __name__ == "__main__":
    unittest.main()
