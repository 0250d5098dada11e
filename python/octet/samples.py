"""A dataset as a caller has it, as the file of JSON lines that the library reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from octet.errors import InvalidArgumentError

# What a sample may have, in the order in which they are looked for.
_COLUMNS = ("input_ids", "messages", "text", "prompt")


def _plain(value: Any) -> Any:
    """Arrays and tensors as lists, so that JSON takes them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _dumps(row: dict[str, Any], index: int, column: str) -> str:
    try:
        return json.dumps({name: _plain(value) for name, value in row.items()})
    except TypeError as error:
        raise InvalidArgumentError(str(error), f"dataset: sample {index}: {column}") from None


def _as_line(sample: Any, index: int, text_column: str) -> str:
    if isinstance(sample, str):
        return json.dumps({"text": sample})
    if not isinstance(sample, Mapping):
        raise InvalidArgumentError(
            f"expected text or a dict, found {type(sample).__name__}", f"dataset: sample {index}"
        )
    if text_column in sample and "input_ids" not in sample and "messages" not in sample:
        return _dumps({"text": sample[text_column]}, index, text_column)
    for column in _COLUMNS:
        if sample.get(column) is not None:
            names = ("prompt", "completion") if column == "prompt" else (column,)
            return _dumps({name: sample[name] for name in names if name in sample}, index, column)
    raise InvalidArgumentError(
        f"expected one of the columns {', '.join(dict.fromkeys((*_COLUMNS[:2], text_column, 'prompt')))}, "
        f"found {', '.join(map(str, sample)) or 'none'}",
        f"dataset: sample {index}",
    )


def write_samples(dataset: Iterable[Any], file: TextIO, text_column: str = "text") -> int:
    """Writes each sample as a line and returns how many there were. Nothing is kept in memory.

    Raises InvalidArgumentError naming the sample, counted from 0.
    """
    count = 0
    for sample in dataset:
        file.write(_as_line(sample, count, text_column) + "\n")
        count += 1
    if count == 0:
        raise InvalidArgumentError("expected samples, found none", "dataset")
    return count


def is_path(dataset: Any) -> bool:
    """Whether a dataset is given as a file, which the library reads itself."""
    return isinstance(dataset, (str, os.PathLike))
