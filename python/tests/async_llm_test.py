"""AsyncLLM under asyncio: what it yields, abort, cancellation, many at once."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import unittest
from typing import ClassVar

import checkpoints
import octet
from octet import AsyncLLM, RequestOutputKind, SamplingParams


def params(kind: RequestOutputKind = RequestOutputKind.CUMULATIVE, tokens: int = 20, **more) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True, output_kind=kind, **more)


# Seconds of work, so that it cannot have ended before its reader stops.
LONG = SamplingParams(n=200, seed=1, max_tokens=240, ignore_eos=True)


class Generate(checkpoints.TinyModel):
    llm: ClassVar[AsyncLLM]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.llm = AsyncLLM(cls.model)

    async def wait_until_idle(self) -> None:
        for _ in range(1000):
            if self.llm.kv_cache_stats()["used_blocks"] == 0:
                return
            await asyncio.sleep(0.01)
        self.fail("blocks are still in use")

    def test_cumulative_delta_and_final_agree(self) -> None:
        async def collect(kind: RequestOutputKind) -> list[octet.RequestOutput]:
            return [output async for output in self.llm.generate("abc", params(kind, logprobs=0))]

        whole = asyncio.run(collect(RequestOutputKind.CUMULATIVE))
        parts = asyncio.run(collect(RequestOutputKind.DELTA))
        final = asyncio.run(collect(RequestOutputKind.FINAL_ONLY))
        self.assertEqual(1, len(final))
        last = final[0].outputs[0]
        self.assertEqual(20, len(last.token_ids))
        self.assertEqual(last, whole[-1].outputs[0])
        self.assertEqual(last.text, "".join(choice.text for output in parts for choice in output.outputs))
        self.assertEqual(last.token_ids, [t for output in parts for choice in output.outputs for t in choice.token_ids])
        self.assertEqual(20, len(last.logprobs))
        self.assertEqual(
            last.logprobs, [row for output in parts for choice in output.outputs for row in choice.logprobs]
        )
        for output in whole:
            for choice in output.outputs:
                self.assertEqual(last.logprobs[: len(choice.token_ids)], choice.logprobs)
        for earlier, later in itertools.pairwise(whole):
            self.assertTrue(later.outputs[0].text.startswith(earlier.outputs[0].text))

    def test_many_at_once_answer_as_they_do_alone(self) -> None:
        async def answer(prompt: str) -> list[int]:
            async for output in self.llm.generate(prompt, params(RequestOutputKind.FINAL_ONLY)):
                return output.outputs[0].token_ids
            return []

        async def together() -> list[list[int]]:
            return await asyncio.gather(*(answer(f"prompt {i}") for i in range(50)))

        answers = asyncio.run(together())
        for i in (0, 25, 49):
            self.assertEqual(asyncio.run(answer(f"prompt {i}")), answers[i])

    def test_cancelling_the_task_ends_the_request(self) -> None:
        async def run() -> None:
            started = asyncio.Event()

            async def read() -> None:
                async for _ in self.llm.generate("abc", LONG):
                    started.set()

            task = asyncio.create_task(read())
            await started.wait()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            await self.wait_until_idle()

        asyncio.run(run())

    def test_breaking_off_and_abort_end_the_request(self) -> None:
        async def run() -> set[str | None]:
            stream = self.llm.generate("abc", LONG, request_id="first")
            async for _ in stream:
                break
            await stream.aclose()
            await self.wait_until_idle()
            ends: set[str | None] = set()
            async for output in self.llm.generate("abc", LONG, request_id="first"):
                ends = {answer.finish_reason for answer in output.outputs}
                await self.llm.abort("first")
            await self.llm.abort("no such request")
            return ends

        self.assertIn("abort", asyncio.run(run()))

    def test_errors_are_raised_by_the_iterator(self) -> None:
        async def run() -> None:
            with self.assertRaisesRegex(octet.InvalidArgumentError, "too long for max_model_len"):
                async for _ in self.llm.generate("a" * 1000):
                    pass
            with self.assertRaisesRegex(
                octet.InvalidArgumentError, "sampling_params: expected SamplingParams, found {"
            ):
                await anext(self.llm.generate("abc", {"max_tokens": 3}))
            stream = self.llm.generate("abc", LONG, request_id="same")
            await anext(stream)
            with self.assertRaisesRegex(octet.InvalidArgumentError, "request_id: 'same' is in use"):
                await anext(self.llm.generate("abc", request_id="same"))
            await stream.aclose()

        asyncio.run(run())

    def test_an_llm_that_goes_leaves_no_descriptor_in_a_loop_that_stays(self) -> None:
        async def run() -> tuple[int, int]:
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(3):
                llm = AsyncLLM(self.model)
                self.assertTrue([output async for output in llm.generate("abc", params(tokens=2))])
                del llm
                gc.collect()
            await asyncio.sleep(0.01)
            return before, len(os.listdir("/proc/self/fd"))

        before, after = asyncio.run(run())
        self.assertEqual(before, after)

    def test_shutdown_refuses_what_comes_after(self) -> None:
        llm = AsyncLLM(self.model)
        llm.shutdown()

        async def run() -> None:
            with self.assertRaises(octet.UnavailableError):
                await anext(llm.generate("abc"))

        asyncio.run(run())


if __name__ == "__main__":
    unittest.main()
