"""SamplingParams: how the next token is chosen, with vLLM's fields, meanings and defaults."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from octet import _octet
from octet.arguments import refuse_unknown, take_inert
from octet.errors import InvalidArgumentError


class RequestOutputKind(enum.Enum):
    """What AsyncLLM.generate yields: all of the answer so far, only what is new, or only the whole at its end."""

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


_FIELDS: dict[str, Any] = {
    "n": 1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "seed": None,
    "stop": None,
    "stop_token_ids": None,
    "include_stop_str_in_output": False,
    "ignore_eos": False,
    "max_tokens": 16,
    "min_tokens": 0,
    "logprobs": None,
    "prompt_logprobs": None,
    "logit_bias": None,
    "skip_special_tokens": True,
    "truncate_prompt_tokens": None,
    "output_kind": RequestOutputKind.CUMULATIVE,
}
_PYTHON_ONLY = {"truncate_prompt_tokens", "output_kind"}
_INERT: dict[str, tuple[tuple[Any, ...], str]] = {
    "detokenize": ((True,), "text is always made"),
    "spaces_between_special_tokens": ((True, False), "a tokenizer of bytes has no such spaces"),
    "bad_words": ((None, []), "there is no list of forbidden words; logit_bias keeps single tokens away"),
    "allowed_token_ids": ((None,), "there is no list of allowed tokens; logit_bias keeps others away"),
    "logits_processors": ((None,), "the sampler runs no Python"),
    "extra_args": ((None,), "there is nothing that would read them"),
}


class SamplingParams:
    """One request's parameters. All of them by name; each is checked here, not when it is used.

    n: 1..1024 answers; with a seed, answer i draws with seed + i.
    presence_penalty, frequency_penalty: -2..2, off the logit of tokens already generated, once or for each time.
    repetition_penalty: above 0; divides positive and multiplies negative logits of tokens in prompt or output.
    temperature: 0 is greedy. top_p: (0, 1]. top_k: 0 or -1 is all. min_p: [0, 1], relative to the likeliest token.
    seed: None draws anew each time.
    stop: a string or several; generation ends before the first of them (behind it: include_stop_str_in_output).
    stop_token_ids: tokens that end it. ignore_eos: go on behind the model's own end.
    max_tokens: new tokens; None is up to max_model_len. min_tokens: none of the ends counts before.
    logprobs, prompt_logprobs: natural logarithms of the chosen (or the prompt's) token and these many likeliest.
    logit_bias: {token id: -100..100}. skip_special_tokens: leave them out of the text.
    truncate_prompt_tokens: keep only the last so many tokens of the prompt; None keeps all.
    output_kind: RequestOutputKind, what AsyncLLM.generate yields.

    Raises InvalidArgumentError naming the field, what is allowed and what was found; TypeError for an argument
    that is not there, naming the nearest. Source: vLLM's SamplingParams; include/octet/sampling_params.h.
    """

    n: int
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int | None
    stop: list[str]
    stop_token_ids: list[int]
    include_stop_str_in_output: bool
    ignore_eos: bool
    max_tokens: int | None
    min_tokens: int
    logprobs: int | None
    prompt_logprobs: int | None
    logit_bias: dict[int, float] | None
    skip_special_tokens: bool
    truncate_prompt_tokens: int | None
    output_kind: RequestOutputKind

    __slots__ = tuple(_FIELDS)
    __match_args__ = tuple(_FIELDS)

    def __init__(self, **fields: Any) -> None:
        given = dict(fields)
        take_inert("SamplingParams", given, _INERT)
        refuse_unknown("SamplingParams", {k: v for k, v in given.items() if k not in _FIELDS}, _FIELDS)
        for name, default in _FIELDS.items():
            setattr(self, name, given.get(name, default))
        self.stop = [self.stop] if isinstance(self.stop, str) else list(self.stop or [])
        self.stop_token_ids = list(self.stop_token_ids or [])
        if self.truncate_prompt_tokens is not None and self.truncate_prompt_tokens < 1:
            raise InvalidArgumentError(
                f"expected 1 or more tokens, or None, found {self.truncate_prompt_tokens}", "truncate_prompt_tokens"
            )
        self.output_kind = RequestOutputKind(self.output_kind)
        self.to_native().validate()

    def to_native(self) -> _octet.SamplingParams:
        """The same as the C++ library takes it. Raises TypeError naming a field of the wrong type."""
        native = _octet.SamplingParams()
        for name in _FIELDS:
            if name in _PYTHON_ONLY:
                continue
            value = getattr(self, name)
            if name == "logit_bias":
                value = {int(token): float(bias) for token, bias in (value or {}).items()}
            try:
                setattr(native, name, value)
            except TypeError:
                raise TypeError(f"SamplingParams: {name} cannot be {value!r}") from None
        return native

    @classmethod
    def from_native(cls, native: _octet.SamplingParams) -> SamplingParams:
        """What the library suggests: LLM.get_default_sampling_params()."""
        return cls(**{name: getattr(native, name) for name in _FIELDS if name not in _PYTHON_ONLY})

    def clone(self) -> SamplingParams:
        """An independent copy."""
        return SamplingParams(**{name: getattr(self, name) for name in _FIELDS})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SamplingParams):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        changed = {
            n: getattr(self, n) for n, d in _FIELDS.items() if getattr(self, n) not in (d, [] if d is None else d)
        }
        return f"SamplingParams({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


def each_params(params: SamplingParams | Sequence[SamplingParams], count: int) -> list[SamplingParams]:
    """One for each of `count` prompts. Raises InvalidArgumentError where a list has another length."""
    if isinstance(params, SamplingParams):
        return [params] * count

    if len(params) != count:
        raise InvalidArgumentError(f"expected one for each of {count} prompts, found {len(params)}", "sampling_params")
    return list(params)
