"""A load on a server of OpenAI's completions: so many streamed requests, so many at once, and what became of them.

One thread of plain asyncio that parses no more than it must, because it runs on the machine that it measures; every
result says what it took of that machine. Standard library only.
"""

import asyncio
import json
import random
import resource
import statistics
import time
from dataclasses import dataclass, field

FAULTS = (OSError, EOFError, ValueError, IndexError, KeyError)  # what a broken answer raises while it is read


@dataclass
class Answer:
    """What one request got; times are of time.perf_counter()."""

    expected_tokens: int
    begun: float
    ended: float = 0.0
    text_times: list[float] = field(default_factory=list)  # of each event with text: of one token, as a rule
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt
    completion_tokens: int = 0
    done: bool = False
    error: str = ""

    def take(self, event, now):
        if not event.startswith(b"data: "):
            return
        data = event[6:].strip()
        if data == b"[DONE]":
            self.done = True
        elif data.startswith(b'{"error"'):
            self.error = data[:200].decode(errors="replace")
        elif b'"usage":{' in data:
            usage = json.loads(data)["usage"]
            self.take_usage(usage)
        elif b'"text":""' not in data:
            self.text_times.append(now)

    def take_usage(self, usage):
        self.prompt_tokens, self.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
        self.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)

    def failure(self):
        """Why this is no complete answer; empty where it is one."""
        if self.error or not self.done:
            return self.error or "the stream ended without [DONE]"
        if self.completion_tokens != self.expected_tokens:
            return f"expected {self.expected_tokens} tokens, found {self.completion_tokens}"
        return "" if self.text_times else "an answer without text"


def random_requests(count, prompt_tokens, output_tokens, vocabulary, seed):
    """Requests of distinct random token ids; lengths are drawn from (shortest, longest), both included."""
    source = random.Random(seed)
    first = min(1000, vocabulary // 2)  # special tokens come first
    return [{"prompt": [source.randrange(first, vocabulary) for _ in range(source.randint(*prompt_tokens))],
             "max_tokens": source.randint(*output_tokens)} for _ in range(count)]


async def _read_head(reader):
    """(status, whether the body is chunked)"""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    return int(head.split(b" ", 2)[1]), b"\r\ntransfer-encoding: chunked" in head


async def _pieces(reader, chunked):
    while chunked:
        size = int((await reader.readline()).split(b";")[0], 16)
        piece = await reader.readexactly(size + 2)
        if size == 0:
            return
        yield piece[:-2]
    while piece := await reader.read(1 << 16):
        yield piece


async def ask(port, request, path="/v1/completions", kind=Answer):
    """One streamed answer, whole or not: a `kind`."""
    # Sampling is greedy and does not stop early, so that every server writes the same number of tokens.
    body = json.dumps({"model": "model", "temperature": 0, "ignore_eos": True, "stream": True,
                       "stream_options": {"include_usage": True}, **request}).encode()
    answer = kind(expected_tokens=request["max_tokens"], begun=time.perf_counter())
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                     b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body)
        status, chunked = await _read_head(reader)
        rest = b""
        async for piece in _pieces(reader, chunked):
            now = time.perf_counter()
            *events, rest = (rest + piece).split(b"\n\n")
            for event in events:
                answer.take(event, now)
        if status != 200:
            answer.error = f"status {status}: {rest[:200].decode(errors='replace')}"
    except FAULTS as error:
        answer.error = repr(error)
    finally:
        answer.ended = time.perf_counter()
        if writer:
            writer.close()
    return answer


async def _run_all(port, requests, concurrency):
    waiting, answers = iter(requests), []

    async def client():
        for request in waiting:
            answers.append(await ask(port, request))

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return answers


async def _ask_beside(port, request, later, pause):
    first = asyncio.create_task(ask(port, request))
    await asyncio.sleep(pause)
    return await asyncio.gather(first, ask(port, later))


def run_beside(port, request, later, pause):
    """What an answer that is being written suffers from a request that comes `pause` seconds later: times in seconds."""
    answer, other = asyncio.run(_ask_beside(port, request, later, pause))
    first_token = other.text_times[0] if other.text_times else other.ended
    times = [time for time in answer.text_times if time <= first_token]
    gaps = [after - before for before, after in zip(times, times[1:])]
    beside = [gap for gap, after in zip(gaps, times[1:]) if after > other.begun]
    return {"failures": [each.failure() for each in (answer, other) if each.failure()],
            "alone": _median_and_p99([gap for gap, after in zip(gaps, times[1:]) if after <= other.begun]),
            "beside": _median_and_p99(beside), "longest": max(beside, default=None), "tokens_beside": len(beside),
            "first_token": first_token - other.begun}


def own_cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _median_and_p99(values):
    if not values:
        return [None, None]
    values = sorted(values)
    return [statistics.median(values), values[min(len(values) - 1, int(0.99 * len(values)))]]


def run_load(port, requests, concurrency):
    """Sends the requests, `concurrency` at a time, and sums up: times in seconds, [median, 99th percentile]."""
    cpu, begun = own_cpu_seconds(), time.perf_counter()
    answers = asyncio.run(_run_all(port, requests, concurrency))
    seconds, cpu = time.perf_counter() - begun, own_cpu_seconds() - cpu
    return {**sum_up(answers, seconds), "concurrency": concurrency, "client_cpu_share": cpu / seconds}


def sum_up(answers, seconds):
    """The figures of answers that were got in so many seconds; only whole ones count."""
    failures = [answer.failure() for answer in answers if answer.failure()]
    whole = [answer for answer in answers if not answer.failure()]
    output_tokens = sum(answer.completion_tokens for answer in whole)
    prompt_tokens = sum(answer.prompt_tokens for answer in whole)
    gaps = [later - earlier for answer in whole for earlier, later in zip(answer.text_times, answer.text_times[1:])]
    return {"requests": len(answers), "failures": failures, "seconds": seconds,
            "prompt_tokens": prompt_tokens, "cached_tokens": sum(answer.cached_tokens for answer in whole),
            "output_tokens": output_tokens,
            "output_tokens_per_second": output_tokens / seconds,
            "total_tokens_per_second": (output_tokens + prompt_tokens) / seconds,
            "time_to_first_token": _median_and_p99([answer.text_times[0] - answer.begun for answer in whole]),
            "inter_token_latency": _median_and_p99(gaps)}
