"""QuantizationModifier: which scales oneshot() is to find, in llm-compressor's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from octet import _octet
from octet.arguments import refuse_unknown, set_field
from octet.errors import InvalidArgumentError, UnsupportedError
from octet.quantization import QuantizationArgs, QuantizationScheme, as_args, as_scheme

_OBSERVERS = ("static_minmax", "minmax", "mse", "percentile")
# Modules that Octet leaves alone in any case.
_NEVER_QUANTISED = ("lm_head", "re:.*lm_head", "re:.*lm_head$", "re:lm_head", "embed_tokens", "re:.*embed_tokens")


@dataclass(init=False)
class QuantizationModifier:
    """Scales for an FP8 KV cache (kv_cache_scheme) and, with a config group whose targets are attention modules and
    which has input_activations, for queries too.

    kv_cache_scheme: QuantizationArgs(num_bits=8, type="float", strategy="tensor" or "attn_head"), its observer
    "static_minmax" (what None means here), "minmax", "mse" or "percentile" with observer_kwargs={"percentile": 99.99}.
    config_groups: {name: QuantizationScheme}. Weights stay as they are: a scheme that would quantise them is refused,
    and so is everything else that Octet's calibration does not do, naming the field.

    Source: llm-compressor's QuantizationModifier.
    """

    config_groups: dict[str, QuantizationScheme]
    kv_cache_scheme: QuantizationArgs | None
    ignore: list[str] = field(default_factory=list)

    def __init__(
        self,
        *,
        config_groups: dict[str, Any] | None = None,
        kv_cache_scheme: Any = None,
        ignore: Sequence[str] | None = None,
        **other: Any,
    ) -> None:
        for name in ("targets", "scheme"):
            if other.get(name) is not None:
                raise UnsupportedError(
                    "quantises the weights of linear layers, which Octet leaves as they are; expected kv_cache_scheme, "
                    "or config_groups whose targets are attention modules",
                    f"QuantizationModifier.{name}",
                )
            other.pop(name, None)
        refuse_unknown("QuantizationModifier", other, ("config_groups", "kv_cache_scheme", "ignore"))
        if config_groups is not None and not isinstance(config_groups, Mapping):
            raise InvalidArgumentError(
                f"expected names and their schemes, found {config_groups!r}", "QuantizationModifier.config_groups"
            )
        self.config_groups = {
            name: as_scheme(scheme, f"config_groups[{name!r}]") for name, scheme in (config_groups or {}).items()
        }
        self.kv_cache_scheme = as_args(kv_cache_scheme, "kv_cache_scheme")
        self.ignore = [ignore] if isinstance(ignore, str) else list(ignore or [])

    def apply_to(self, options: _octet.CalibrationOptions) -> None:
        """Sets strategy, observer, percentile and targets. Raises UnsupportedError or InvalidArgumentError."""
        for module in self.ignore:
            if module not in _NEVER_QUANTISED:
                raise UnsupportedError(
                    f"every attention layer gets scales; leave layers in 16 bits when the cache is made, with "
                    f"kv_cache_dtype_skip_layers; found {module!r}",
                    "QuantizationModifier.ignore",
                )
        attention = [_attention_args(name, scheme) for name, scheme in self.config_groups.items()]
        schemes = [("kv_cache_scheme", self.kv_cache_scheme)] if self.kv_cache_scheme else []
        schemes += [(f"config_groups[{name!r}].input_activations", args) for name, args in attention]
        if not schemes:
            raise InvalidArgumentError(
                "expected kv_cache_scheme or config_groups, found neither", "QuantizationModifier"
            )
        settings = [_settings(name, args) for name, args in schemes]
        for (name, _), found in zip(schemes[1:], settings[1:], strict=True):
            if found != settings[0]:
                raise UnsupportedError(
                    f"keys, values and queries are calibrated alike: expected {settings[0]}, as {schemes[0][0]} has, "
                    f"found {found}",
                    name,
                )
        options.targets = "qkv" if attention else "kv"
        options.strategy, options.observer, percentile = settings[0]
        if percentile is not None:
            set_field(options, "percentile", percentile, "QuantizationModifier: observer_kwargs: percentile")


def _attention_args(name: str, scheme: QuantizationScheme) -> tuple[str, QuantizationArgs]:
    where = f"config_groups[{name!r}]"
    for target in scheme.targets:
        if not ("attention" in target.lower() or "attn" in target.lower()):
            raise UnsupportedError(
                f"expected attention modules, such as LlamaAttention or re:.*self_attn$, since weights stay as they "
                f"are; found {target!r}",
                f"{where}.targets",
            )
    for field_name in ("weights", "output_activations", "format"):
        if getattr(scheme, field_name) is not None:
            raise UnsupportedError("only input_activations of attention are calibrated", f"{where}.{field_name}")
    if scheme.input_activations is None:
        raise InvalidArgumentError("expected input_activations, found none", where)
    return name, scheme.input_activations


def _settings(name: str, args: QuantizationArgs) -> tuple[str, str, float | None]:
    required = (
        ("num_bits", args.num_bits, (8,)),
        ("type", args.type, ("float",)),
        ("symmetric", args.symmetric, (True,)),
        ("dynamic", args.dynamic, (False,)),
        ("group_size", args.group_size, (None,)),
        ("block_structure", args.block_structure, (None,)),
        ("actorder", args.actorder, (None, False)),
        ("scale_dtype", args.scale_dtype, (None,)),
        ("zp_dtype", args.zp_dtype, (None,)),
        ("strategy", args.strategy, (None, "tensor", "attn_head")),
        ("observer", args.observer, (None, *_OBSERVERS)),
    )
    for field_name, value, allowed in required:
        if value not in allowed:
            expected = " or ".join(repr(one) for one in allowed)
            raise UnsupportedError(f"expected {expected}, found {value!r}", f"{name}.{field_name}")
    observer = args.observer or "static_minmax"
    for key in args.observer_kwargs or {}:
        if key != "percentile" or observer != "percentile":
            raise UnsupportedError(f"the observer {observer} has no setting {key!r}", f"{name}.observer_kwargs")
    return args.strategy or "tensor", observer, (args.observer_kwargs or {}).get("percentile")
