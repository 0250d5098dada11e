"""A checkpoint with calibrated KV scales, written with the names and the quantization_config that
compressed-tensors uses: Octet finds the scales by itself and computes what transformers computes with them.
"""

import json
import pathlib
import shutil
import tempfile
import unittest

import torch
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file, save_file

import octet_program
import transformers_model
from transformers_model import through

TOKENS = 32


def calibration():
    return json.loads((octet_program.GOLDEN / "calibration.json").read_text(encoding="utf-8"))


def write_checkpoint(folder, strategy):
    """The model with k and v scales of one strategy, beside its other files. Returns [layer][head] scales."""
    shutil.copytree(octet_program.MODEL, folder)
    scales = calibration()["scales"][strategy]
    tensors = load_file(folder / "model.safetensors")
    for kind in ("k", "v"):
        for layer, values in enumerate(scales[kind]):
            value = torch.tensor(values, dtype=torch.bfloat16)
            name = f"model.layers.{layer}.self_attn.{kind}_scale"
            tensors[name] = value.reshape(-1, 1, 1) if strategy == "attn_head" else value.reshape(1)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    quantization = dict(calibration()["quantization_config"])
    scheme = json.loads(json.dumps(quantization["kv_cache_scheme"]))
    scheme["strategy"] = strategy
    quantization["kv_cache_scheme"] = scheme
    QuantizationConfig.model_validate(quantization)  # compressed-tensors itself accepts what is written
    config["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    rounded = {kind: [torch.tensor(v, dtype=torch.bfloat16).float().tolist() for v in scales[kind]]
               for kind in ("k", "v")}
    return rounded


class ScaledCheckpoint(unittest.TestCase):
    def compare(self, strategy):
        with tempfile.TemporaryDirectory() as base:
            folder = pathlib.Path(base) / "model"
            scales = write_checkpoint(folder, strategy)
            golden = json.loads((octet_program.GOLDEN / "smollm2.json").read_text(encoding="utf-8"))
            prompts = [prompt["ids"] for prompt in golden["prompts"]]
            answers = octet_program.generate(folder, "--kv-cache-dtype", "auto", "--max-tokens", TOKENS,
                                             "--ignore-eos", *octet_program.id_arguments(prompts))
            loaded = transformers_model.loaded_scales(folder)
        for kind in ("k", "v"):
            self.assertEqual(scales[kind], loaded[kind])  # transformers takes the same tensors for scales
        for prompt, answer in zip(prompts, answers, strict=True):
            self.assertEqual("fp8_e4m3", answer["kv_cache"]["dtype"])  # what quantization_config asks for
            self.assertEqual(strategy, answer["kv_cache"]["scale_strategy"])
            expected = transformers_model.logprobs(
                octet_program.MODEL, prompt, answer["token_ids"], through("fp8_e4m3", scales["k"]),
                through("fp8_e4m3", scales["v"]))
            for step, chosen in enumerate(answer["token_ids"]):
                self.assertGreaterEqual(expected[step, chosen].item(), expected[step].max().item() - 0.5)

    def test_per_tensor(self):
        self.compare("tensor")

    def test_per_attention_head(self):
        self.compare("attn_head")


if __name__ == "__main__":
    unittest.main()
