"""From what a caller may give as a prompt to a request in the engine, and from there to a RequestOutput."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from octet import _octet
from octet.errors import InvalidArgumentError
from octet.outputs import (
    CompletionOutput,
    LogprobRow,
    RequestMetrics,
    RequestOutput,
    add_logprobs,
    completion,
    prompt_logprob_rows,
)
from octet.sampling_params import SamplingParams


class TextPrompt(TypedDict):
    """A prompt as vLLM's dictionaries have it."""

    prompt: str


class TokensPrompt(TypedDict):
    """A prompt that was tokenized before."""

    prompt_token_ids: list[int]


Prompt = str | list[int] | TextPrompt | TokensPrompt


def _is_token_ids(value: Any) -> bool:
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__len__"):
        return False
    return len(value) > 0 and all(hasattr(item, "__index__") for item in value)


def as_prompts(prompts: Prompt | Sequence[Prompt], name: str = "prompts") -> list[str | list[int]]:
    """A list of texts and lists of token ids, from one of them, or many, or vLLM's dictionaries."""
    if isinstance(prompts, (str, dict)) or _is_token_ids(prompts):
        return [_as_prompt(prompts, name)]
    try:
        return [_as_prompt(prompt, f"{name}[{i}]") for i, prompt in enumerate(prompts)]
    except TypeError:
        raise InvalidArgumentError(f"expected text, token ids or a list of them, found {prompts!r}", name) from None


def as_one_prompt(prompt: Prompt, name: str = "prompt") -> str | list[int]:
    """As as_prompts(). Raises InvalidArgumentError where there is not one."""
    prompts = as_prompts(prompt, name)
    if len(prompts) != 1:
        raise InvalidArgumentError(f"expected one prompt, found {len(prompts)}", name)
    return prompts[0]


def _as_prompt(prompt: Any, name: str) -> str | list[int]:
    if isinstance(prompt, str):
        if not _is_utf8(prompt):
            raise InvalidArgumentError("expected text that UTF-8 can hold, found a lone surrogate", name)
        return prompt
    if isinstance(prompt, dict):
        unknown = set(prompt) - {"prompt", "prompt_token_ids"}
        if unknown:
            raise InvalidArgumentError(f"expected prompt or prompt_token_ids, found {sorted(unknown)[0]!r}", name)
        if prompt.get("prompt_token_ids") is not None:
            return _as_prompt(list(prompt["prompt_token_ids"]), name)
        if isinstance(prompt.get("prompt"), str):
            return _as_prompt(prompt["prompt"], name)
    elif _is_token_ids(prompt):
        ids = [int(token) for token in prompt]
        if max(map(abs, ids)) >= 2**31:
            raise InvalidArgumentError("expected token ids, found one of more than 32 bits", name)
        return ids
    raise InvalidArgumentError(f"expected text or a list of token ids, found {prompt!r}", name)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Submission:
    """One request of one caller: its prompt, its parameters and the library's Request."""

    def __init__(
        self,
        engine: _octet.Engine,
        prompt: str | list[int],
        params: SamplingParams,
        mailbox: _octet.Mailbox,
        key: int,
        add_special_tokens: bool = True,
        request_id: str | None = None,
    ) -> None:
        if not isinstance(params, SamplingParams):
            raise InvalidArgumentError(f"expected SamplingParams, found {params!r}", "sampling_params")
        self.text = prompt if isinstance(prompt, str) else None
        self.params = params
        self._rows: dict[int, list[LogprobRow]] = {}  # by answer: of the tokens so far
        self.request_id = str(key) if request_id is None else request_id
        ids = engine.encode(prompt, add_special_tokens) if isinstance(prompt, str) else list(prompt)
        if params.truncate_prompt_tokens is not None:
            ids = ids[-params.truncate_prompt_tokens :]
        native = params.to_native()
        room = engine.max_model_len - len(ids)
        # vLLM's LLM ends an answer at max_model_len with "length"; the library would refuse it, as a server does.
        if native.max_tokens is not None and native.max_tokens > room > 0:
            native.max_tokens = room
            native.min_tokens = min(native.min_tokens, room)
        self.request = engine.submit(ids, native, mailbox, key)

    def output(self) -> RequestOutput:
        """All of the answer so far."""
        native, usage = self.request.output, self.request.usage
        return RequestOutput(
            request_id=self.request_id,
            prompt=self.text,
            prompt_token_ids=native.prompt_token_ids,
            prompt_logprobs=prompt_logprob_rows(native.prompt_logprobs),
            outputs=[
                completion(output, self.params.stop_token_ids, self._logprobs(output)) for output in native.outputs
            ],
            finished=native.finished,
            metrics=RequestMetrics(native.timings.first_token, native.timings.finished),
            num_cached_tokens=usage.cached_tokens,
        )

    def _logprobs(self, output: _octet.CompletionOutput) -> list[LogprobRow] | None:
        if self.params.logprobs is None:
            return None
        rows = self._rows.setdefault(output.index, [])
        add_logprobs(output, rows)
        return list(rows)


class NewPart:
    """Makes of outputs that hold all so far outputs that hold what is new, as RequestOutputKind.DELTA asks for."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, int]] = {}  # by answer: characters and tokens

    def of(self, output: RequestOutput) -> RequestOutput:
        """`output` with the part of each answer that was not given before; answers without news are left out."""
        news = []
        for answer in output.outputs:
            text, tokens = self._seen.get(answer.index, (0, 0))
            self._seen[answer.index] = (len(answer.text), len(answer.token_ids))
            if len(answer.text) > text or len(answer.token_ids) > tokens or answer.finished():
                news.append(self._tail(answer, text, tokens))
        output.outputs = news
        return output

    @staticmethod
    def _tail(answer: CompletionOutput, text: int, tokens: int) -> CompletionOutput:
        answer.text = answer.text[text:]
        answer.token_ids = answer.token_ids[tokens:]
        if answer.logprobs is not None:
            answer.logprobs = answer.logprobs[tokens:]
        return answer
