"""QuantizationArgs and QuantizationScheme, with the fields of compressed-tensors.

They are descriptions: any of its values may stand in them. What Octet's calibration does not do is refused by name
when a QuantizationModifier is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from octet.arguments import refuse_unknown


@dataclass
class QuantizationArgs:
    """How one kind of tensor is stored. Defaults are compressed-tensors'. Source: its QuantizationArgs."""

    num_bits: int = 8
    type: str = "int"
    symmetric: bool = True
    group_size: int | None = None
    strategy: str | None = None  # "tensor", or "attn_head": a scale for each head
    block_structure: list[int] | None = None
    dynamic: bool | str = False
    actorder: str | bool | None = None
    scale_dtype: str | None = None
    zp_dtype: str | None = None
    observer: str | None = None  # "static_minmax" (the default), "minmax", "mse" or "percentile"
    observer_kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass
class QuantizationScheme:
    """What is done to the modules that `targets` name. Source: compressed-tensors' QuantizationScheme."""

    targets: list[str]
    weights: QuantizationArgs | None = None
    input_activations: QuantizationArgs | None = None
    output_activations: QuantizationArgs | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        for name in ("weights", "input_activations", "output_activations"):
            setattr(self, name, as_args(getattr(self, name), f"QuantizationScheme.{name}"))


def as_args(value: Any, name: str) -> QuantizationArgs | None:
    """From a QuantizationArgs (of compressed-tensors too), a dict, or None. Raises TypeError for an unknown field."""
    if value is None or isinstance(value, QuantizationArgs):
        return value
    return QuantizationArgs(**_fields_of(value, QuantizationArgs, name))


def as_scheme(value: Any, name: str) -> QuantizationScheme:
    """From a QuantizationScheme (of compressed-tensors too) or a dict. Raises TypeError for an unknown field."""
    if isinstance(value, QuantizationScheme):
        return value
    return QuantizationScheme(**_fields_of(value, QuantizationScheme, name))


def _fields_of(value: Any, kind: type, name: str) -> dict[str, Any]:
    if hasattr(value, "model_dump"):  # pydantic's, as compressed-tensors has them
        value = value.model_dump()
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected {kind.__name__} or a dict, found {value!r}")
    known = [f.name for f in fields(kind)]
    refuse_unknown(name, {k: v for k, v in value.items() if k not in known}, known)
    return {key: getattr(item, "value", item) for key, item in value.items()}  # enumerators as their text
