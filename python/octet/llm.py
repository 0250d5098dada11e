"""LLM: load a model and generate text for many prompts at once, in vLLM's shape."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from octet import _octet
from octet.arguments import refuse_unknown, take_inert
from octet.arrays import CacheBlocks, as_array, cache_blocks, layer_scales
from octet.engine_arguments import EngineArguments
from octet.errors import InvalidArgumentError, OctetError
from octet.evaluation import evaluate
from octet.outputs import RequestOutput
from octet.progress import open_bar
from octet.sampling_params import SamplingParams, each_params
from octet.submission import Prompt, Submission, as_one_prompt, as_prompts
from octet.tokenizer import Tokenizer, render_chat

logger = logging.getLogger("octet")

Messages = Sequence[dict[str, Any]]

_INERT_OF_CALLS: dict[str, tuple[tuple[Any, ...], str]] = {
    "lora_request": ((None,), "there are no adapters"),
    "priority": ((None,), "requests run in the order in which they came"),
    "continue_final_message": ((False,), "a template ends with the start of the assistant's message, or without"),
    "chat_template": ((None,), "the template is the model's, or LLM(chat_template=FILE)"),
    "chat_template_content_format": (("auto",), "content reaches the template as it is"),
}


class LLM:
    """A model with its weights, its KV cache and its threads.

    model: a checkpoint directory, a GGUF file, or a name in the local Hugging Face cache; downloaded where
    huggingface_hub is installed and HF_HUB_OFFLINE is not set.

    Any number of threads may call it at once: their requests are batched together. While it computes the GIL is not
    held. A forked child may not use it (UnavailableError); make one there, or spawn. Memory goes when the last
    reference to it, to its tokenizer and to its arrays goes.

    kv_cache_dtype: one of octet.KV_CACHE_DTYPES; kv_cache_dtype_k, kv_cache_dtype_v, kv_cache_dtype_skip_layers:
    keys, values and layers (indices, or "sliding_window") apart. calculate_kv_scales: FP8 scales of this process's
    own, True or "random", "prompt" or "bound"; kv_scale_strategy: "tensor" or "attn_head". attention_math: "fp32",
    "fp8", "fp8-hopper" or "fp8-hopper-plain". dtype: what activations are rounded to, "float32", "bfloat16" or
    "auto". max_model_len: tokens of a sequence. kv_cache_memory_bytes: of the cache; 0 is what max_model_len needs.
    max_num_seqs, max_num_batched_tokens: sequences and tokens in one step. quantization: "fp8" or "int8" quantises
    weights of 16 or 32 bits while loading; None and "compressed-tensors" take them as the checkpoint has them.
    disable_hybrid_kv_cache_manager: keeps the cache behind sliding windows too, so that every prefix stays there to
    be shared. threads: 0 is the physical cores.

    Raises OctetError (NotFoundError, InvalidFileError, UnsupportedError, InvalidArgumentError, OutOfMemoryError);
    TypeError for an argument that is not there, naming the nearest. Source: vLLM's LLM; include/octet/llm.h.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        dtype: str = "float32",
        kv_cache_dtype: str = "auto",
        kv_cache_dtype_k: str = "",
        kv_cache_dtype_v: str = "",
        kv_cache_dtype_skip_layers: Sequence[int | str] | int | str | None = None,
        calculate_kv_scales: bool | str = False,
        kv_scale_strategy: str = "tensor",
        attention_math: str = "fp32",
        max_model_len: int | None = None,
        block_size: int = 64,
        kv_cache_memory_bytes: int | None = None,
        max_num_seqs: int = 32,
        max_num_batched_tokens: int = 512,
        safetensors_load_strategy: str = "auto",
        quantization: str | None = None,
        enable_prefix_caching: bool = True,
        disable_hybrid_kv_cache_manager: bool = False,
        threads: int = 0,
        isa: str = "",
        chat_template: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        download_dir: str | None = None,
        **other: Any,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "model", "other", "__class__")}
        self._arguments = EngineArguments(model, {**given, **other}, "LLM")
        self._engine = self._arguments.engine()
        self._keys = itertools.count()
        for notice in self.notices():
            logger.warning(notice)

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt] | None = None,
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        prompt_token_ids: list[int] | list[list[int]] | None = None,
        use_tqdm: bool | Callable[..., Any] = True,
        **other: Any,
    ) -> list[RequestOutput]:
        """Generates for all prompts together; outputs are in the prompts' order.

        prompts: text, token ids, {"prompt": …} or {"prompt_token_ids": […]}, or a list of them. sampling_params: for
        all, or one for each; None is what the model suggests. use_tqdm: a progress bar, or what makes one.

        Ctrl-C raises KeyboardInterrupt and leaves nothing running. Raises InvalidArgumentError for bad parameters or
        a prompt that is empty or longer than max_model_len, before anything is generated.
        """
        take_inert("generate", other, _INERT_OF_CALLS)
        refuse_unknown("generate", other, ("prompts", "sampling_params", "prompt_token_ids", "use_tqdm"))
        if (prompts is None) == (prompt_token_ids is None):
            raise InvalidArgumentError("expected prompts or prompt_token_ids, one of the two", "prompts")
        named = as_prompts(prompts) if prompts is not None else as_prompts(prompt_token_ids, "prompt_token_ids")
        return self._run(named, sampling_params, use_tqdm)

    def chat(
        self,
        messages: Messages | Sequence[Messages],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        use_tqdm: bool | Callable[..., Any] = True,
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[dict[str, Any]] | None = None,
        chat_template_kwargs: dict[str, Any] | None = None,
        **other: Any,
    ) -> list[RequestOutput]:
        """Renders each conversation with the checkpoint's chat template and generates.

        messages: [{"role": "user", "content": "Hello"}], or a list of such. Raises NotFoundError where there is no
        template, InvalidArgumentError for what it refuses.
        """
        take_inert("chat", other, _INERT_OF_CALLS)
        known = ("messages", "sampling_params", "use_tqdm", "add_generation_prompt", "tools", "chat_template_kwargs")
        refuse_unknown("chat", other, known)
        one = bool(messages) and isinstance(messages[0], dict)
        texts = [
            render_chat(self._engine, conversation, tools, add_generation_prompt, chat_template_kwargs)
            for conversation in ([messages] if one else messages)
        ]
        return self._run(texts, sampling_params, use_tqdm, add_special_tokens=False)

    def _run(
        self,
        prompts: Sequence[str | list[int]],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None,
        use_tqdm: bool | Callable[..., Any],
        add_special_tokens: bool = True,
    ) -> list[RequestOutput]:
        if sampling_params is None:
            sampling_params = self.get_default_sampling_params()
        params = each_params(sampling_params, len(prompts))
        mailbox = _octet.Mailbox()
        submitted: list[Submission] = []
        try:
            for i, prompt in enumerate(prompts):
                name = str(next(self._keys))
                try:
                    submitted.append(Submission(self._engine, prompt, params[i], mailbox, i, add_special_tokens, name))
                except OctetError as error:
                    raise type(error)(error.message, f"prompt {i}: {error.context}") from None
            self._wait(submitted, mailbox, use_tqdm)
            return [submission.output() for submission in submitted]
        finally:
            for submission in submitted:
                submission.request.cancel()

    @staticmethod
    def _wait(submitted: list[Submission], mailbox: _octet.Mailbox, use_tqdm: bool | Callable[..., Any]) -> None:
        # Signal handlers run between two waits; a signal ends one. A request that has ended may still ring, for news
        # that were taken together with its last.
        bar = open_bar(use_tqdm, len(submitted), "Processed prompts", "prompt")
        unfinished = set(range(len(submitted)))
        tokens = 0
        try:
            while unfinished:
                mailbox.wait(1.0)
                for key in unfinished.intersection(mailbox.take()):
                    request = submitted[key].request
                    while request.advance():
                        pass
                    if request.output.finished:
                        unfinished.remove(key)
                        tokens += request.usage.completion_tokens
                        bar.set_postfix_str(f"{tokens} tokens", refresh=False)
                        bar.update(1)
        finally:
            bar.close()

    def evaluate(self, documents: Any = None, **options: Any) -> dict[str, list[Any]]:
        """What this LLM's cache costs in quality beside a 16-bit one; see octet.evaluation.evaluate.

        configs: the caches to measure, as `octet eval --configs` has them; None is this LLM's own, over its weights
        where quantization= quantised them. The baseline runs them as the checkpoint has them, where it is not given.
        block_size, threads and isa are this LLM's too, where they are not given.
        """
        own = self._arguments.options
        if options.get("configs") is None:
            options["configs"] = [self._arguments.evaluation_config()]
        for name in ("block_size", "threads", "isa"):
            options.setdefault(name, getattr(own, name))
        return evaluate(own.model, documents, **options)

    def kv_cache_stats(self) -> dict[str, Any]:
        """How much memory the KV cache takes and what it holds, in bytes, tokens and blocks.

        dtype, k_dtype, v_dtype, skip_layers, bytes_per_token, block_size, num_blocks, total_bytes, capacity_tokens,
        max_concurrency, used_blocks, groups (of layers, as dicts), scale_source, scale_strategy, attention_math, and
        where scales were calculated from tokens stored_values and saturated_values, else None. Source: KvCacheStats in
        include/octet/kv_cache_options.h.
        """
        return self._engine.kv_cache_stats()

    def kv_cache_blocks(self, layer: int) -> tuple[CacheBlocks, CacheBlocks]:
        """The memory of one layer's keys and values, without a copy: octet.arrays.CacheBlocks of each. Needs numpy.

        Which block holds what is not said. Read it while nothing generates; it keeps the engine's memory alive.
        Raises InvalidArgumentError for a layer that is not there. Source: include/octet/cache_memory.h.
        """
        return cache_blocks(self._engine, layer)

    def kv_scales(self) -> list[dict[str, Any]]:
        """The scales of every layer, without a copy: {"k": [kv_head], "v": [kv_head], "q": [head] or None}, float32.

        stored = value / scale. 1.0 where the cache takes none.
        """
        return layer_scales(self._engine)

    def logits(self, prompt: str | list[int], last_only: bool = False) -> Any:
        """Logits float32 [tokens, vocab_size]: what would come behind each token of a prompt; or [1, vocab_size].

        prompt: text or token ids. Computed in a cache of their own with this LLM's dtypes and scales. A numpy array,
        or where numpy is not installed an object with DLPack and the buffer protocol; nothing is copied. Raises
        InvalidArgumentError as generate().
        """
        ids = as_one_prompt(prompt)
        return as_array(
            _octet.logits(self._engine, self._engine.encode(ids, True) if isinstance(ids, str) else ids, last_only)
        )

    def get_tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer."""
        return Tokenizer(self._engine, self._arguments.options.model)

    def get_default_sampling_params(self) -> SamplingParams:
        """The parameters that generation_config.json suggests, over vLLM's defaults."""
        return SamplingParams.from_native(self._engine.default_sampling_params())

    def notices(self) -> list[str]:
        """What a person should know: which scales were found, which cache dtype a checkpoint asked for."""
        return self._engine.notices()

    @property
    def max_model_len(self) -> int:
        """Tokens of a sequence, prompt and answer."""
        return self._engine.max_model_len

    @property
    def vocab_size(self) -> int:
        """The model's number of token ids."""
        return self._engine.vocab_size

    @property
    def isa(self) -> str:
        """The kernels in use: "reference", "avx2", "avx512" or "avx512_bf16"."""
        return self._engine.isa

    @property
    def threads(self) -> int:
        """Threads that compute."""
        return self._engine.threads

    def __repr__(self) -> str:
        return f"LLM(model={self._arguments.name!r}, kv_cache_dtype={self._arguments.options.kv_cache_dtype!r})"
