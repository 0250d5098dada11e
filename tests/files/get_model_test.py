"""scripts/get-model's parts on a tiny GGUF file: block layouts, rounding, row order, and refusals."""

import json
import os
import struct
import sys
import tempfile
import unittest

try:
    import numpy as np
except ModuleNotFoundError:
    print("skipped: this Python has no numpy")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
from gguf_file import GgufError, GgufFile  # noqa: E402
from llama_checkpoint import FILES, to_bfloat16, unpermute, write_checkpoint  # noqa: E402

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TYPES = {"F32": 0, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8}
HEADS, KV_HEADS, HEAD_DIM, WIDTH, INNER = 2, 1, 16, 32, 64


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def typed(value):
    if isinstance(value, bool):
        return BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return U32, struct.pack("<I", value)
    if isinstance(value, float):
        return F32, struct.pack("<f", value)
    if isinstance(value, str):
        return STRING, text(value)
    kind = typed(value[0])[0]
    return ARRAY, struct.pack("<IQ", kind, len(value)) + b"".join(typed(item)[1] for item in value)


def write_gguf(path, metadata, tensors):
    """tensors: name -> (type's name, row-major shape, bytes)."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for name, value in metadata.items():
        kind, data = typed(value)
        header += text(name) + struct.pack("<I", kind) + data
    body = b""
    for name, (kind, shape, data) in tensors.items():
        header += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        header += struct.pack("<IQ", TYPES[kind], len(body))
        body += data + b"\0" * (-len(data) % 32)
    with open(path, "wb") as file:
        file.write(header + b"\0" * (-len(header) % 32) + body)


def tiny_llama():
    rng = np.random.default_rng(1)

    def f32(*shape):
        return "F32", shape, rng.standard_normal(shape, np.float32).tobytes()

    tensors = {"token_embd.weight": f32(4, WIDTH), "output_norm.weight": f32(WIDTH)}
    for name, shape in {
        "attn_norm": (WIDTH,),
        "ffn_norm": (WIDTH,),
        "attn_q": (HEADS * HEAD_DIM, WIDTH),
        "attn_k": (KV_HEADS * HEAD_DIM, WIDTH),
        "attn_v": (KV_HEADS * HEAD_DIM, WIDTH),
        "attn_output": (WIDTH, HEADS * HEAD_DIM),
        "ffn_gate": (INNER, WIDTH),
        "ffn_up": (INNER, WIDTH),
        "ffn_down": (WIDTH, INNER),
    }.items():
        tensors[f"blk.0.{name}.weight"] = f32(*shape)
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 128,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 100000.0,
        "llama.rope.dimension_count": HEAD_DIM,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": ["<|end|>", "a", "b", "ab"],
        "tokenizer.ggml.token_type": [3, 1, 1, 1],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": "{{ messages }}",
    }
    for which in ("bos", "eos", "padding", "unknown"):
        metadata[f"tokenizer.ggml.{which}_token_id"] = 0
    return metadata, tensors


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__")
    result = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        result[name] = np.frombuffer(data[begin:end], np.uint16).reshape(entry["shape"])
    return result


class Blocks(unittest.TestCase):
    def read(self, kind, data):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.gguf")
            write_gguf(path, {}, {"t": (kind, (1, 32), data)})
            return GgufFile(path).tensor("t")[0].tolist()

    def test_q8_0_is_scale_times_signed_bytes(self):
        values = list(range(-16, 16))
        self.assertEqual(self.read("Q8_0", struct.pack("<e32b", 0.5, *values)), [0.5 * v for v in values])

    def test_q4_has_low_nibbles_first(self):
        nibbles = bytes(low | (15 - low) << 4 for low in range(16))
        order = list(range(16)) + list(range(15, -1, -1))
        self.assertEqual(self.read("Q4_1", struct.pack("<ee", 2.0, -3.0) + nibbles), [2.0 * q - 3.0 for q in order])
        self.assertEqual(self.read("Q4_0", struct.pack("<e", 2.0) + nibbles), [2.0 * (q - 8) for q in order])


class Weights(unittest.TestCase):
    def test_bfloat16_rounds_to_nearest_even(self):
        values = np.array([1.0, 1.00390625, 1.01171875, 1.0039064, -1.00390625, 3.4e38], np.float32)
        expected = [0x3F80, 0x3F80, 0x3F82, 0x3F81, 0xBF80, 0x7F80]
        self.assertEqual(to_bfloat16(values).tolist(), expected)
        with self.assertRaises(GgufError):
            to_bfloat16(np.array([np.inf], np.float32))

    def test_pairs_of_rows_move_half_a_head_apart(self):
        rows = np.arange(2 * 6, dtype=np.float32).reshape(12, 1)
        self.assertEqual(unpermute(rows, 2)[:, 0].tolist(), [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11])


class Checkpoint(unittest.TestCase):
    def convert(self, metadata, tensors, folder):
        path = os.path.join(folder, "m.gguf")
        write_gguf(path, metadata, tensors)
        write_checkpoint(GgufFile(path), folder, lambda done, total: None)

    def test_all_files_and_tensors_are_there(self):
        metadata, tensors = tiny_llama()
        with tempfile.TemporaryDirectory() as folder:
            self.convert(metadata, tensors, folder)
            self.assertLessEqual(set(FILES), set(os.listdir(folder)))
            found = read_safetensors(os.path.join(folder, "model.safetensors"))
            with open(os.path.join(folder, "config.json")) as file:
                config = json.load(file)
        self.assertEqual(len(found), len(tensors))
        source = np.frombuffer(tensors["blk.0.attn_q.weight"][2], np.float32).reshape(HEADS * HEAD_DIM, WIDTH)
        q = found["model.layers.0.self_attn.q_proj.weight"]
        self.assertEqual(q[1].tolist(), to_bfloat16(source[2]).tolist())
        self.assertEqual(q[HEAD_DIM // 2].tolist(), to_bfloat16(source[1]).tolist())
        self.assertEqual(config["rms_norm_eps"], 1e-5)
        self.assertTrue(config["tie_word_embeddings"])
        self.assertEqual(config["num_key_value_heads"], KV_HEADS)

    def test_what_is_missing_or_unknown_is_named(self):
        metadata, tensors = tiny_llama()
        without = {name: tensor for name, tensor in tensors.items() if name != "blk.0.ffn_up.weight"}
        cases = [
            (metadata, without, "blk.0.ffn_up.weight is missing"),
            (metadata, tensors | {"odd": tensors["output_norm.weight"]}, "odd is unexpected"),
            (metadata | {"general.architecture": "gpt2"}, tensors, "architecture gpt2"),
            (metadata | {"tokenizer.ggml.pre": "other"}, tensors, "gpt2/other"),
        ]
        for changed_metadata, changed_tensors, message in cases:
            with self.subTest(message), tempfile.TemporaryDirectory() as folder:
                with self.assertRaisesRegex(GgufError, message):
                    self.convert(changed_metadata, changed_tensors, folder)

    def test_a_file_that_ends_early_is_refused(self):
        metadata, tensors = tiny_llama()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.gguf")
            write_gguf(path, metadata, tensors)
            size = os.path.getsize(path)
            for kept in (3, 20, 200, 1000):
                os.truncate(path, kept)
                with self.assertRaises(GgufError):
                    GgufFile(path)
                write_gguf(path, metadata, tensors)
            os.truncate(path, size - 64)
            with self.assertRaisesRegex(GgufError, "ffn_down.* does not fit"):
                GgufFile(path).tensor("blk.0.ffn_down.weight")


if __name__ == "__main__":
    unittest.main()
