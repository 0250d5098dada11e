"""A tiny random Llama checkpoint with a byte-level tokenizer, for tests of the program. Standard library only."""

import array
import json
import pathlib
import random
import struct

VOCAB = 259  # 256 bytes, then <|end|>, <|user|>, <|assistant|>
HIDDEN, MLP, HEADS, KV_HEADS, HEAD_DIM, LAYERS = 32, 64, 4, 2, 16, 2
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_characters():
    """The printable stand-in of each byte in byte-level vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


def tokenizer():
    specials = ["<|end|>", "<|user|>", "<|assistant|>"]
    added = [
        {"id": 256 + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for i, token in enumerate(specials)
    ]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {c: i for i, c in enumerate(byte_characters())}, "merges": []},
    }


def tensors(seed):
    """name -> (shape, floats); rows of about unit gain, so that choices have clear margins."""
    generator = random.Random(seed)

    def matrix(rows, cols, gain):
        width = gain * (3 / cols) ** 0.5
        return [rows, cols], array.array("f", (generator.uniform(-width, width) for _ in range(rows * cols)))

    def ones():
        return [HIDDEN], array.array("f", [1.0] * HIDDEN)

    found = {"model.embed_tokens.weight": matrix(VOCAB, HIDDEN, 5)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        found[prefix + "input_layernorm.weight"] = ones()
        found[prefix + "self_attn.q_proj.weight"] = matrix(HEADS * HEAD_DIM, HIDDEN, 2)
        found[prefix + "self_attn.k_proj.weight"] = matrix(KV_HEADS * HEAD_DIM, HIDDEN, 2)
        found[prefix + "self_attn.v_proj.weight"] = matrix(KV_HEADS * HEAD_DIM, HIDDEN, 2)
        found[prefix + "self_attn.o_proj.weight"] = matrix(HIDDEN, HEADS * HEAD_DIM, 1.5)
        found[prefix + "post_attention_layernorm.weight"] = ones()
        found[prefix + "mlp.gate_proj.weight"] = matrix(MLP, HIDDEN, 1.5)
        found[prefix + "mlp.up_proj.weight"] = matrix(MLP, HIDDEN, 1.5)
        found[prefix + "mlp.down_proj.weight"] = matrix(HIDDEN, MLP, 1.5)
    found["model.norm.weight"] = ones()
    found["lm_head.weight"] = matrix(VOCAB, HIDDEN, 3)
    return found


def write_safetensors(path, named):
    header, data = {}, b""
    for name, (shape, values) in named.items():
        begin = len(data)
        data += values.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write(folder, max_position_embeddings=256, scales=None, seed=1):
    """Writes the checkpoint; `scales` maps more tensor names to a value each. Returns the folder's name."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB, "hidden_size": HIDDEN,
        "intermediate_size": MLP, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "max_position_embeddings": max_position_embeddings,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "eos_token_id": 256,
        "torch_dtype": "float32", "tie_word_embeddings": False,
    }
    named = tensors(seed)
    for name, value in (scales or {}).items():
        named[name] = ([1], array.array("f", [value]))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "<|end|>", "chat_template": CHAT_TEMPLATE}))
    write_safetensors(folder / "model.safetensors", named)
    return str(folder)
