"""Models by their names: the local Hugging Face cache, for the package and the program; downloads through the hub."""

from __future__ import annotations

import os
import subprocess
import sys
import types
import unittest
from unittest import mock

import checkpoints
import octet
from octet import LLM, SamplingParams

NAME = "meta-llama/Llama-2-7b-chat-hf"


class Names(checkpoints.TinyModel):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        checkpoints.lay_out_hub(cls.folder / "home", NAME, cls.model)

    def environment(self, **changes: str):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_", "TRANSFORMERS_"))}
        return mock.patch.dict(os.environ, {**clean, "HF_HOME": str(self.folder / "home"), **changes}, clear=True)

    def test_a_name_in_the_cache_is_found_by_package_and_program(self) -> None:
        params = SamplingParams(temperature=0, max_tokens=4)
        with self.environment(HF_HUB_OFFLINE="1"):
            by_name = LLM(model=NAME).generate("abc", params, use_tqdm=False)[0].outputs[0].token_ids
            self.assertEqual(2, octet.inspect(NAME)["num_layers"])
            result = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "octet",
                    "generate",
                    NAME,
                    "--prompt-token-ids",
                    "97,98,99",
                    "--max-tokens",
                    "4",
                    "--temperature",
                    "0",
                    "--json",
                ],
                capture_output=True,
                text=True,
            )
        self.assertEqual(LLM(self.model).generate("abc", params, use_tqdm=False)[0].outputs[0].token_ids, by_name)
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertIn(", ".join(map(str, by_name)).replace(" ", ""), result.stdout.replace(" ", ""))

    def test_revisions(self) -> None:
        with self.environment(HF_HUB_OFFLINE="1"):
            self.assertEqual(2, octet.inspect(NAME, revision=checkpoints.COMMIT)["num_layers"])
            with self.assertRaisesRegex(octet.NotFoundError, "no revision 'v9'"):
                LLM(NAME, revision="v9")

    def test_it_downloads_only_where_it_may_and_must(self) -> None:
        calls = []

        def snapshot_download(name: str, revision=None, cache_dir=None, allow_patterns=None) -> str:
            calls.append((name, revision, cache_dir))
            return self.model

        hub = types.SimpleNamespace(snapshot_download=snapshot_download)
        with mock.patch.dict(sys.modules, {"huggingface_hub": hub}):
            with self.environment():
                LLM(NAME)
                LLM(self.model)
                self.assertEqual([], calls)
                LLM("org/other")
                LLM("org/other", revision="v1", download_dir=str(self.folder / "elsewhere"))
            self.assertEqual([("org/other", None, None), ("org/other", "v1", str(self.folder / "elsewhere"))], calls)
            with self.environment(HF_HUB_OFFLINE="1"), self.assertRaisesRegex(octet.NotFoundError, "org/other"):
                LLM("org/other")
        self.assertEqual(2, len(calls))

    def test_calibrating_a_cached_model_writes_to_the_current_folder(self) -> None:
        from calibration_test import TEXTS, recipe

        work = self.folder / "work"
        work.mkdir()
        before = os.getcwd()
        os.chdir(work)
        try:
            with self.environment(HF_HUB_OFFLINE="1"):
                result = octet.oneshot(NAME, TEXTS, recipe(), max_seq_length=64, use_tqdm=False)
                subprocess.run(
                    [sys.executable, "-m", "octet", "calibrate", NAME, "--dataset", "none", "--method", "bound"],
                    check=True,
                    capture_output=True,
                )
        finally:
            os.chdir(before)
        self.assertEqual("Llama-2-7b-chat-hf-kvattn-fp8-attn_head", os.path.relpath(result.output, "."))
        self.assertEqual(
            {"Llama-2-7b-chat-hf-kvattn-fp8-attn_head", "Llama-2-7b-chat-hf-kvattn-fp8-tensor"},
            {p.name for p in work.iterdir()},
        )


if __name__ == "__main__":
    unittest.main()
