"""What generate() and chat() give: vLLM's RequestOutput and CompletionOutput."""

from __future__ import annotations

from dataclasses import dataclass, field

from octet import _octet


@dataclass
class Logprob:
    """Natural logarithm of the model's own probability, before temperature and penalties; rank 1 is the likeliest."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


LogprobRow = dict[int, Logprob]


@dataclass
class CompletionOutput:
    """One answer. finish_reason: None while it goes on, then "stop", "length" or "abort"."""

    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None = None  # where logprobs were asked for
    logprobs: list[LogprobRow] | None = None  # [token]: the chosen one first, then the likeliest others
    finish_reason: str | None = None
    stop_reason: int | str | None = None  # the stop string or stop token id that ended it; None for EOS

    def finished(self) -> bool:
        """Whether the answer has ended."""
        return self.finish_reason is not None


@dataclass
class RequestMetrics:
    """Seconds since the request was submitted; 0 where not reached."""

    first_token: float = 0.0
    finished: float = 0.0


@dataclass
class RequestOutput:
    """A prompt and its answers. prompt: the text, rendered where it came from chat; None for token ids."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    prompt_logprobs: list[LogprobRow | None] | None  # [prompt token], the first None
    outputs: list[CompletionOutput]
    finished: bool
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    num_cached_tokens: int = 0  # of the prompt, found in the prefix cache


def _row(row: list[_octet.Logprob]) -> LogprobRow:
    return {entry.token_id: Logprob(entry.logprob, entry.rank, entry.decoded_token) for entry in row}


def _stop_reason(output: _octet.CompletionOutput, stop_token_ids: list[int]) -> int | str | None:
    reason = output.stop_reason
    if not reason:
        return None
    ends_with_id = output.token_ids and output.token_ids[-1] in stop_token_ids and reason == str(output.token_ids[-1])
    return output.token_ids[-1] if ends_with_id else reason


def add_logprobs(output: _octet.CompletionOutput, rows: list[LogprobRow]) -> None:
    """Appends the rows of the tokens behind those that `rows` has."""
    rows.extend(_row(row) for row in output.logprobs_from(len(rows)))


def completion(
    output: _octet.CompletionOutput, stop_token_ids: list[int], logprobs: list[LogprobRow] | None
) -> CompletionOutput:
    """From the library's form, with the rows of its tokens where they were asked for."""
    return CompletionOutput(
        index=output.index,
        text=output.text,
        token_ids=output.token_ids,
        cumulative_logprob=output.cumulative_logprob if logprobs is not None else None,
        logprobs=logprobs,
        finish_reason=output.finish_reason or None,
        stop_reason=_stop_reason(output, stop_token_ids),
    )


def prompt_logprob_rows(rows: list[list[_octet.Logprob]]) -> list[LogprobRow | None] | None:
    """From the library's form: None where they were not asked for."""
    return [_row(row) if row else None for row in rows] or None
