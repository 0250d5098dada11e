"""vLLM's own loader finds every KV scale of a checkpoint under the names that Octet reads and writes, one a layer
and one a KV head, and takes the FP8 cache from its quantization_config.
"""

import pathlib
import tempfile
import unittest

import octet_program
import vllm_model
from scaled_checkpoint_test import write_checkpoint


@unittest.skipUnless(vllm_model.INSTALLED, "vllm is not installed")
class VllmLoader(unittest.TestCase):
    def compare(self, strategy):
        with tempfile.TemporaryDirectory() as base:
            folder = pathlib.Path(base) / "model"
            written = write_checkpoint(folder, strategy)
            found = vllm_model.LoadedScales(folder)
            ours = octet_program.scales(folder)
        self.assertEqual({"fp8"}, found.cache_dtypes)
        for kind in ("k", "v"):
            self.assertEqual(written[kind], found.scales[kind])  # bit for bit: bfloat16 values in float32
            self.assertEqual(written[kind], ours[kind])

    def test_per_tensor(self):
        self.compare("tensor")

    def test_per_attention_head(self):
        self.compare("attn_head")

    def test_every_spelling_is_mapped(self):
        from vllm.model_executor.model_loader.weight_utils import maybe_remap_kv_scale_name

        wanted = {f"model.layers.0.self_attn.attn.{kind}_scale" for kind in "qkv"}
        spellings = ["{}_scale", "attn.{}_scale", "{}_proj.{}_scale", "qkv_proj.{}_scale", "{}_cache.scale"]
        for spelling in spellings:
            for kind in "kv":
                name = "model.layers.0.self_attn." + spelling.format(kind, kind)
                self.assertEqual(f"model.layers.0.self_attn.attn.{kind}_scale",
                                 maybe_remap_kv_scale_name(name, dict.fromkeys(wanted)), name)


if __name__ == "__main__":
    unittest.main()
