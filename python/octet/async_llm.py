"""AsyncLLM: requests that come one by one, each answered as its tokens come, as asyncio iterators."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import weakref
from collections.abc import AsyncIterator
from typing import Any

from octet import _octet
from octet.engine_arguments import EngineArguments
from octet.errors import InvalidArgumentError
from octet.outputs import RequestOutput
from octet.sampling_params import RequestOutputKind, SamplingParams
from octet.submission import NewPart, Prompt, Submission, as_one_prompt
from octet.tokenizer import Tokenizer

logger = logging.getLogger("octet")


class _Post:
    """What one event loop waits on: the engine's mailbox, watched, and an event for each request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.mailbox = _octet.Mailbox()
        self.events: dict[int, asyncio.Event] = {}
        self._keys = itertools.count()
        loop.add_reader(self.mailbox.fileno(), self._deliver)

    def open(self) -> tuple[int, asyncio.Event]:
        key = next(self._keys)
        self.events[key] = asyncio.Event()
        return key, self.events[key]

    def _deliver(self) -> None:
        for key in self.mailbox.take():
            if key in self.events:
                self.events[key].set()


class AsyncLLM:
    """A model that any number of tasks, in any event loop, may ask at once. Arguments: as LLM's.

    Its engine runs on threads of its own and never waits for Python: a slow reader slows nobody.
    """

    def __init__(self, model: str | os.PathLike[str], **arguments: Any) -> None:
        self._arguments = EngineArguments(model, arguments, "AsyncLLM")
        self._engine = self._arguments.engine()
        self._posts: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Post] = weakref.WeakKeyDictionary()
        self._running: dict[str, Submission] = {}
        self._ids = itertools.count()
        for notice in self._engine.notices():
            logger.warning(notice)

    def __del__(self) -> None:
        # A loop that goes on would watch the mailbox, and keep it, for ever.
        for loop, post in getattr(self, "_posts", {}).items():
            with contextlib.suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(loop.remove_reader, post.mailbox.fileno())

    async def generate(
        self,
        prompt: Prompt,
        sampling_params: SamplingParams | None = None,
        request_id: str | None = None,
        *,
        add_special_tokens: bool = True,
    ) -> AsyncIterator[RequestOutput]:
        """Yields RequestOutputs as tokens come, the last with finished=True; what sampling_params.output_kind says.

        A reader that stops (break, cancellation, an exception) ends the request, whose memory is free before the
        engine's next step. add_special_tokens: False for a prompt that a chat template wrote.

        Raises InvalidArgumentError for bad parameters, a prompt too long, or a request_id that is in use.
        """
        params = sampling_params or self.get_default_sampling_params()
        text_or_ids = as_one_prompt(prompt)
        name = request_id if request_id is not None else f"request-{next(self._ids)}"
        if name in self._running:
            raise InvalidArgumentError(f"{name!r} is in use", "request_id")
        post = self._post(asyncio.get_running_loop())
        key, event = post.open()
        submission = None
        try:
            submission = Submission(self._engine, text_or_ids, params, post.mailbox, key, add_special_tokens, name)
            self._running[name] = submission
            async for output in _outputs(submission, event):
                yield output
        finally:
            if submission is not None:
                submission.request.cancel()
            self._running.pop(name, None)
            post.events.pop(key, None)

    async def abort(self, request_id: str) -> None:
        """Ends a request: its iterator yields what there is, with the finish reason "abort". Unknown ids are none."""
        submission = self._running.get(request_id)
        if submission is not None:
            submission.request.cancel()

    def shutdown(self) -> None:
        """Refuses new requests (UnavailableError) and aborts those that run."""
        self._engine.stop_accepting()
        self._engine.abort_all()

    async def get_tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer."""
        return Tokenizer(self._engine, self._arguments.options.model)

    def get_default_sampling_params(self) -> SamplingParams:
        """The parameters that generation_config.json suggests, over vLLM's defaults."""
        return SamplingParams.from_native(self._engine.default_sampling_params())

    def kv_cache_stats(self) -> dict[str, Any]:
        """As LLM.kv_cache_stats."""
        return self._engine.kv_cache_stats()

    def notices(self) -> list[str]:
        """As LLM.notices."""
        return self._engine.notices()

    def _post(self, loop: asyncio.AbstractEventLoop) -> _Post:
        if loop not in self._posts:
            self._posts[loop] = _Post(loop)
        return self._posts[loop]


async def _outputs(submission: Submission, event: asyncio.Event) -> AsyncIterator[RequestOutput]:
    request = submission.request
    kind = submission.params.output_kind
    new_part = NewPart()
    while not request.output.finished:
        await event.wait()
        event.clear()
        news = False
        while request.advance():
            news = True
        if not news or (kind is RequestOutputKind.FINAL_ONLY and not request.output.finished):
            continue
        output = submission.output()
        yield new_part.of(output) if kind is RequestOutputKind.DELTA else output
