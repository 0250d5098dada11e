"""What a checkpoint is, without loading it for generation."""

from __future__ import annotations

import os
from typing import Any

from octet import _octet
from octet.model_names import resolve


def inspect(model: str | os.PathLike[str], revision: str | None = None) -> dict[str, Any]:
    """Shapes, dtypes, every KV scale found, missing or refused, and bytes a token of each cache dtype.

    model: as LLM takes it. Bad scales, missing weights and a bad tokenizer are in the result (scale_error,
    weights_error, tokenizer_error). Raises NotFoundError, InvalidFileError, UnsupportedError. Source:
    CheckpointInfo in include/octet/inspect.h.
    """
    return _octet.inspect(resolve(model, revision))
