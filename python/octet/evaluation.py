"""What a KV cache costs in quality, measured: perplexity, divergence, drift of text, layers and heads, needles."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from octet import _octet
from octet.arguments import refuse_unknown, set_field
from octet.errors import InvalidArgumentError
from octet.model_names import resolve
from octet.progress import Steps
from octet.submission import as_prompts

logger = logging.getLogger("octet")

_OPTIONS = (
    "configs",
    "baseline",
    "dataset",
    "dataset_samples",
    "dataset_seed",
    "context",
    "stride",
    "min_context",
    "max_tokens",
    "layer_tokens",
    "drift_prompts",
    "drift_prompt_tokens",
    "drift_tokens",
    "needle_lengths",
    "needle_depths",
    "needle_samples",
    "needle_seed",
    "block_size",
    "threads",
    "isa",
)


def evaluate(
    model: str | os.PathLike[str],
    documents: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | None = None,
    *,
    use_tqdm: bool | Callable[..., Any] = True,
    **options: Any,
) -> dict[str, list[Any]]:
    """Measures caches on text of the caller's; the result is columns, a row for each cache: pandas.DataFrame(result).

    model: as LLM takes it. documents: text or token ids, one or several; or dataset=FILE. options: the fields of
    EvaluationOptions in include/octet/evaluation.h, such as configs=["auto", "fp8_e4m3"], baseline, context,
    max_tokens, layer_tokens, drift_prompts, needle_lengths; 0 leaves a measurement out.

    Columns: config, dtype, bytes_per_token, scale_source, perplexity, mean_nll and KL to the baseline (mean_kl,
    kl_standard_error, median_kl, p99_kl, largest_kl; nats), top1_agreement (a share), drift_first_difference (tokens),
    drift_in_common (a share); and tables of their own as lists of dicts: by_position, layers (absmax, scale,
    saturation, underflow, sqnr_db of each head), needles, drift_texts. None where something was left out.

    Ctrl-C ends it. Raises OctetError as LLM does; TypeError for an option that is not there, naming the nearest.
    """
    refuse_unknown("evaluate", {k: v for k, v in options.items() if k not in _OPTIONS}, ("documents", *_OPTIONS))
    native = _octet.EvaluationOptions()
    native.model = resolve(model)
    for name, value in options.items():
        set_field(native, name, value, f"evaluate: {name}")
    _add_documents(native, documents)
    with closing(Steps(use_tqdm, "token")) as steps:
        rows, notices = _octet.evaluate(native, steps if use_tqdm else None)
    for notice in notices:
        logger.warning(notice)
    return _columns([_flat(row) for row in rows])


def _add_documents(native: _octet.EvaluationOptions, documents: Any) -> None:
    if documents is None:
        if not native.dataset:
            raise InvalidArgumentError("expected documents (text or token ids) or a dataset (a file)", "documents")
        return
    for document in as_prompts(documents, "documents"):
        if isinstance(document, str):
            native.add_text(document)
        else:
            native.add_token_ids(document)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    likelihood = row.pop("likelihood") or {}
    drift = row.pop("drift") or {}
    layers, needles = row.pop("layers"), row.pop("needles")
    figures = (
        "perplexity",
        "mean_nll",
        "mean_kl",
        "kl_standard_error",
        "median_kl",
        "p99_kl",
        "largest_kl",
        "top1_agreement",
        "by_position",
    )
    return {
        **row,
        **{name: likelihood.get(name) for name in figures},
        "drift_first_difference": drift.get("mean_first_difference"),
        "drift_in_common": drift.get("in_common"),
        "drift_texts": drift.get("texts"),
        "layers": layers or None,
        "needles": needles or None,
    }


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
