"""SamplingParams: how the next token is chosen, with vLLM's fields, meanings and defaults."""

from __future__ import annotations

import copy
import dataclasses
import enum
import inspect
import json
from collections.abc import Sequence
from typing import Any, SupportsIndex

from octet import _octet
from octet.arguments import refuse_unknown, set_field, take_inert
from octet.errors import InvalidArgumentError


class RequestOutputKind(enum.Enum):
    """What AsyncLLM.generate yields: all of the answer so far, only what is new, or only the whole at its end."""

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclasses.dataclass
class StructuredOutputsParams:
    """The form that an answer must have: exactly one of these. Source: vLLM's StructuredOutputsParams.

    json: a JSON schema, as a dict or as text; pydantic's `Model.model_json_schema()` is one.
    regex: an expression that all of the answer matches. choice: one of these texts. json_object: any JSON object.

    Raises InvalidArgumentError where none or several are given, and for vLLM's grammar and structural_tag.
    """

    json: str | dict[str, Any] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: str | None = None

    def __post_init__(self) -> None:
        for name in ("grammar", "structural_tag"):
            if getattr(self, name) is not None:
                raise InvalidArgumentError(
                    "is not supported; json, regex, choice and json_object are", f"structured_outputs.{name}"
                )

    def to_native(self) -> _octet.StructuredOutputsParams:
        """The same as the C++ library takes it. Raises TypeError naming a field of the wrong type."""
        native = _octet.StructuredOutputsParams()
        schema = json.dumps(self.json) if isinstance(self.json, dict) else self.json
        values = {"json": schema, "regex": self.regex, "choice": self.choice, "json_object": bool(self.json_object)}
        for name, value in values.items():
            set_field(native, name, value, f"SamplingParams: structured_outputs.{name}")
        return native


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
    structured_outputs: StructuredOutputsParams, the form that an answer must have.
    truncate_prompt_tokens: keep only the last so many tokens of the prompt; None keeps all.
    output_kind: RequestOutputKind, what AsyncLLM.generate yields.

    Raises InvalidArgumentError naming the field, what is allowed and what was found; TypeError for an argument
    that is not there, naming the nearest. Source: vLLM's SamplingParams; include/octet/sampling_params.h.
    """

    def __init__(
        self,
        *,
        n: int = 1,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repetition_penalty: float = 1.0,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        stop_token_ids: Sequence[int] | None = None,
        include_stop_str_in_output: bool = False,
        ignore_eos: bool = False,
        max_tokens: int | None = 16,
        min_tokens: int = 0,
        logprobs: int | None = None,
        prompt_logprobs: int | None = None,
        logit_bias: dict[int, float] | None = None,
        skip_special_tokens: bool = True,
        structured_outputs: StructuredOutputsParams | None = None,
        truncate_prompt_tokens: int | None = None,
        output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE,
        **other: Any,
    ) -> None:
        take_inert("SamplingParams", other, _INERT)
        refuse_unknown("SamplingParams", other, _FIELDS)
        self.n = n
        self.presence_penalty = presence_penalty
        self.frequency_penalty = frequency_penalty
        self.repetition_penalty = repetition_penalty
        self.temperature = temperature
        self.top_p = top_p
        self.top_k = top_k
        self.min_p = min_p
        self.seed = seed
        self.stop = [stop] if isinstance(stop, str) else list(stop or [])
        self.stop_token_ids = list(stop_token_ids or [])
        self.include_stop_str_in_output = include_stop_str_in_output
        self.ignore_eos = ignore_eos
        self.max_tokens = max_tokens
        self.min_tokens = min_tokens
        self.logprobs = logprobs
        self.prompt_logprobs = prompt_logprobs
        self.logit_bias = logit_bias
        self.skip_special_tokens = skip_special_tokens
        self.structured_outputs = structured_outputs
        self.truncate_prompt_tokens = truncate_prompt_tokens
        self.output_kind = RequestOutputKind(output_kind)
        kept = self.truncate_prompt_tokens
        if kept is not None and not (isinstance(kept, SupportsIndex) and kept >= 1):
            raise InvalidArgumentError(f"expected 1 or more tokens, or None, found {kept!r}", "truncate_prompt_tokens")
        self.to_native().validate()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _FIELDS:
            refuse_unknown("SamplingParams", {name: value}, _FIELDS)
        super().__setattr__(name, value)

    def to_native(self) -> _octet.SamplingParams:
        """The same as the C++ library takes it. Raises TypeError naming a field of the wrong type."""
        native = _octet.SamplingParams()
        for name in _FIELDS:
            if name in _PYTHON_ONLY:
                continue
            value = getattr(self, name)
            if name == "logit_bias":
                value = _numbers(value)
            if name == "structured_outputs" and isinstance(value, StructuredOutputsParams):
                value = value.to_native()
            set_field(native, name, value, f"SamplingParams: {name}")
        return native

    @classmethod
    def from_native(cls, native: _octet.SamplingParams) -> SamplingParams:
        """What the library suggests: LLM.get_default_sampling_params()."""
        return cls(**{name: getattr(native, name) for name in _FIELDS if name not in _PYTHON_ONLY})

    def clone(self) -> SamplingParams:
        """An independent copy."""
        return copy.deepcopy(self)

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


# The fields and their defaults, which are those of vLLM.
_FIELDS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(SamplingParams.__init__).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
}


def _numbers(bias: Any) -> Any:
    """Of the types that the library takes; what cannot be made so comes back as it is, to be refused by name."""
    try:
        return {int(token): float(value) for token, value in dict(bias or {}).items()}
    except (TypeError, ValueError, OverflowError):
        return bias


def each_params(params: SamplingParams | Sequence[SamplingParams], count: int) -> list[SamplingParams]:
    """One for each of `count` prompts. Raises InvalidArgumentError where a list has another length."""
    if isinstance(params, SamplingParams):
        return [params] * count
    if len(params) != count:
        raise InvalidArgumentError(f"expected one for each of {count} prompts, found {len(params)}", "sampling_params")
    return list(params)
