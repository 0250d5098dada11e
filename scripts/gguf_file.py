"""Reads a GGUF file: its metadata, and its tensors dequantised to float32.

Only what a published Llama checkpoint holds is read: version 2 and 3, little-endian, and the tensor types in
`_DEQUANTISE`. Everything else is an Error that names the file and the field.
Source: the GGUF format description and the block layouts of ggml (block_q4_1 and its siblings).
"""

import math
import mmap
import struct
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

_BLOCK = 32  # elements in one block of the Q types below

# GGUF metadata value types, by number: the struct format of the scalar ones.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


class GgufError(Exception):
    """The file is not what it claims to be, or holds what is not read here."""


def _f16(raw: np.ndarray) -> np.ndarray:
    return raw.copy().view(np.float16).astype(np.float32)


def _nibbles(raw: np.ndarray) -> np.ndarray:
    """Low nibbles are elements 0..15 of a block, high nibbles 16..31."""
    return np.concatenate([raw & 0x0F, raw >> 4], axis=1).astype(np.float32)


def _q4_0(raw: np.ndarray) -> np.ndarray:  # f16 scale, 16 bytes of nibbles; (q - 8) * scale
    return (_nibbles(raw[:, 2:]) - np.float32(8)) * _f16(raw[:, :2])


def _q4_1(raw: np.ndarray) -> np.ndarray:  # f16 scale, f16 minimum, nibbles; q * scale + minimum
    return _nibbles(raw[:, 4:]) * _f16(raw[:, :2]) + _f16(raw[:, 2:4])


def _q8_0(raw: np.ndarray) -> np.ndarray:  # f16 scale, 32 signed bytes
    return raw[:, 2:].view(np.int8).astype(np.float32) * _f16(raw[:, :2])


def _bf16(raw: np.ndarray) -> np.ndarray:
    return (raw.copy().view(np.uint16).astype(np.uint32) << 16).view(np.float32)


# Tensor type number: name, elements a block, bytes a block, [blocks, bytes] -> [blocks, elements] float32.
_DEQUANTISE: dict[int, tuple[str, int, int, Callable[[np.ndarray], np.ndarray]]] = {
    0: ("F32", 1, 4, lambda raw: raw.copy().view(np.float32)),
    1: ("F16", 1, 2, _f16),
    2: ("Q4_0", _BLOCK, 18, _q4_0),
    3: ("Q4_1", _BLOCK, 20, _q4_1),
    8: ("Q8_0", _BLOCK, 34, _q8_0),
    30: ("BF16", 1, 2, _bf16),
}


@dataclass
class TensorInfo:
    shape: tuple[int, ...]  # row-major: [rows, columns], the reverse of GGUF's own order
    type: int
    offset: int  # from the start of the data


class _Cursor:
    def __init__(self, data: mmap.mmap, path: str):
        self.data, self.path, self.at = data, path, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise GgufError(f"{self.path}: ends at byte {len(self.data)}, in the middle of its header")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, kind: str) -> Any:
        return struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0]

    def string(self) -> str:
        return self.take(self.number("Q")).decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            element, count = self.number("I"), self.number("Q")
            return [self.value(element) for _ in range(count)]
        raise GgufError(f"{self.path}: metadata of the unknown type {kind}")


class GgufFile:
    """metadata: name -> value; tensors: name -> TensorInfo."""

    def __init__(self, path: str):
        self.path = path
        with open(path, "rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        cursor = _Cursor(self._data, path)
        if cursor.take(4) != b"GGUF":
            raise GgufError(f"{path}: not a GGUF file")
        version = cursor.number("I")
        if version not in (2, 3):
            raise GgufError(f"{path}: GGUF version {version}; 2 and 3 are read")
        tensors, pairs = cursor.number("Q"), cursor.number("Q")
        self.metadata: dict[str, Any] = {}
        for _ in range(pairs):
            name = cursor.string()
            self.metadata[name] = cursor.value(cursor.number("I"))
        self.tensors: dict[str, TensorInfo] = {}
        for _ in range(tensors):
            name, rank = cursor.string(), cursor.number("I")
            shape = tuple(reversed([cursor.number("Q") for _ in range(rank)]))
            self.tensors[name] = TensorInfo(shape, cursor.number("I"), cursor.number("Q"))
        alignment = self.metadata.get("general.alignment", 32)
        self._start = -(-cursor.at // alignment) * alignment

    def __getitem__(self, name: str) -> Any:
        if name not in self.metadata:
            raise GgufError(f"{self.path}: the metadata lack {name}")
        return self.metadata[name]

    def tensor(self, name: str) -> np.ndarray:
        """The tensor as float32, row-major."""
        info = self.tensors[name]
        if info.type not in _DEQUANTISE:
            known = ", ".join(entry[0] for entry in _DEQUANTISE.values())
            raise GgufError(f"{self.path}: tensor {name} has type {info.type}; read are {known}")
        _, per_block, block_bytes, dequantise = _DEQUANTISE[info.type]
        elements = math.prod(info.shape)
        blocks, begin = elements // per_block, self._start + info.offset
        end = begin + blocks * block_bytes
        if elements % per_block or end > len(self._data):
            raise GgufError(f"{self.path}: tensor {name} of shape {info.shape} does not fit the file")
        raw = np.frombuffer(self._data, np.uint8, end - begin, begin).reshape(blocks, block_bytes)
        return dequantise(raw).reshape(info.shape)
