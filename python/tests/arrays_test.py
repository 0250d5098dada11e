"""Zero-copy arrays: logits, cache blocks, scales; FP8 codes against ml_dtypes."""

from __future__ import annotations

import gc
import unittest

import checkpoints
import octet
from octet import LLM, SamplingParams, fp8

try:
    import ml_dtypes
    import numpy as np
except ImportError as missing:
    raise unittest.SkipTest(f"needs numpy and ml_dtypes: {missing}") from None

ONE = SamplingParams(temperature=0, max_tokens=1)


class Fp8(unittest.TestCase):
    def test_codes_are_ml_dtypes_with_saturation(self) -> None:
        values = np.random.default_rng(1).normal(0, 100, 4096).astype(np.float32)
        for dtype, kind in (("fp8_e4m3", ml_dtypes.float8_e4m3fn), ("fp8_e5m2", ml_dtypes.float8_e5m2)):
            codes = fp8.quantize(values.reshape(64, 64), 0.5, dtype)
            self.assertEqual((kind, (64, 64)), (codes.dtype.type, codes.shape))
            largest = float(ml_dtypes.finfo(kind).max)
            expected = np.clip(values / np.float32(0.5), -largest, largest).astype(kind)
            np.testing.assert_array_equal(expected.view(np.uint8), codes.ravel().view(np.uint8))
            back = fp8.dequantize(codes, 0.5)
            np.testing.assert_array_equal(expected.astype(np.float32) * np.float32(0.5), back.ravel())
            np.testing.assert_array_equal(back, fp8.dequantize(codes.view(np.uint8), 0.5, dtype))

    def test_refusals(self) -> None:
        with self.assertRaisesRegex(octet.InvalidArgumentError, "scale"):
            fp8.quantize(np.ones(3), 0.0)
        with self.assertRaisesRegex(octet.InvalidArgumentError, "fp8_e4m3, fp8_e5m2 or fp8"):
            fp8.quantize(np.ones(3), 1.0, "int4")
        with self.assertRaisesRegex(octet.InvalidArgumentError, "codes: expected uint8"):
            fp8.dequantize(np.ones(3, np.float32))


class Cache(checkpoints.TinyModel):
    def test_logits_say_what_comes_next(self) -> None:
        llm = LLM(self.model, kv_cache_dtype="fp8")
        logits = llm.logits("abc")
        self.assertEqual((np.float32, (3, llm.vocab_size)), (logits.dtype.type, logits.shape))
        np.testing.assert_array_equal(logits[-1:], llm.logits([97, 98, 99], last_only=True))
        native = octet._octet.logits(llm._engine, [97, 98, 99], False)
        np.testing.assert_array_equal(logits, np.from_dlpack(native))
        self.assertEqual(np.asarray(native).ctypes.data, np.from_dlpack(native).ctypes.data, "nothing is copied")
        token = llm.generate("abc", ONE, use_tqdm=False)[0].outputs[0].token_ids[0]
        self.assertEqual(token, int(logits[-1].argmax()))
        del llm
        gc.collect()
        self.assertTrue(np.isfinite(logits).all())

    def written(self, blocks) -> int:
        """The block that the only request wrote."""
        tokens = np.abs(blocks.codes[:, 0, :, :].astype(np.float32)).sum(axis=(1, 2))
        found = np.flatnonzero(tokens)
        self.assertEqual(1, len(found))
        return int(found[0])

    def values(self, **arguments):
        llm = LLM(self.model, block_size=16, **arguments)
        llm.generate([[1, 2, 3]], ONE, use_tqdm=False)
        keys, values = llm.kv_cache_blocks(0)  # what stands here depends on no cache before it
        block = self.written(values)
        return llm, keys, values, block

    def test_blocks_hold_what_was_stored(self) -> None:
        llm, keys, values, block = self.values()
        exact_k = keys.codes[block].transpose(0, 1, 3, 2).reshape(2, 16, 16)[:, :3]
        exact_v = values.codes[block][:, :3]
        self.assertEqual(("float32", np.float32), (keys.dtype, keys.codes.dtype.type))
        self.assertFalse(values.codes.flags.writeable)
        del llm, keys, values  # the views keep the memory
        gc.collect()

        for dtype, tolerance in (("float16", 2**-11), ("bfloat16", 2**-8), ("fp8_e4m3", 2**-4), ("fp8_e5m2", 2**-3)):
            _, keys, values, block = self.values(kv_cache_dtype=dtype)
            found_k = keys.codes[block].astype(np.float32).transpose(0, 1, 3, 2).reshape(2, 16, 16)[:, :3]
            found_v = values.codes[block].astype(np.float32)[:, :3]
            np.testing.assert_allclose(found_k * keys.scales[0], exact_k, rtol=1.01 * tolerance, atol=0.001)
            np.testing.assert_allclose(found_v * values.scales[0], exact_v, rtol=1.01 * tolerance, atol=0.001)

        _, keys, values, block = self.values(kv_cache_dtype="fp8_per_token_head")
        found = (
            values.codes[block].astype(np.float32)[:, :3] * values.token_scales[block].astype(np.float32)[:, :3, None]
        )
        np.testing.assert_allclose(found, exact_v, rtol=0.07, atol=0.01)

    def test_views_are_views(self) -> None:
        llm = LLM(self.model, kv_cache_dtype="fp8")
        _, values = llm.kv_cache_blocks(0)
        self.assertEqual(0, np.count_nonzero(values.codes.view(np.uint8)))
        llm.generate("abc", ONE, use_tqdm=False)
        self.assertGreater(np.count_nonzero(values.codes.view(np.uint8)), 0)
        self.assertIs(values.codes.dtype.type, ml_dtypes.float8_e4m3fn)
        with self.assertRaisesRegex(octet.InvalidArgumentError, "layer: expected 0 to 1, found 2"):
            llm.kv_cache_blocks(2)

    def test_scales_are_those_that_are_used(self) -> None:
        layers = LLM(self.model, kv_cache_dtype="fp8").kv_scales()
        self.assertEqual(2, len(layers))
        np.testing.assert_array_equal(layers[0]["k"], np.ones(2, np.float32))
        self.assertIsNone(layers[0]["q"])
        calculated = LLM(self.model, kv_cache_dtype="fp8", calculate_kv_scales=True, kv_scale_strategy="attn_head")
        for layer in calculated.kv_scales():
            self.assertNotEqual(float(layer["k"][0]), float(layer["k"][1]))


if __name__ == "__main__":
    unittest.main()
