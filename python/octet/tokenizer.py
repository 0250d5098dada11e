"""The checkpoint's tokenizer, with the functions of transformers' that scripts use; no transformers needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from octet import _octet


class Tokenizer:
    """Text to token ids and back, and the chat template. Any thread may use it; it keeps the model loaded."""

    def __init__(self, engine: _octet.Engine, directory: str) -> None:
        self._engine = engine
        self._directory = directory
        self._special: dict[str, Any] | None = None

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text; with what the tokenizer puts around one (BOS) unless told."""
        return self._engine.encode(text, add_special_tokens)

    def decode(self, token_ids: int | Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of token ids. Raises InvalidArgumentError for an id outside the vocabulary."""
        ids = [token_ids] if isinstance(token_ids, int) else [int(token) for token in token_ids]
        return self._engine.decode(ids, skip_special_tokens)

    def __call__(self, text: str | Sequence[str], add_special_tokens: bool = True) -> dict[str, Any]:
        """{"input_ids": …, "attention_mask": …}, of a text or of each of several."""
        if isinstance(text, str):
            ids = self.encode(text, add_special_tokens)
            return {"input_ids": ids, "attention_mask": [1] * len(ids)}
        rows = [self.encode(one, add_special_tokens) for one in text]
        return {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}

    def apply_chat_template(
        self,
        conversation: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        **kwargs: Any,
    ) -> str | list[int]:
        """A conversation as the checkpoint's template writes it: token ids, or text with tokenize=False.

        kwargs: further variables of the template. Raises NotFoundError where there is no template.
        """
        text = render_chat(self._engine, conversation, tools, add_generation_prompt, kwargs)
        return self.encode(text, add_special_tokens=False) if tokenize else text

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> str | list[str]:
        """Tokens as the tokenizer's file spells them; empty for an id that is none."""
        if isinstance(ids, int):
            return self._engine.token_text(ids)
        return [self._engine.token_text(int(token)) for token in ids]

    @property
    def vocab_size(self) -> int:
        """The model's, which may be larger than the tokenizer's."""
        return self._engine.vocab_size

    def __len__(self) -> int:
        return self.vocab_size

    @property
    def eos_token(self) -> str | None:
        """The token that ends a text; None where there is none."""
        return self._info()["eos_token"] or None

    @property
    def bos_token(self) -> str | None:
        """The token that begins a text; None where there is none."""
        return self._info()["bos_token"] or None

    @property
    def eos_token_id(self) -> int | None:
        """The first of eos_token_ids."""
        ids = self.eos_token_ids
        return ids[0] if ids else None

    @property
    def eos_token_ids(self) -> list[int]:
        """All that end a text: of generation_config.json, config.json and the tokenizer."""
        return self._info()["eos_token_ids"]

    def _info(self) -> dict[str, Any]:
        if self._special is None:
            self._special = _octet.inspect(self._directory)
        return self._special


def render_chat(
    engine: _octet.Engine,
    messages: Sequence[dict[str, Any]],
    tools: Sequence[dict[str, Any]] | None,
    add_generation_prompt: bool,
    kwargs: dict[str, Any] | None,
) -> str:
    """The prompt that the chat template makes. Raises InvalidArgumentError for what it refuses."""
    return engine.render_chat(
        json.dumps(list(messages)),
        json.dumps(list(tools)) if tools else "",
        add_generation_prompt,
        json.dumps(kwargs) if kwargs else "",
    )
