"""oneshot: from a model and a dataset to a checkpoint with the scales of an FP8 KV cache, in llm-compressor's shape."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octet import _octet
from octet.arguments import refuse_unknown, set_field, take_inert
from octet.errors import InvalidArgumentError
from octet.model_names import resolve
from octet.progress import Steps
from octet.recipe import read_recipe
from octet.samples import is_path, write_samples

logger = logging.getLogger("octet")

_INERT: dict[str, tuple[tuple[Any, ...], str]] = {
    "tokenizer": ((None,), "the checkpoint's tokenizer is used"),
    "processor": ((None,), "the checkpoint's tokenizer is used"),
    "save_compressed": ((True, False), "weights stay as they are"),
    "trust_remote_code_model": ((True, False), "code of a checkpoint is never run"),
    "pad_to_max_length": ((False,), "samples are never padded"),
    "concatenate_data": ((False,), "samples stay apart"),
    "batch_size": ((1,), "samples share steps as they fit"),
    "pipeline": ((None, "basic", "sequential", "independent"), "the whole model fits where it runs"),
    "clear_sparse_session": ((True, False), "there are no sessions"),
    "log_dir": ((None,), "nothing is logged to files"),
    "splits": ((None,), 'give the split itself, dataset=ds["train"]'),
    "dataset_config_name": ((None,), "give the dataset itself"),
    "dataset_path": ((None,), "give the file as dataset"),
    "preprocessing_func": ((None,), "map the dataset before"),
    "remove_columns": ((None,), "columns that are not read do no harm"),
    "use_auth_token": ((False,), "log in with huggingface_hub"),
}


@dataclass
class CalibrationResult:
    """What oneshot wrote and found. layers: for each a dict of "k", "v" and "q" (empty unless queries were a target),
    one scale or one a head; value = stored * scale."""

    output: str
    samples: int
    skipped: int  # of less than two tokens
    samples_in_dataset: int
    tokens: int
    seconds: float
    strategy: str
    observer: str
    layers: list[dict[str, list[float]]]
    notices: list[str]
    isa: str
    threads: int


def oneshot(
    model: str | os.PathLike[str],
    dataset: Any = None,
    recipe: Any = None,
    output_dir: str | os.PathLike[str] | None = None,
    *,
    max_seq_length: int = 384,
    num_calibration_samples: int = 512,
    shuffle_calibration_samples: bool = True,
    text_column: str = "text",
    seed: int = 42,
    dtype: str = "float32",
    method: str = "dataset",
    scales_only: bool = False,
    force: bool = False,
    resume: bool = False,
    threads: int = 0,
    isa: str = "",
    model_revision: str = "main",
    use_tqdm: bool | Callable[..., Any] = True,
    **other: Any,
) -> CalibrationResult:
    """Runs the dataset through the model and writes a complete checkpoint with KV scales.

    model: as LLM takes it. dataset: a datasets.Dataset, a list of strings, of dicts with input_ids, messages, text (or
    text_column) or prompt and completion, or the path of a file (.jsonl, .json, .txt, .md). recipe: a
    QuantizationModifier, or YAML in a string or a file; with method="bound" (from the weights alone: no dataset, and
    nothing ever saturates) too. output_dir: None is MODEL-kvattn-fp8-STRATEGY. max_seq_length: tokens of a sample, at
    most; 384 is llm-compressor's default. num_calibration_samples: at most. shuffle_calibration_samples: False takes
    the first ones. dtype: of activations, "float32", "bfloat16" or "auto". scales_only: write only what is added.
    force: replace a calibrated checkpoint. resume: go on where an interrupted one stood.

    Nothing is half-written: Ctrl-C raises KeyboardInterrupt and keeps OUTPUT.resume. Raises OctetError as LLM does,
    naming the sample or the file's line; UnsupportedError for a setting of the recipe that Octet does not have;
    TypeError for an argument that is not there, naming the nearest. Source: llm-compressor's oneshot;
    include/octet/calibration.h; docs/calibration.md.
    """
    given = {name: value for name, value in locals().items() if name != "other"}
    take_inert("oneshot", other, _INERT)
    refuse_unknown("oneshot", other, given)
    options = _octet.CalibrationOptions()
    read_recipe(recipe).apply_to(options)
    options.model = resolve(model, model_revision)
    options.output = os.fspath(output_dir) if output_dir is not None else _default_output(os.fspath(model), options)
    for name in ("method", "seed", "dtype", "scales_only", "force", "resume", "threads", "isa"):
        set_field(options, name, given[name], f"oneshot: {name}")
    if method == "bound":
        if dataset is not None:
            raise InvalidArgumentError("expected none, since the method bound looks at no samples", "dataset")
        return _run(options, False)
    set_field(options, "num_samples", num_calibration_samples, "oneshot: num_calibration_samples")
    set_field(options, "shuffle", shuffle_calibration_samples, "oneshot: shuffle_calibration_samples")
    set_field(options, "max_seq_length", max_seq_length, "oneshot: max_seq_length")
    if dataset is None:
        raise InvalidArgumentError('expected a dataset, or method="bound"', "dataset")
    if is_path(dataset):
        options.dataset = os.fspath(dataset)
        return _run(options, use_tqdm)
    with tempfile.TemporaryDirectory(prefix="octet-") as folder:
        file = Path(folder) / "dataset.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            write_samples(dataset, lines, text_column)
        options.dataset = str(file)
        return _run(options, use_tqdm)


def _default_output(model: str, options: _octet.CalibrationOptions) -> str:
    """Empty, which is the library's choice, where the model was given as a path; else in the current folder."""
    if options.model == model:
        return ""
    return f"{Path(model).name}-kvattn-fp8-{options.strategy}"


def _run(options: _octet.CalibrationOptions, use_tqdm: bool | Callable[..., Any]) -> CalibrationResult:
    with closing(Steps(use_tqdm, "sample")) as steps:

        def on_progress(samples: int, total: int, tokens: int) -> None:
            steps("Calibrating", samples, total, f"{tokens} tokens")

        result = CalibrationResult(**_octet.calibrate(options, on_progress if use_tqdm else None))
    for notice in result.notices:
        logger.warning(notice)
    return result
