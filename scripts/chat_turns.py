"""A load of chats: each client has a context of its own and takes several turns, each of which sends all that was said.

The history is token ids, so that a server finds in its cache exactly what it wrote; each server is asked for its ids in
its own way. The turns after the first begin when every first one has ended, so that the two have figures of their own.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field

from completion_load import Answer, ask, own_cpu_seconds, sum_up


@dataclass
class TurnAnswer(Answer):
    """An answer with its token ids."""

    shared_tokens: int = 0  # of the prompt: the context, and what was said before
    token_ids: list[int] = field(default_factory=list)

    def take(self, event, now):
        data = event.removeprefix(b"data: ")
        if not data.startswith(b"{") or data.startswith(b'{"error"'):
            super().take(event, now)
            return
        data = json.loads(data)
        ids = self.ids_of(data)
        self.token_ids += ids
        if ids:
            self.text_times.append(now)

    def failure(self):
        if reason := super().failure():
            return reason
        if len(self.token_ids) != self.expected_tokens:
            return f"expected {self.expected_tokens} token ids, found {len(self.token_ids)}"
        # A server that computes the context again measures something else.
        if self.cached_tokens < self.shared_tokens // 2:
            return f"of {self.prompt_tokens} tokens the server had {self.cached_tokens}, expected {self.shared_tokens}"
        return ""


class OctetAnswer(TurnAnswer):
    PATH = "/v1/completions"
    FIELDS = {"logprobs": 0, "return_tokens_as_token_ids": True}

    def ids_of(self, data):
        if data.get("usage"):
            self.take_usage(data["usage"])
        return [int(token.removeprefix("token_id:")) for choice in data["choices"]
                for token in (choice["logprobs"] or {}).get("tokens", ())]


class LlamaAnswer(TurnAnswer):
    PATH = "/completion"  # llama-server's own; its /v1/completions has no ids
    FIELDS = {"return_tokens": True, "cache_prompt": True}

    def ids_of(self, data):
        if data["stop"]:
            self.done, self.completion_tokens = True, data["tokens_predicted"]
            self.prompt_tokens, self.cached_tokens = data["tokens_evaluated"], data["timings"]["cache_n"]
        return data["tokens"]


class _Chat:
    def __init__(self, port, kind, number, context, output_tokens):
        self.port, self.kind = port, kind
        self.request = {"prompt": list(context), "max_tokens": output_tokens, **kind.FIELDS}
        if kind is LlamaAnswer:
            self.request["id_slot"] = number  # each chat keeps its place
        self.shared_tokens = 0

    async def turn(self, said):
        self.request["prompt"] += said
        answer = await ask(self.port, self.request, self.kind.PATH, self.kind)
        answer.shared_tokens, self.shared_tokens = self.shared_tokens, len(self.request["prompt"])
        self.request["prompt"] += answer.token_ids
        return answer

    async def turns(self, all_said):
        return [await self.turn(said) for said in all_said]


async def _run(chats, said):
    phases = []
    for turns in ([[]], said):
        begun = time.perf_counter()
        answers = await asyncio.gather(*(chat.turns(turns) for chat in chats))
        phases.append(([answer for each in answers for answer in each], time.perf_counter() - begun))
    return phases


def run_turns(port, kind, contexts, said, output_tokens):
    """A chat for each context: an answer to it, then one to each of `said`. Three results: of the first turn, of the later
    ones and of all, as run_load gives them.
    """
    cpu = own_cpu_seconds()
    first, later = asyncio.run(_run([_Chat(port, kind, number, context, output_tokens)
                                     for number, context in enumerate(contexts)], said))
    share = (own_cpu_seconds() - cpu) / (first[1] + later[1])
    return [{**sum_up(answers, seconds), "concurrency": len(contexts), "client_cpu_share": share}
            for answers, seconds in (first, later, (first[0] + later[0], first[1] + later[1]))]
