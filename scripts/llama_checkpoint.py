"""Writes a Llama GGUF file as a Hugging Face checkpoint in bfloat16, with its tokenizer and chat template."""

import json
import os
from typing import Any, Callable, Iterator

import numpy as np

from gguf_file import GgufError, GgufFile

WEIGHTS = "model.safetensors"
FILES = (
    WEIGHTS,
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)

_CONTROL = 3  # GGUF's token type for special tokens

# GPT-2's byte level. The published tokenizer also sets every digit apart before it, and transformers 5, which
# made tests/golden, drops that step for this tokenizer class; no token holds two digits, so the two differ only
# at blanks before a digit ("a  3") and at numerals that are not digits ("\u00bd"). The golden values decide.
_PRE_TOKENIZERS = {
    "smollm": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
}


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounds float32 to bfloat16 (nearest, ties to even) as uint16. The values must be finite."""
    if not np.isfinite(values).all():
        raise GgufError("a weight is not finite")
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16).astype("<u2")


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q_proj or k_proj from GGUF's order to Hugging Face's.

    GGUF keeps the two rows that rotary embedding turns together side by side; Hugging Face keeps them half a
    head apart. Shape: [heads * head_dim, D] in and out.
    """
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _tensor_sources(gguf: GgufFile) -> dict[str, tuple[str, int]]:
    """Hugging Face name -> (GGUF name, heads to un-permute over or 0)."""
    heads, kv_heads = gguf["llama.attention.head_count"], gguf["llama.attention.head_count_kv"]
    names = {
        "model.embed_tokens.weight": ("token_embd.weight", 0),
        "model.norm.weight": ("output_norm.weight", 0),
    }
    if "output.weight" in gguf.tensors:
        names["lm_head.weight"] = ("output.weight", 0)
    for layer in range(gguf["llama.block_count"]):
        hf, block = f"model.layers.{layer}.", f"blk.{layer}."
        names |= {
            hf + "input_layernorm.weight": (block + "attn_norm.weight", 0),
            hf + "self_attn.q_proj.weight": (block + "attn_q.weight", heads),
            hf + "self_attn.k_proj.weight": (block + "attn_k.weight", kv_heads),
            hf + "self_attn.v_proj.weight": (block + "attn_v.weight", 0),
            hf + "self_attn.o_proj.weight": (block + "attn_output.weight", 0),
            hf + "post_attention_layernorm.weight": (block + "ffn_norm.weight", 0),
            hf + "mlp.gate_proj.weight": (block + "ffn_gate.weight", 0),
            hf + "mlp.up_proj.weight": (block + "ffn_up.weight", 0),
            hf + "mlp.down_proj.weight": (block + "ffn_down.weight", 0),
        }
    wanted = {source for source, _ in names.values()}
    if wanted != set(gguf.tensors):
        odd = sorted(wanted ^ set(gguf.tensors))[0]
        raise GgufError(f"{gguf.path}: tensor {odd} is {'unexpected' if odd in gguf.tensors else 'missing'}")
    return names


def _write_weights(gguf: GgufFile, path: str, progress: Callable[[int, int], None]) -> None:
    sources = dict(sorted(_tensor_sources(gguf).items()))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (source, _) in sources.items():
        shape = list(gguf.tensors[source].shape)
        begin, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data stand aligned in the file
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for done, (source, heads) in enumerate(sources.values()):
            values = gguf.tensor(source)
            file.write(to_bfloat16(unpermute(values, heads) if heads else values).tobytes())
            progress(done + 1, len(sources))
        file.flush()
        os.fsync(file.fileno())


def _config(gguf: GgufFile) -> dict[str, Any]:
    heads, hidden = gguf["llama.attention.head_count"], gguf["llama.embedding_length"]
    # GGUF keeps it as float32: the shortest decimal that reads back as the same float32.
    eps = float(str(np.float32(gguf["llama.attention.layer_norm_rms_epsilon"])))
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": gguf["tokenizer.ggml.bos_token_id"],
        "eos_token_id": gguf["tokenizer.ggml.eos_token_id"],
        "head_dim": gguf["llama.rope.dimension_count"],
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": gguf["llama.feed_forward_length"],
        "max_position_embeddings": gguf["llama.context_length"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": gguf["llama.block_count"],
        "num_key_value_heads": gguf["llama.attention.head_count_kv"],
        "pad_token_id": gguf["tokenizer.ggml.padding_token_id"],
        "pretraining_tp": 1,
        "rms_norm_eps": eps,
        "rope_scaling": None,
        "rope_theta": gguf["llama.rope.freq_base"],
        "tie_word_embeddings": "output.weight" not in gguf.tensors,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": len(gguf["tokenizer.ggml.tokens"]),
    }


def _special_tokens(gguf: GgufFile) -> Iterator[tuple[int, dict[str, Any]]]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    kinds = gguf["tokenizer.ggml.token_type"]
    for token_id, text in enumerate(gguf["tokenizer.ggml.tokens"]):
        if kinds[token_id] == _CONTROL:
            yield token_id, {"content": text, **flags}


def _tokenizer(gguf: GgufFile) -> dict[str, Any]:
    kind, pre = gguf["tokenizer.ggml.model"], gguf["tokenizer.ggml.pre"]
    if kind != "gpt2" or pre not in _PRE_TOKENIZERS:
        raise GgufError(f"{gguf.path}: tokenizer {kind}/{pre}; written is gpt2/smollm")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token_id, **token} for token_id, token in _special_tokens(gguf)],
        "normalizer": None,
        "pre_tokenizer": _PRE_TOKENIZERS[pre],
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: token_id for token_id, text in enumerate(gguf["tokenizer.ggml.tokens"])},
            "merges": gguf["tokenizer.ggml.merges"],
        },
    }


def _named_tokens(gguf: GgufFile) -> dict[str, str]:
    tokens = gguf["tokenizer.ggml.tokens"]
    ids = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    return {name: tokens[gguf[f"tokenizer.ggml.{key}_token_id"]] for name, key in ids.items()}


def _tokenizer_config(gguf: GgufFile) -> dict[str, Any]:
    named = _named_tokens(gguf)
    return {
        "add_prefix_space": gguf["tokenizer.ggml.add_space_prefix"],
        "added_tokens_decoder": {str(token_id): token for token_id, token in _special_tokens(gguf)},
        "additional_special_tokens": sorted({named["bos_token"], named["eos_token"]}, reverse=True),
        **named,
        "chat_template": gguf["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": gguf["llama.context_length"],
        "tokenizer_class": "GPT2Tokenizer",
    }


def write_checkpoint(gguf: GgufFile, folder: str, progress: Callable[[int, int], None]) -> None:
    """Writes all of FILES into `folder`, which must exist; the weights last."""
    if gguf["general.architecture"] != "llama":
        raise GgufError(f"{gguf.path}: architecture {gguf['general.architecture']}; written is llama")
    config = _config(gguf)
    tokens = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    documents = {
        "config.json": config,
        "generation_config.json": {"_from_model_config": True, **tokens},
        "tokenizer.json": _tokenizer(gguf),
        "tokenizer_config.json": _tokenizer_config(gguf),
        "special_tokens_map.json": _named_tokens(gguf),
    }
    for name, document in documents.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False, indent=2)
            file.write("\n")
    _write_weights(gguf, os.path.join(folder, WEIGHTS), progress)
