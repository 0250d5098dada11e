"""LLM's and AsyncLLM's arguments, with vLLM's names, as the options of the C++ library."""

from __future__ import annotations

import os
from typing import Any

from octet import _octet
from octet.arguments import refuse_unknown, set_field, take_inert
from octet.errors import InvalidArgumentError
from octet.model_names import resolve

# The fields of LLMOptions (include/octet/llm.h) that are passed as they are.
OPTIONS = (
    "dtype",
    "kv_cache_dtype",
    "kv_cache_dtype_k",
    "kv_cache_dtype_v",
    "kv_scale_strategy",
    "attention_math",
    "max_model_len",
    "block_size",
    "kv_cache_memory_bytes",
    "max_num_seqs",
    "max_num_batched_tokens",
    "safetensors_load_strategy",
    "quantization",
    "enable_prefix_caching",
    "disable_hybrid_kv_cache_manager",
    "threads",
    "isa",
)
_OTHER = ("kv_cache_dtype_skip_layers", "calculate_kv_scales", "chat_template", "revision", "download_dir")

_ONE_PROCESS = "one process runs the model"
_INERT: dict[str, tuple[tuple[Any, ...], str]] = {
    "tensor_parallel_size": ((1,), _ONE_PROCESS),
    "pipeline_parallel_size": ((1,), _ONE_PROCESS),
    "data_parallel_size": ((1,), _ONE_PROCESS),
    "trust_remote_code": ((True, False), "code of a checkpoint is never run"),
    "enforce_eager": ((True, False), "there are no graphs"),
    "enable_chunked_prefill": ((None, True), "long prompts always go in chunks"),
    "disable_log_stats": ((True, False), "nothing is logged"),
    "tokenizer_mode": (("auto",), "the checkpoint's tokenizer is used"),
    "tokenizer": ((None,), "the checkpoint's tokenizer is used"),
    "tokenizer_revision": ((None,), "the checkpoint's tokenizer is used"),
    "skip_tokenizer_init": ((False,), "the tokenizer is always loaded"),
    "gpu_memory_utilization": ((), "there is no GPU; kv_cache_memory_bytes sets the size of the cache"),
    "swap_space": ((0,), "requests are computed again, not swapped"),
    "cpu_offload_gb": ((0,), "everything is on the CPU"),
    "seed": ((None, 0), "each request has its own seed, SamplingParams(seed=…)"),
    "load_format": (("auto", "safetensors"), "weights are read from safetensors or GGUF, as the model is"),
    "runner": (("auto", "generate"), "models generate text"),
    "task": (("auto", "generate"), "models generate text"),
    "device": ((None, "auto", "cpu"), "models run on the CPU"),
}


class EngineArguments:
    """Checked, with the model found; what an Engine is made from.

    Raises TypeError for an argument that is not there, naming the nearest; InvalidArgumentError for a value that asks
    for what Octet does not do.
    """

    def __init__(self, model: str | os.PathLike[str], given: dict[str, Any], function: str) -> None:
        given = dict(given)
        if (
            "tokenizer" in given
            and given["tokenizer"] is not None
            and os.fspath(given["tokenizer"]) == os.fspath(model)
        ):
            del given["tokenizer"]
        if given.get("quantization") == "compressed-tensors":
            del given["quantization"]  # what the checkpoint says itself
        take_inert(function, given, _INERT)
        known = (*OPTIONS, *_OTHER)
        refuse_unknown(function, {k: v for k, v in given.items() if k not in known}, ("model", *known))
        self.name = os.fspath(model)
        self.chat_template = os.fspath(given.get("chat_template") or "")
        options = _octet.LLMOptions()
        options.model = resolve(model, given.get("revision"), given.get("download_dir"))
        for name in OPTIONS:
            if given.get(name) is not None:
                set_field(options, name, given[name], f"{function}: {name}")
        options.calculate_kv_scales = _scales_from(given.get("calculate_kv_scales", False))
        layers = given.get("kv_cache_dtype_skip_layers")
        layers = [layers] if isinstance(layers, (str, int)) else layers or []
        options.kv_cache_dtype_skip_layers = [str(layer) for layer in layers]
        self.options = options

    def engine(self) -> _octet.Engine:
        """Loads the model. Raises OctetError."""
        unlimited = 2**31 - 1 - max(self.options.max_num_seqs, 0)  # less is what the library refuses
        return _octet.Engine(self.options, unlimited, self.chat_template)

    def evaluation_config(self) -> str:
        """The cache of this engine as `octet eval --configs` writes it."""
        options = self.options
        parts = [options.kv_cache_dtype]
        for name, value, default in (
            ("k", options.kv_cache_dtype_k, ""),
            ("v", options.kv_cache_dtype_v, ""),
            ("skip", ",".join(options.kv_cache_dtype_skip_layers), ""),
            ("scales", options.calculate_kv_scales, ""),
            ("strategy", options.kv_scale_strategy, "tensor"),
            ("math", options.attention_math, "fp32"),
            ("dtype", options.dtype, "float32"),
            ("quantization", options.quantization, ""),
        ):
            if value != default:
                parts.append(f"{name}={value}")
        return "+".join(parts)


def _scales_from(value: bool | str) -> str:
    if value is True:
        return "random"
    if value is False or value is None:
        return ""
    if isinstance(value, str):
        return value
    raise InvalidArgumentError(
        f"expected True, False, 'random', 'prompt' or 'bound', found {value!r}", "calculate_kv_scales"
    )
