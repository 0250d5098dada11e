"""A checkpoint that `octet calibrate` wrote, in the hands of others: compressed-tensors parses its config,
transformers and vLLM's loader load it, and every one of them finds the scales that Octet says it wrote, which are
llm-compressor's for the same samples.
"""

import json
import pathlib
import tempfile
import unittest

from compressed_tensors.quantization import QuantizationConfig

import octet_program
import transformers_model
import vllm_model
from scaled_checkpoint_test import calibration


def calibrate(folder, *arguments):
    """What `octet calibrate --json` says of one run on the samples of calibration.json."""
    dataset = pathlib.Path(folder) / "samples.jsonl"
    dataset.write_text("".join(json.dumps({"input_ids": ids}) + "\n" for ids in calibration()["calibration_ids"]),
                       encoding="utf-8")
    done = octet_program.run("calibrate", octet_program.MODEL, "--dataset", dataset, "--no-shuffle", "--json",
                             "--output", pathlib.Path(folder) / "model", *arguments)
    if done.returncode != 0:
        raise AssertionError(f"octet calibrate ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def group_maxima(layers, groups):
    """vLLM keeps one q scale a KV head: the greatest of the query heads that share it."""
    return [[max(values[begin : begin + len(values) // count]) for begin in range(0, len(values), len(values) // count)]
            for values, count in zip(layers, groups, strict=True)]


class CalibratedCheckpoint(unittest.TestCase):
    def assert_close(self, expected, found, relative):
        self.assertEqual([len(layer) for layer in expected], [len(layer) for layer in found])
        for layer, values in enumerate(expected):
            for head, value in enumerate(values):
                self.assertLessEqual(abs(found[layer][head] - value), relative * value, f"layer {layer} head {head}")

    def compare(self, strategy, targets):
        kinds = targets.replace("kv", "") + "kv"
        with tempfile.TemporaryDirectory() as base:
            result = calibrate(base, "--strategy", strategy, "--targets", targets)
            folder = result["output"]
            config = json.loads((pathlib.Path(folder) / "config.json").read_text(encoding="utf-8"))
            quantization = QuantizationConfig.model_validate(config["quantization_config"])
            inspected = octet_program.scales(folder)
            in_transformers = transformers_model.loaded_scales(folder)
            in_vllm = vllm_model.LoadedScales(folder) if vllm_model.INSTALLED else None
        said = {kind: [layer[kind] for layer in result["scales"]] for kind in kinds}
        self.assertEqual(strategy, quantization.kv_cache_scheme.strategy)
        self.assertEqual(8, quantization.kv_cache_scheme.num_bits)
        for kind in kinds:
            self.assert_close(said[kind], inspected[kind], 2**-8)  # the file may hold bfloat16
            self.assertEqual(inspected[kind], in_transformers[kind])
            if kind != "q":
                self.assert_close(calibration()["scales"][strategy][kind], inspected[kind], 0.01)
            if in_vllm:
                groups = [len(layer) for layer in in_vllm.scales[kind]]
                self.assertEqual(group_maxima(inspected[kind], groups), in_vllm.scales[kind])
        if in_vllm:
            self.assertEqual({"fp8"}, in_vllm.cache_dtypes)

    def test_per_tensor(self):
        self.compare("tensor", "kv")

    def test_per_attention_head(self):
        self.compare("attn_head", "kv")

    def test_per_attention_head_with_queries(self):
        self.compare("attn_head", "qkv")

    def test_per_tensor_with_queries(self):
        self.compare("tensor", "qkv")


if __name__ == "__main__":
    unittest.main()
