"""Arrays over the engine's own memory: the blocks of the KV cache and its scales, without a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from octet import _octet
from octet.fp8 import float8_dtype, ml_dtype


def as_array(native: Any) -> Any:
    """A numpy array over the same memory; where numpy is not installed what has DLPack and the buffer protocol."""
    try:
        import numpy
    except ImportError:
        return native
    return numpy.asarray(native)


def _element_type(dtype: str) -> Any:
    import numpy

    if dtype.startswith(("fp8_e4m3", "fp8_e5m2", "fp8_per")):
        return float8_dtype(dtype)
    if dtype == "bfloat16":
        return ml_dtype("bfloat16", "uint16")
    return numpy.dtype({"float16": "float16", "float32": "float32"}.get(dtype, "uint8"))


@dataclass
class CacheBlocks:
    """Keys or values of one layer, as they are stored; views of the cache's memory, not to be written.

    dtype: "fp8_e4m3", "float16", "int8_per_token_head", … codes: keys [block, kv_head, block_size / key_tile,
    head_dim, key_tile], values [block, kv_head, block_size, head_dim]; float8 and bfloat16 through ml_dtypes where it
    is installed, else the bits, as uint8 and uint16; int8 codes are bits too (sign and magnitude). scales: [kv_head],
    value = number * scale. token_scales: [block, kv_head, block_size] of the per_token_head dtypes, else None.
    """

    dtype: str
    codes: Any
    scales: Any
    token_scales: Any = None


def _blocks(memory: dict[str, Any], which: str) -> CacheBlocks:
    import numpy

    tensor = memory[which]
    raw = numpy.asarray(tensor["bytes"])
    num_blocks, heads, head_bytes = raw.shape
    size, dim, tile = memory["block_size"], memory["head_dim"], memory["key_tile"]
    element = _element_type(tensor["dtype"])
    inner = (size // tile, dim, tile) if which == "k" else (size, dim)

    def view(shape: tuple[int, ...], dtype: Any, offset: int) -> Any:
        strides = [dtype.itemsize]
        for length in reversed(shape[1:]):
            strides.insert(0, strides[0] * length)
        strides = [heads * head_bytes, head_bytes, *strides]
        return numpy.ndarray((num_blocks, heads, *shape), dtype, buffer=raw, offset=offset, strides=strides)

    offset = tensor["token_scales_offset"]
    token_scales = view((size,), _element_type("bfloat16"), offset) if offset < head_bytes else None
    return CacheBlocks(tensor["dtype"], view(inner, element, 0), as_array(tensor["scales"]), token_scales)


def cache_blocks(engine: _octet.Engine, layer: int) -> tuple[CacheBlocks, CacheBlocks]:
    """Keys and values of one layer. Raises InvalidArgumentError for a layer that is not there. Needs numpy."""
    memory = _octet.cache_memory(engine, layer)
    return _blocks(memory, "k"), _blocks(memory, "v")


def layer_scales(engine: _octet.Engine) -> list[dict[str, Any]]:
    """Of every layer {"k": [kv_head], "v": [kv_head], "q": [head] or None}, float32."""
    found = []
    for layer in range(sum(len(group["layers"]) for group in engine.kv_cache_stats()["groups"])):
        memory = _octet.cache_memory(engine, layer)
        q = memory["q_scales"]
        found.append(
            {
                "k": as_array(memory["k"]["scales"]),
                "v": as_array(memory["v"]["scales"]),
                "q": None if q is None else as_array(q),
            }
        )
    return found
