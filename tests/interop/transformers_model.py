"""The same model in transformers: float32 arithmetic, with a cache that stores what Octet's stores."""

import contextlib
import copy
import functools
import io

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import DynamicCache
from transformers.utils import logging

# By the names of kv_cache.dtype in `octet generate --json`.
FORMATS = {"fp8_e4m3": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2, "float16": torch.float16,
           "bfloat16": torch.bfloat16, "float32": torch.float32}


@functools.cache
def load(directory):
    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()


def load_gguf(path):
    """The model of a GGUF file, its weights dequantised to float32: a plain model, that can be saved."""
    logging.disable_progress_bar()
    # Its own progress bar has no switch.
    with contextlib.redirect_stderr(io.StringIO()):
        read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    config = copy.deepcopy(read.config)
    del config.quantization_config
    config._attn_implementation = "eager"
    model = type(read)(config).eval()
    model.load_state_dict(read.state_dict())
    return model


def write_checkpoint(model, gguf, directory):
    """Saves what load_gguf() gave, in its present dtype, with the tokenizer of the file."""
    model.save_pretrained(directory)
    with contextlib.redirect_stderr(io.StringIO()):
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(directory)


class StoredCache(DynamicCache):
    """Keys and values pass through the storage format and back before they are attended to."""

    def __init__(self, store_key, store_value):
        super().__init__()
        self.store_key = store_key
        self.store_value = store_value

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        return super().update(self.store_key(key_states, layer_idx), self.store_value(value_states, layer_idx),
                              layer_idx, *args, **kwargs)


def through(dtype, scales=None):
    """x -> dequantise(quantise(x)), saturating, with [layer][kv head] scales (1.0 where there are none)."""
    stored = FORMATS[dtype]
    most = torch.finfo(stored).max

    def store(x, layer):  # [batch, kv_head, token, dim]
        scale = 1.0 if scales is None else torch.tensor(scales[layer]).reshape(1, -1, 1, 1)
        return (x / scale).clamp(-most, most).to(stored).float() * scale

    return store


@torch.no_grad()
def logits(model, ids, store):
    """Logits [len(ids), vocab] of a model over a cache that keys and values are stored into."""
    return model(torch.tensor([ids]), past_key_values=StoredCache(store, store), use_cache=True).logits[0]


@torch.no_grad()
def logprobs(directory, prompt, continuation, store_key, store_value):
    """Log-probabilities [len(continuation), vocab] at each step of a given continuation."""
    ids = torch.tensor([list(prompt) + list(continuation)])
    logits = load(directory)(ids, past_key_values=StoredCache(store_key, store_value), use_cache=True).logits[0]
    return torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1)


def loaded_scales(directory):
    """{kind: [layer][1 or kv head]}: the scale parameters of a checkpoint that transformers loaded as quantised."""
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(directory, dtype="auto")
    layers = [layer.self_attn for layer in model.model.layers]
    return {kind: [getattr(layer, f"{kind}_scale").float().reshape(-1).tolist() for layer in layers]
            for kind in ("q", "k", "v") if hasattr(layers[0], f"{kind}_scale")}
