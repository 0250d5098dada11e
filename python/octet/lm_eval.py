"""Octet as a model of lm-eval (lm-evaluation-harness): `octet-lm-eval run --model octet --model_args pretrained=…`.

The entry point (group lm_eval.models) names the class. lm-eval 0.4.13 does not look entry points up by itself, so
`octet-lm-eval`, or `python -m octet.lm_eval`, is lm-eval's own command with this model registered; in Python importing
this module does that. Needs the package lm-eval.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# lm-eval registers its own models only where nothing is registered yet.
import lm_eval.models  # noqa: F401
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from octet.errors import UnsupportedError
from octet.llm import LLM
from octet.sampling_params import SamplingParams

# lm-eval's own settings, which say nothing to an engine that batches as it goes.
_HARNESS_ONLY = ("batch_size", "max_batch_size")


@register_model("octet")
class OctetLM(TemplateLM):
    """pretrained: as LLM's model; max_gen_toks: new tokens where a task does not say; all else: as LLM's arguments."""

    def __init__(self, pretrained: str, max_gen_toks: int = 256, **arguments: Any) -> None:
        super().__init__()
        for name in _HARNESS_ONLY:
            arguments.pop(name, None)
        self._llm = LLM(pretrained, **arguments)
        self._name = pretrained
        self._max_gen_toks = max_gen_toks
        self.tokenizer = self._llm.get_tokenizer()

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        token = self.tokenizer.eos_token_id
        if token is None:
            raise UnsupportedError("the checkpoint has no token that ends a text", self._name)
        return token

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval keys its caches with."""
        return self._name.replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Whether there is one: the checkpoint's. lm-eval keeps the text for its records only."""
        return "" if chat_template else None

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt that the checkpoint's template makes of a conversation."""
        return self.tokenizer.apply_chat_template(
            chat_history, add_generation_prompt=add_generation_prompt, tokenize=False
        )

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids. Where it is not said, a text that begins with BOS does not get another."""
        if add_special_tokens is None:
            bos = self.tokenizer.bos_token
            add_special_tokens = not (bos and string.startswith(bos))
        return self.tokenizer.encode(string, add_special_tokens)

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], disable_tqdm: bool = False, **_: Any
    ) -> list[tuple[float, bool]]:
        # A place is left for the one token that a request must ask for.
        most = self._llm.max_model_len - 1
        prompts = [(context + continuation)[-most:] for _, context, continuation in requests]
        params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0)
        outputs = self._llm.generate(prompt_token_ids=prompts, sampling_params=params, use_tqdm=not disable_tqdm)
        return [
            self._score(output, min(len(continuation), most - 1))
            for output, (_, _, continuation) in zip(outputs, requests, strict=True)
        ]

    @staticmethod
    def _score(output: Any, count: int) -> tuple[float, bool]:
        """Log-probability of the last `count` tokens of the prompt, and whether greedy decoding gives them."""
        ids = output.prompt_token_ids
        chosen = [output.prompt_logprobs[i][ids[i]] for i in range(len(ids) - count, len(ids))]
        return sum(token.logprob for token in chosen), all(token.rank == 1 for token in chosen)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of whole texts, in windows of max_model_len with no token scored twice."""
        prefix = self.tokenizer.encode(self.tokenizer.bos_token, False)[0] if self.tokenizer.bos_token else None
        windows, owners = [], []
        for i, request in enumerate(requests):
            for window in self._windows(request.args[0], self.eot_token_id if prefix is None else prefix):
                windows.append((None, *window))
                owners.append(i)
        totals = [0.0] * len(requests)
        for owner, (score, _) in zip(owners, self._loglikelihood_tokens(windows, disable_tqdm), strict=True):
            totals[owner] += score
        return totals

    def _windows(self, text: str, prefix: int) -> Iterator[tuple[list[int], list[int]]]:
        rolling = get_rolling_token_windows(
            token_list=self.tok_encode(text, add_special_tokens=False),
            prefix_token=prefix,
            max_seq_len=self._llm.max_model_len - 2,
            context_len=1,
        )
        return map(make_disjoint_window, rolling)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Text up to any of the task's stop strings; greedy unless the task says otherwise."""
        prompts, params = [], []
        for request in requests:
            context, settings = request.args
            params.append(self._params(dict(settings)))
            room = self._llm.max_model_len - min(params[-1].max_tokens or 1, self._llm.max_model_len // 2)
            prompts.append(self.tok_encode(context)[-room:])
        outputs = self._llm.generate(prompt_token_ids=prompts, sampling_params=params, use_tqdm=not disable_tqdm)
        return [output.outputs[0].text for output in outputs]

    def _params(self, settings: dict[str, Any]) -> SamplingParams:
        until = settings.pop("until", [])
        max_tokens = settings.pop("max_gen_toks", self._max_gen_toks)
        sampled = settings.pop("do_sample", None)
        temperature = settings.pop("temperature", 0.0)
        return SamplingParams(
            stop=until,
            max_tokens=max_tokens,
            temperature=temperature if sampled is not False else 0.0,
            **settings,
        )


def main() -> None:
    """lm-eval's command, which now knows the model."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
