"""Many answers at once, each printed as its tokens come: asyncio over one model. python examples/stream.py [MODEL]"""

import asyncio
import sys

from octet import AsyncLLM, RequestOutputKind, SamplingParams

PROMPTS = ["London is the capital of", "The three primary colours are", "Water boils at"]


async def main() -> None:
    llm = AsyncLLM(model=sys.argv[1] if len(sys.argv) > 1 else "meta-llama/Llama-2-7b-chat-hf", kv_cache_dtype="fp8")
    params = SamplingParams(temperature=0, max_tokens=16, output_kind=RequestOutputKind.DELTA)

    async def answer(prompt: str) -> None:
        async for output in llm.generate(prompt, params):
            for choice in output.outputs:
                print(f"{prompt} … {choice.text!r}")

    await asyncio.gather(*(answer(prompt) for prompt in PROMPTS))


asyncio.run(main())
