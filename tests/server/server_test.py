"""octet serve from outside: the official openai client, and what hostile or unlucky clients do.

Run by ctest; by hand: python3 tests/server/server_test.py build/release/src/apps/octet with-structured-outputs
The parts with the openai client need that package (scripts/requirements-test.txt) and are skipped without it.
"""

import asyncio
import functools
import json
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from typing import Literal, Optional

from octet_server import Server
import scripted_checkpoint

try:
    import openai
except ImportError:
    openai = None

PROGRAM = None  # from the command line
HAS_FORMS = None  # the same: whether it was built with structured output
CALL = ["Let me look.\n", "<tool", "_call>\n", '{"name": "get_weather", ', '"arguments": {"city": "Köln"}}', "\n</tool_call>"]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}}]
HELLO = [{"role": "user", "content": "Hello"}]
PERSON = {
    "type": "object", "required": ["age", "kind"], "additionalProperties": False, "properties": {
        "age": {"type": "integer", "minimum": 0, "maximum": 130}, "kind": {"enum": ["x", "y\n", None]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}}}
LONG = {"prompt": "a", "max_tokens": 60000, "ignore_eos": True}


def needs_forms(test):
    @functools.wraps(test)
    def run(self):
        if not HAS_FORMS:
            self.skipTest("built without structured output (OCTET_STRUCTURED_OUTPUTS=OFF)")
        test(self)
    return run


class ServerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.model = scripted_checkpoint.write(cls.scratch.name + "/scripted", CALL)
        cls.server = Server(PROGRAM, cls.model, "--served-model-name", "scripted", "--enable-auto-tool-choice",
                            "--tool-call-parser", "hermes", *cls.flags())
        cls.addClassCleanup(lambda: cls.server.__exit__())

    @staticmethod
    def flags():
        return []

    def wait_for(self, condition, seconds=60):  # sanitizers are slow
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "this did not come to pass")
            time.sleep(0.02)

    def assert_error(self, got, status, *parts):
        self.assertEqual(got[0], status, got)
        error = got[1]["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        for part in parts:
            self.assertIn(part, error["message"])
        return error

    def assert_idle(self, seconds=60):
        self.wait_for(lambda: self.server.metrics()["octet:kv_cache_used_blocks"] == 0, seconds)


@unittest.skipIf(openai is None, "the package openai is not installed")
class OpenAiClientTest(ServerTest):
    def setUp(self):
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.server.port}/v1", api_key="none", max_retries=0)
        self.addCleanup(self.client.close)

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["scripted"])
        self.assertEqual(self.client.models.retrieve("scripted").object, "model")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("other")

    def test_chat(self):
        got = self.client.chat.completions.create(model="scripted", messages=HELLO, logprobs=True, top_logprobs=2)
        choice = got.choices[0]
        self.assertEqual(choice.message.content, "".join(CALL))
        self.assertEqual((choice.message.role, choice.finish_reason), ("assistant", "stop"))
        self.assertEqual([token.token for token in choice.logprobs.content][:2], CALL[:2])
        self.assertEqual([len(token.top_logprobs) for token in choice.logprobs.content][0], 2)
        self.assertGreater(choice.logprobs.content[0].logprob, -0.01)
        self.assertEqual(bytes(choice.logprobs.content[4].bytes).decode(), CALL[4])
        self.assertEqual((got.usage.prompt_tokens, got.usage.completion_tokens), (8, len(CALL) + 1))

    def test_chat_stream(self):
        stream = self.client.chat.completions.create(
            model="scripted", messages=HELLO, stream=True, stream_options={"include_usage": True})
        chunks = list(stream)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(text, "".join(CALL))
        self.assertEqual(chunks[-2].choices[0].finish_reason, "stop")
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, len(CALL) + 1)
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)

    def test_tools(self):
        got = self.client.chat.completions.create(model="scripted", messages=HELLO, tools=TOOLS, tool_choice="auto")
        message = got.choices[0].message
        self.assertEqual((message.content, got.choices[0].finish_reason), ("Let me look.", "tool_calls"))
        self.assertEqual(message.tool_calls[0].function.name, "get_weather")
        self.assertEqual(json.loads(message.tool_calls[0].function.arguments), {"city": "Köln"})
        # The conversation goes on as clients go on with it.
        more = [*HELLO, message.model_dump(exclude_none=True),
                {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Rain."}]
        self.client.chat.completions.create(model="scripted", messages=more, tools=TOOLS)
        got = self.client.chat.completions.create(model="scripted", messages=HELLO, tools=TOOLS, tool_choice="none")
        self.assertIsNone(got.choices[0].message.tool_calls)

    def test_tools_stream(self):
        content, calls, finish = "", {}, None
        for chunk in self.client.chat.completions.create(model="scripted", messages=HELLO, tools=TOOLS, stream=True):
            delta, finish = chunk.choices[0].delta, chunk.choices[0].finish_reason
            content += delta.content or ""
            for call in delta.tool_calls or []:
                name, arguments = calls.get(call.index, ("", ""))
                calls[call.index] = (name + (call.function.name or ""), arguments + call.function.arguments)
        self.assertEqual((content, finish), ("Let me look.", "tool_calls"))
        self.assertEqual(calls, {0: ("get_weather", '{"city":"Köln"}')})

    def test_completions(self):
        def complete(prompt, **more):
            got = self.client.completions.create(model="scripted", prompt=prompt, max_tokens=5, **more)
            return [choice.text for choice in got.choices]
        self.assertEqual(complete("a"), ["bcdef"])
        self.assertEqual(complete(["a", "x"]), ["bcdef", "yzabc"])
        self.assertEqual(complete([97, 98]), ["cdefg"])
        self.assertEqual(complete([[97], [98]]), ["bcdef", "cdefg"])
        self.assertEqual(complete(["a", "x"], n=2), ["bcdef", "bcdef", "yzabc", "yzabc"])
        self.assertEqual(complete("qa", echo=True), ["qabcdef"])
        self.assertEqual(complete("a", stop=["ef"]), ["bcd"])
        self.assertEqual(complete("a", stop="d", extra_body={"include_stop_str_in_output": True}), ["bcd"])
        self.assertEqual(complete("a", extra_body={"stop_token_ids": [100]}), ["bc"])
        self.assertEqual(complete("a", logit_bias={"98": -100, "120": 100}), ["xxxxx"])
        self.assertEqual(complete("a", seed=5, temperature=0.5, top_p=0.9, presence_penalty=0.1,
                                  frequency_penalty=0.1, extra_body={"top_k": 3, "min_p": 0.1, "min_tokens": 2,
                                                                     "repetition_penalty": 1.01}), ["bcdef"])

    def test_completion_logprobs(self):
        got = self.client.completions.create(model="scripted", prompt="a", max_tokens=3, logprobs=2)
        logprobs = got.choices[0].logprobs
        self.assertEqual(logprobs.tokens, ["b", "c", "d"])
        self.assertEqual(logprobs.text_offset, [0, 1, 2])
        self.assertEqual([len(top) for top in logprobs.top_logprobs], [2, 2, 2])
        self.assertIn("b", logprobs.top_logprobs[0])

    def test_logprobs_of_the_prompt(self):
        got = self.client.completions.create(model="scripted", prompt="abx", max_tokens=2, logprobs=1, echo=True)
        logprobs = got.choices[0].logprobs
        self.assertEqual((got.choices[0].text, logprobs.tokens), ("abxyz", ["a", "b", "x", "y", "z"]))
        self.assertIsNone(logprobs.token_logprobs[0])
        self.assertGreater(logprobs.token_logprobs[1], -0.01)  # b follows a
        self.assertLess(logprobs.token_logprobs[2], -10)       # x does not follow b
        self.assertEqual(logprobs.text_offset, [0, 1, 2, 3, 4])
        for stream in (False, True):  # no more than the prompt
            got = self.client.completions.create(model="scripted", prompt="abx", max_tokens=0, logprobs=1, echo=True, stream=stream,
                                                 **({"stream_options": {"include_usage": True}} if stream else {}))
            chunks = list(got) if stream else [got]
            choices = [choice for chunk in chunks for choice in chunk.choices]
            self.assertEqual("".join(choice.text for choice in choices), "abx")
            self.assertEqual([token for choice in choices if choice.logprobs for token in choice.logprobs.tokens], ["a", "b", "x"])
            self.assertEqual((choices[-1].finish_reason, chunks[-1].usage.completion_tokens), ("length", 0))
        got = self.client.chat.completions.create(model="scripted", messages=HELLO, extra_body={"prompt_logprobs": 0})
        self.assertEqual(len(got.model_extra["prompt_logprobs"]), got.usage.prompt_tokens)

    def test_completion_stream_of_a_batch(self):
        texts = {}
        for chunk in self.client.completions.create(model="scripted", prompt=["a", "m"], max_tokens=6, stream=True):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + choice.text
        self.assertEqual(texts, {0: "bcdefg", 1: "nopqrs"})

    def test_async(self):
        async def ask():
            async with openai.AsyncOpenAI(base_url=str(self.client.base_url), api_key="none", max_retries=0) as client:
                async def one(letter):
                    stream = await client.completions.create(model="scripted", prompt=letter, max_tokens=40, stream=True)
                    return "".join([chunk.choices[0].text async for chunk in stream])
                return await asyncio.gather(*(one(letter) for letter in "abcdefghijklmnop"))
        alphabet = "abcdefghijklmnopqrstuvwxyz" * 4
        self.assertEqual(asyncio.run(ask()), [alphabet[i + 1:i + 41] for i in range(16)])

    def test_errors_are_the_clients_exceptions(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": 5}])
        self.assertEqual(caught.exception.param, "messages[0].content")
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model="gpt", messages=HELLO)
        self.assertEqual(caught.exception.code, "model_not_found")

    @needs_forms
    def test_a_keyword_that_would_not_be_enforced_is_refused(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="scripted", messages=HELLO, response_format={
                "type": "json_schema", "json_schema": {"name": "n", "schema": {
                    "type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}}})
        self.assertEqual(caught.exception.param, "response_format.json_schema.schema.properties.a.uniqueItems")

    # What the scripted model would write is none of these forms, and what it does not write is equally likely: with a
    # temperature it is a random walk.

    def check_person(self, text):
        person = json.loads(text)
        self.assertLessEqual({"age", "kind"}, set(person))
        self.assertLessEqual(set(person), set(PERSON["properties"]))
        self.assertTrue(isinstance(person["age"], int) and 0 <= person["age"] <= 130, person)
        self.assertIn(person["kind"], ["x", "y\n", None])
        self.assertTrue(1 <= len(person.get("tags", [True])) <= 2, person)
        self.assertTrue(all(isinstance(tag, bool) for tag in person.get("tags", [])), person)

    @needs_forms
    def test_json_schema(self):
        asked = {"model": "scripted", "messages": HELLO, "temperature": 1, "seed": 1, "n": 6, "max_tokens": 2000, "response_format": {
            "type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}}
        got = self.client.chat.completions.create(**asked)
        for choice in got.choices:
            self.assertEqual(choice.finish_reason, "stop")
            self.check_person(choice.message.content)
        streamed = [""] * 6
        for chunk in self.client.chat.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                streamed[choice.index] += choice.delta.content or ""
        self.assertEqual(streamed, [choice.message.content for choice in got.choices])
        alone = self.client.chat.completions.create(**{**asked, "n": 1, "seed": 3})
        self.assertEqual(alone.choices[0].message.content, streamed[2])

    @needs_forms
    def test_parse(self):
        import pydantic

        class Size(pydantic.BaseModel):
            width: int = pydantic.Field(ge=1, le=99)
            unit: Literal["cm", "m"]

        class Box(pydantic.BaseModel):
            size: Size
            full: Optional[bool]

        for seed in range(4):
            got = self.client.chat.completions.parse(model="scripted", messages=HELLO, response_format=Box, temperature=1, seed=seed,
                                                     max_tokens=2000)
            box = got.choices[0].message.parsed
            self.assertIsInstance(box, Box)
            self.assertTrue(1 <= box.size.width <= 99)

    @needs_forms
    def test_vllm_forms(self):
        def ask(prompt="a", **fields):
            return self.client.completions.create(model="scripted", prompt=prompt, max_tokens=500,
                                                  extra_body={"temperature": 0, **fields}).choices
        self.assertEqual(ask(guided_choice=["xyz", "bcd"])[0].text, "bcd")
        self.assertEqual(ask(structured_outputs={"choice": ["b", "x"]})[0].finish_reason, "stop")
        self.assertEqual(ask(guided_regex="bcd|b[x-z]{3}")[0].text, "bcd")
        together = ask(prompt=["a", "m", "q"], guided_regex="[a-p]{5}")
        self.assertEqual([choice.text for choice in together], ["bcdef", "nopab", "abcde"])
        self.check_person(ask(guided_json=PERSON, temperature=1, seed=5)[0].text)
        self.check_person(ask(structured_outputs={"json": json.dumps(PERSON)}, temperature=1, seed=5)[0].text)
        for seed in range(3):
            choice = ask(structured_outputs={"json_object": True}, temperature=1, seed=seed)[0]
            if choice.finish_reason == "stop":
                self.assertIsInstance(json.loads(choice.text), dict)
        logprobs = self.client.completions.create(model="scripted", prompt="a", max_tokens=5, logprobs=3,
                                                  extra_body={"guided_choice": ["x", "b"]}).choices[0].logprobs
        self.assertGreater(logprobs.token_logprobs[0], -0.01)  # of what the form allows
        self.assertEqual(set(logprobs.top_logprobs[0]), {"b", "x"})

    @needs_forms
    def test_a_call_can_be_required(self):
        tools = [*TOOLS, {"type": "function", "function": {"name": "add", "parameters": {
            "type": "object", "properties": {"a": {"$ref": "#/$defs/digit"}}, "required": ["a"], "additionalProperties": False,
            "$defs": {"digit": {"type": "integer", "minimum": 0, "maximum": 9}}}}}]
        tools[0] = {"type": "function", "function": {"name": "get_weather", "parameters": {
            "type": "object", "properties": {"city": {"enum": ["Köln", "Rom"]}}, "required": ["city"]}}}
        asked = {"model": "scripted", "messages": HELLO, "tools": tools, "temperature": 1, "seed": 2, "max_tokens": 3000}

        def check(call):
            arguments = json.loads(call.function.arguments)
            if call.function.name == "add":
                self.assertIn(arguments["a"], range(10))
            else:
                self.assertEqual(call.function.name, "get_weather")
                self.assertIn(arguments["city"], ["Köln", "Rom"])
        for parallel in (True, False):
            choice = self.client.chat.completions.create(**asked, tool_choice="required", parallel_tool_calls=parallel).choices[0]
            self.assertEqual(choice.finish_reason, "tool_calls")
            self.assertIsNone(choice.message.content)
            for call in choice.message.tool_calls:
                check(call)
            self.assertTrue(parallel or len(choice.message.tool_calls) == 1)
        named = {"type": "function", "function": {"name": "add"}}
        choice = self.client.chat.completions.create(**asked, tool_choice=named).choices[0]
        self.assertEqual((choice.finish_reason, choice.message.tool_calls[0].function.name), ("stop", "add"))
        check(choice.message.tool_calls[0])
        chunks = list(self.client.chat.completions.create(**asked, tool_choice=named, stream=True))
        calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
        self.assertEqual([call.function.arguments for call in calls], [choice.message.tool_calls[0].function.arguments])

    @needs_forms
    def test_hostile_forms(self):
        nested = {"type": "string"}
        for _ in range(30):
            nested = {"type": "array", "items": nested, "maxItems": 9000}
        forms = [{"guided_regex": "([a-z ]{1,15}){1,15}"}, {"guided_regex": "(" * 60 + "a*" + ")*" * 60 + "b"}, {"guided_regex": "(.*a){100}"},
                 {"guided_json": nested}, {"guided_json": {"type": "string", "maxLength": 10000}}, {"guided_json": {"$ref": "#"}},
                 {"guided_json": {"anyOf": [{"$ref": "#"}] * 50 + [{"type": "null"}]}}, {"guided_choice": ["a" * 60000]}]
        for form in forms:
            with self.subTest(form=str(form)[:60]):
                try:
                    got = self.client.completions.create(model="scripted", prompt="a", max_tokens=20, extra_body=form)
                    self.assertIn(got.choices[0].finish_reason, ("stop", "length"))
                except openai.BadRequestError as error:
                    self.assertTrue(error.param.startswith(next(iter(form))), error.param)
                except openai.InternalServerError as error:
                    self.assertIn("ms at one token", str(error))
        self.assert_idle()


class ApiTest(ServerTest):
    @staticmethod
    def flags():
        return ["--max-request-bytes", "100K", "--allowed-origins", "https://a.example", "--request-timeout", "1",
                "--kv-cache-dtype", "fp8"]

    def raw(self, data, wait=5):
        """What comes back for these bytes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=wait) as client:
            client.sendall(data)
            answer = b""
            try:
                while piece := client.recv(65536):
                    answer += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return answer

    def test_small_paths(self):
        self.assertEqual(self.server.request("GET", "/health")[0], 200)
        self.assertEqual(self.server.request("HEAD", "/health")[2], "")
        self.assertRegex(self.server.request("GET", "/version")[2], r'^\{"version":"\d+\.\d+\.\d+"\}$')
        status, headers, text = self.server.request("GET", "/")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("<html", text)

    def test_tokenize_and_detokenize(self):
        status, got = self.server.post("/tokenize", {"prompt": "hé", "return_token_strs": True})
        self.assertEqual((status, got["tokens"], got["count"], got["token_strs"]), (200, [104, 195, 169], 3, ["h", "Ã", "©"]))
        self.assertEqual(got["max_model_len"], 65536)
        self.assertEqual(self.server.post("/detokenize", {"tokens": [104, 195, 169]}), (200, {"prompt": "hé"}))
        self.assertEqual(self.server.post("/tokenize", {"messages": HELLO})[1]["tokens"][-1], 258)
        refused = self.server.post("/detokenize", {"tokens": [104, 320]})
        self.assert_error(refused, 400, "320")
        self.assertEqual(refused[1]["error"]["param"], "tokens[1]")
        self.assertEqual(self.server.request("GET", "/v1/models/")[0], 404)
        self.assert_error(self.server.post("/tokenize", {}), 400, "prompt")

    def test_metrics(self):
        before = self.server.metrics()
        self.server.post("/v1/completions", {"prompt": "a" * 80, "max_tokens": 7})
        self.server.post("/v1/completions", {"prompt": "a" * 80, "max_tokens": 1})
        after = self.server.metrics()
        def grown(name):
            return after[name] - before[name]
        self.assertEqual(grown("octet:generation_tokens_total"), 8)
        self.assertEqual(grown('octet:request_success_total{finished_reason="length"}'), 2)
        self.assertEqual(grown("octet:time_to_first_token_seconds_count"), 2)
        self.assertEqual(grown("octet:e2e_request_latency_seconds_count"), 2)
        self.assertEqual(grown('octet:e2e_request_latency_seconds_bucket{le="+Inf"}'), 2)
        self.assertEqual(grown("octet:inter_token_latency_seconds_count"), 6)
        self.assertGreater(grown("octet:prefix_cache_hits_total"), 0)
        self.assertIn('octet:kv_saturated_total{layer="1",tensor="v"}', after)
        info = next(name for name in after if name.startswith("octet:cache_config_info"))
        self.assertIn('cache_dtype="fp8_e4m3"', info)
        self.assertIn('block_size="64"', info)

    def test_wrong_types_name_the_field(self):
        chat = "/v1/chat/completions"
        for path, body, field in [
            (chat, {}, "messages"), (chat, {"messages": []}, "messages"), (chat, {"messages": "x"}, "messages"),
            (chat, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
            (chat, {"messages": HELLO, "temperature": "hot"}, "temperature"),
            (chat, {"messages": HELLO, "temperature": -1}, "temperature"),
            (chat, {"messages": HELLO, "n": 0}, "n"), (chat, {"messages": HELLO, "n": 1 << 40}, "n"),
            (chat, {"messages": HELLO, "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
            (chat, {"messages": HELLO, "tool_choice": "required"}, "tool_choice"),
            (chat, {"messages": HELLO, "tools": TOOLS, "tool_choice": "must"}, "tool_choice"),
            (chat, {"messages": HELLO, "tools": TOOLS, "tool_choice": {"function": {"name": "x"}}}, "tool_choice.function.name"),
            (chat, {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
             "response_format.json_schema.schema"),
            (chat, {"messages": HELLO, "response_format": {"type": "json_object"}, "guided_regex": "a"}, "guided_regex"),
            (chat, {"messages": HELLO, "stream_options": {}}, "stream_options"),
            ("/v1/completions", {"prompt": [[1, "a"]]}, "prompt[0][1]"),
            ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix"),
            ("/v1/completions", {"prompt": "a", "guided_choice": ["b", 1]}, "guided_choice[1]"),
            ("/v1/completions", {"prompt": "a", "guided_grammar": "root ::= x"}, "guided_grammar"),
            ("/v1/completions", {"prompt": "a", "logit_bias": {"1": "x"}}, "logit_bias.1"),
            ("/v1/completions", {"prompt": "a", "logprobs": 21}, "logprobs"),
            ("/v1/completions", {"prompt": "a", "prompt_logprobs": 21}, "prompt_logprobs"),
            ("/v1/completions", {"prompt": "a", "stop": ["x"] * 1025}, "stop"),
            ("/v1/completions", {"prompt": "a", "stop": ["x" * 8000, "y" * 193]}, "stop"),
            ("/v1/completions", {"prompt": "a", "stop_token_ids": [1] * 1025}, "stop_token_ids"),
        ]:
            with self.subTest(body=body):
                self.assertEqual(self.assert_error(self.server.post(path, body), 400, field)["param"], field)

    def test_forms_that_cannot_be_had_are_refused_with_their_path(self):
        chat, text = "/v1/chat/completions", "/v1/completions"
        for path, body, field in [
            (chat, {"messages": HELLO, "tool_choice": "required", "tools": [TOOLS[0], {"function": {"name": "f", "parameters": {
                "type": "object", "properties": {"a": {"type": "strong"}}}}}]}, "tools[1].function.parameters.properties.a.type"),
            (chat, {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {
                "name": "n", "schema": {"not": {}}}}}, "response_format.json_schema.schema.not"),
            (text, {"prompt": "a", "guided_regex": "(?=b)"}, "guided_regex"),
            (text, {"prompt": "a", "guided_choice": ["b", ""]}, "guided_choice[1]"),
            (text, {"prompt": "a", "structured_outputs": {"json": {"maxLength": 3}}}, "structured_outputs.json.maxLength"),
        ]:
            with self.subTest(field=field):
                if HAS_FORMS:
                    self.assertEqual(self.assert_error(self.server.post(path, body), 400, field)["param"], field)
                else:  # whatever the form, the field is named that asks for it
                    error = self.assert_error(self.server.post(path, body), 400, "built without structured output")
                    self.assertTrue(field.startswith(error["param"]), error)

    def test_unknown_fields_are_ignored(self):
        body = {"prompt": "a", "max_tokens": 2, "no_such_field": {"a": 1}, "user": "me", "suffix": None}
        self.assertEqual(self.server.post("/v1/completions", body)[1]["choices"][0]["text"], "bc")

    def test_prompt_and_answer_too_long(self):
        error = self.assert_error(self.server.post("/v1/completions", {"prompt": "a" * 70000}), 400, "70000", "65536")
        self.assertEqual(error["type"], "invalid_request_error")
        self.assert_error(self.server.post("/v1/completions", {"prompt": "ab", "max_tokens": 65535}), 400, "65535", "65536")

    def test_lengths_are_refused_as_openai_has_it(self):
        chat = "/v1/chat/completions"
        for path, body, field in [
            (chat, {"messages": HELLO, "max_completion_tokens": 65530}, "max_completion_tokens"),
            (chat, {"messages": HELLO, "max_tokens": 65530}, "max_tokens"),
            (chat, {"messages": [{"role": "user", "content": "a" * 66000}]}, "messages"),
            ("/v1/completions", {"prompt": ["a", "a" * 66000]}, "prompt[1]"),
            ("/v1/completions", {"prompt": "a" * 66000}, "prompt"),
            ("/v1/completions", {"prompt": "ab", "max_tokens": 65535}, "max_tokens"),
        ]:
            with self.subTest(field=field):
                error = self.assert_error(self.server.post(path, body), 400, field, "65536")
                self.assertEqual((error["param"], error["code"]), (field, "context_length_exceeded"))
        for field in ("max_tokens", "max_completion_tokens"):
            error = self.assert_error(self.server.post(chat, {"messages": HELLO, field: 0}), 400, field, "0")
            self.assertEqual(error["param"], field)

    def test_paths_and_methods(self):
        self.assert_error(self.server.post("/v1/embeddings", {}), 404)
        status, headers, _ = self.server.request("GET", "/v1/chat/completions")
        self.assertEqual((status, headers["Allow"]), (405, "POST"))
        self.assertEqual(self.server.request("DELETE", "/v1/models")[0], 405)

    def test_bodies(self):
        self.assert_error(self.server.post("/v1/completions", "{"), 400, "JSON")
        self.assert_error(self.server.post("/v1/completions", b'{"prompt": "\xff"}'), 400, "UTF-8")
        self.assert_error(self.server.post("/v1/completions", "[" * 50000), 400, "nested")
        self.assert_error(self.server.post("/v1/completions", '{"prompt":' * 9000), 400, "nested")
        self.assert_error(self.server.post("/v1/completions", json.dumps({str(i): i for i in range(2000)})), 400, "keys")
        self.assert_error(self.server.post("/v1/completions", "x" * (100 << 10) + "y"), 413, "102401", "102400")
        self.assert_error(self.server.post("/v1/completions", ""), 400, "JSON")
        for body in ("[]", "5", '"a"', "null"):
            self.assertIsNone(self.assert_error(self.server.post("/v1/completions", body), 400, "an object")["param"])

    def test_chunked_bodies(self):
        head = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b'{"prompt":"a","max_tokens":2}'
        self.assertIn(b'"text":"bc"', self.raw(head + b"".join(b"1\r\n%c\r\n" % c for c in body) + b"0\r\n\r\n"))
        self.assertIn(b" 413 ", self.raw(head + b"ffff\r\n" + b" " * 0xffff + b"\r\nffff\r\n" + b" " * 0xffff + b"\r\n0\r\n\r\n"))

    def test_ambiguous_lengths(self):
        for headers in (b"Content-Length: 2\r\nContent-Length: 3\r\n", b"Content-Length: -1\r\n",
                        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"):
            self.assertIn(b" 400 ", self.raw(b"POST /v1/completions HTTP/1.1\r\n" + headers + b"\r\n{}").split(b"\r\n")[0])

    def test_garbage(self):
        self.assertIn(b" 400 ", self.raw(b"\x16\x03\x01\x02\x00\x01\r\n\r\n").split(b"\r\n")[0])
        self.assertIn(b" 431 ", self.raw(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000).split(b"\r\n")[0])
        self.assertEqual(self.server.request("GET", "/health")[0], 200)

    def test_slow_clients(self):
        """All of a request must have come within --request-timeout; until then nobody else is held up."""
        started = time.monotonic()
        answers = []
        def dawdle(start):
            answers.append(self.raw(start, wait=10))
        def drip(start):
            """A byte now and then, which must not buy time; the body's time is what the head has left of it."""
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as client:
                client.sendall(start)
                begun = time.monotonic()
                client.settimeout(0.2)
                while time.monotonic() - begun < 8:
                    try:
                        client.sendall(b"a" if b"\r\n\r\n" in start else b"A: b\r\n")
                        answers.append(client.recv(65536))
                        self.assertLess(time.monotonic() - begun, 2)
                        return
                    except TimeoutError:
                        pass
                self.fail("the server waits for ever")
        threads = [threading.Thread(target=dawdle, args=(start,)) for start in (
            b"POST /v1/comp", b"POST /v1/completions HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")]
        threads += [threading.Thread(target=drip, args=(start,)) for start in (
            b"POST /v1/completions HTTP/1.1\r\n", b"POST /v1/completions HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")]
        for thread in threads:
            thread.start()
        self.assertEqual(self.server.post("/v1/completions", {"prompt": "a", "max_tokens": 1})[0], 200)
        self.assertLess(len(answers), len(threads))  # it was not kept until all of them had been given up
        for thread in threads:
            thread.join()
        self.assertLess(time.monotonic() - started, 5)
        self.assertEqual(len(answers), 4)
        for answer in answers:
            self.assertIn(b" 408 ", answer.split(b"\r\n")[0])

    def test_a_client_that_leaves_frees_its_blocks(self):
        for stream in (True, False):
            body = json.dumps({**LONG, "stream": stream}).encode()
            client = socket.create_connection(("127.0.0.1", self.server.port), timeout=5)
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.wait_for(lambda: self.server.metrics()["octet:kv_cache_used_blocks"] > 0)
            aborted = self.server.metrics()['octet:request_success_total{finished_reason="abort"}']
            client.close()
            self.wait_for(lambda: self.server.metrics()['octet:request_success_total{finished_reason="abort"}'] > aborted)
            self.assert_idle()

    def test_a_reader_that_stalls_is_dropped(self):
        body = json.dumps({**LONG, "stream": True, "logprobs": 20}).encode()
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=5) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.wait_for(lambda: self.server.metrics()["octet:kv_cache_used_blocks"] > 0)
            self.assert_idle(300)  # the system takes 4 MB for the reader before the server waits for it

    def test_keep_alive_and_pipelining(self):
        one = b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        self.assertEqual(self.raw(one * 3 + last).count(b'{"version"'), 4)
        # A body where none was expected is not taken for a request.
        self.assertEqual(self.raw(b"GET /version HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(one) + one).count(b'{"version"'), 1)

    def test_http_1_0_ends_with_its_answer(self):
        for path in (b"/version", b"/nothing"):
            answer = self.raw(b"GET " + path + b" HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").lower()
            self.assertIn(b"\r\nconnection: close\r\n", answer)
            self.assertNotIn(b"keep-alive", answer)
        body = json.dumps({"prompt": "a", "max_tokens": 3, "stream": True}).encode()
        answer = self.raw(b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.assertNotIn(b"chunked", answer.lower())
        self.assertTrue(answer.endswith(b"\r\n\r\ndata: [DONE]\n\n") or answer.endswith(b"\n\ndata: [DONE]\n\n"), answer)
        # Nor does one that is refused before its body is read promise to go on.
        answer = self.raw(b"POST /nothing HTTP/1.1\r\nContent-Length: 5\r\n\r\n").lower()
        self.assertIn(b"\r\nconnection: close\r\n", answer)
        self.assertNotIn(b"keep-alive", answer)

    def test_sigpipe_is_ignored(self):
        with open(f"/proc/{self.server.process.pid}/status") as status:
            ignored = int(next(line for line in status if line.startswith("SigIgn:")).split()[1], 16)
        self.assertTrue(ignored >> (signal.SIGPIPE - 1) & 1)

    def test_origins(self):
        allowed = self.server.request("OPTIONS", "/v1/chat/completions", headers={"Origin": "https://a.example"})
        self.assertEqual((allowed[0], allowed[1]["Access-Control-Allow-Origin"]), (204, "https://a.example"))
        self.assertIn("POST", allowed[1]["Access-Control-Allow-Methods"])
        other = self.server.request("GET", "/v1/models", headers={"Origin": "https://b.example"})
        self.assertNotIn("Access-Control-Allow-Origin", other[1])
        # What browsers send for any page without asking is not computed.
        body = json.dumps({"prompt": "a", "max_tokens": 1})
        for content_type, status in [("text/plain", 415), ("application/x-www-form-urlencoded", 415), (None, 415),
                                     ("application/json; charset=utf-8", 200), ("Application/JSON", 200)]:
            headers = {"Origin": "https://b.example", **({"Content-Type": content_type} if content_type else {})}
            self.assertEqual(self.server.request("POST", "/v1/completions", body, headers)[0], status, content_type)

    def test_prompts_are_not_logged(self):
        self.server.post("/v1/completions", {"prompt": "secretive", "max_tokens": 2, "stop": "secretive"})
        self.server.post("/v1/completions", {"prompt": "secretive", "max_tokens": "secretive"})
        self.wait_for(lambda: len([e for e in self.server.log if e["event"] == "request"]) >= 2)
        entry = next(e for e in self.server.log if e["event"] == "request" and e.get("completion_tokens") == 2)
        for field in ("time", "level", "request_id", "remote", "path", "status", "prompt_tokens", "first_token_seconds", "seconds"):
            self.assertIn(field, entry)
        self.assertNotIn("secretive", json.dumps(self.server.log))


class LimitsTest(unittest.TestCase):
    """Servers that are started in other ways."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.model = scripted_checkpoint.write(cls.scratch.name + "/scripted", CALL)

    def start_long(self, server):
        """A streamed answer that goes on for long; reads its first event."""
        body = json.dumps({**LONG, "stream": True}).encode()
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return client

    def wait_running(self, server, running, waiting):
        for _ in range(500):
            metrics = server.metrics()
            if (metrics["octet:num_requests_running"], metrics["octet:num_requests_waiting"]) == (running, waiting):
                return
            time.sleep(0.02)
        self.fail(f"{metrics}")

    def test_full_queue(self):
        with Server(PROGRAM, self.model, "--max-num-seqs", "1", "--max-queue", "1") as server:
            clients = [self.start_long(server) for _ in range(2)]
            self.wait_running(server, 1, 1)
            status, headers, text = server.request("POST", "/v1/completions", {"prompt": "a"})
            self.assertEqual((status, headers["Retry-After"]), (429, "1"))
            self.assertEqual(json.loads(text)["error"]["code"], "queue_full")
            for client in clients:
                client.close()
            self.wait_running(server, 0, 0)
            self.assertEqual(server.post("/v1/completions", {"prompt": "a", "max_tokens": 1})[0], 200)

    def test_a_step_has_room_for_every_sequence(self):
        with Server(PROGRAM, self.model, "--max-num-seqs", "300") as server:
            self.assertEqual(server.post("/v1/completions", {"prompt": "a", "max_tokens": 1})[0], 200)

    def test_more_answers_than_can_ever_wait(self):
        with Server(PROGRAM, self.model, "--max-num-seqs", "2", "--max-queue", "3") as server:
            for body, field in [({"prompt": ["a"] * 6}, "prompt"), ({"prompt": "a", "n": 6}, "n"),
                                ({"prompt": ["a", "b"], "n": 3}, "n")]:
                status, got = server.post("/v1/completions", body)
                self.assertEqual((status, got["error"]["param"]), (400, field))
                self.assertIn("5", got["error"]["message"])
                self.assertIn("6", got["error"]["message"])
            status, got = server.post("/v1/completions", {"prompt": "a", "n": 5, "max_tokens": 4})
            self.assertEqual([choice["text"] for choice in got["choices"]], ["bcde"] * 5)
            # More answers than run at once do not wait for a request that runs on and on.
            client = self.start_long(server)
            self.wait_running(server, 1, 0)
            status, got = server.post("/v1/completions", {"prompt": "a", "n": 4, "max_tokens": 4})
            self.assertEqual([choice["text"] for choice in got["choices"]], ["bcde"] * 4)
            self.assertEqual(server.metrics()["octet:num_requests_running"], 1)
            client.close()

    def test_more_connections_than_are_held(self):
        with Server(PROGRAM, self.model, "--max-num-seqs", "1", "--max-queue", "0") as server:
            idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(65)]
            for _ in range(100):
                status, headers, _ = server.request("GET", "/health")
                if status == 503:
                    break
            self.assertEqual((status, headers["Retry-After"]), (503, "1"))
            for client in idle:
                client.close()
            for _ in range(100):
                if server.request("GET", "/health")[0] == 200:
                    break
                time.sleep(0.02)
            self.assertEqual(server.request("GET", "/health")[0], 200)

    def test_keys(self):
        with Server(PROGRAM, self.model, "--api-key", "one", "--api-key", "two") as server:
            for header, status in [(None, 401), ("Bearer one", 200), ("bearer two", 200), ("Bearer on", 401),
                                   ("Bearer onee", 401), ("one", 401), ("Basic one", 401)]:
                got = server.request("GET", "/v1/models", headers={"Authorization": header} if header else {})
                self.assertEqual(got[0], status, header)
            self.assertEqual(server.request("GET", "/health")[0], 200)
            # The key comes first: nobody without one sends a body that is read.
            self.assertEqual(server.request("POST", "/v1/completions", "x" * 100000)[0], 401)
        with Server(PROGRAM, self.model, env={"OCTET_API_KEY": "three"}) as server:
            self.assertEqual(server.request("GET", "/v1/models")[0], 401)
            self.assertEqual(server.request("GET", "/v1/models", headers={"Authorization": "Bearer three"})[0], 200)

    def test_sigterm_finishes_what_runs(self):
        with Server(PROGRAM, self.model, "--metrics-prefix", "vllm", "--log-prompts") as server:
            self.assertIn("vllm:num_requests_running", server.metrics())
            answer = []
            thread = threading.Thread(
                target=lambda: answer.append(server.post("/v1/completions", {**LONG, "prompt": "bc", "max_tokens": 3000})))
            thread.start()
            while server.metrics()["vllm:num_requests_running"] == 0:
                self.assertTrue(thread.is_alive())
            self.assertEqual(server.stop(), 0)
            thread.join()
            self.assertEqual(answer[0][0], 200)
            self.assertEqual(answer[0][1]["usage"]["completion_tokens"], 3000)
            self.assertEqual([e["event"] for e in server.log][-2:], ["request", "stopped"])
            self.assertIn("bc", next(e for e in server.log if e.get("completion_tokens") == 3000)["prompt"])

    def test_shutdown_timeout_ends_what_is_left(self):
        with Server(PROGRAM, self.model, "--shutdown-timeout", "0.1") as server:
            client = self.start_long(server)
            self.wait_running(server, 1, 0)
            received = b""
            server.process.send_signal(signal.SIGINT)
            while piece := client.recv(65536):
                received += piece
            self.assertIn(b'"finish_reason":"abort"', received)
            self.assertIn(b"data: [DONE]", received)
            client.close()
            self.assertEqual(server.process.wait(10), 0)

    def test_port_in_use(self):
        with Server(PROGRAM, self.model) as server:
            got = subprocess.run([PROGRAM, "serve", self.model, "--port", str(server.port)], capture_output=True, timeout=30)
            self.assertEqual(got.returncode, 1)
            self.assertRegex(got.stderr.decode(), rf"^octet: error: 127\.0\.0\.1:{server.port}: cannot listen: .+\n$")

    def test_bad_flags(self):
        for flags, part in [(["--port", "70000"], "port"), (["--ssl-keyfile", "x"], "--ssl-certfile"),
                            (["--ssl-keyfile", "x", "--ssl-certfile", "y"], "y"), (["--max-queue", "-1"], "--max-queue"),
                            (["--log-level", "loud"], "--log-level"), (["--metrics-prefix", "a-b"], "--metrics-prefix"),
                            (["--enable-auto-tool-choice"], "--tool-call-parser"), (["--max-request-bytes", "1"], "--max-request-bytes"),
                            (["--allowed-origins", "a.example"], "--allowed-origins"), (["--api-key", ""], "--api-key"),
                            (["--shutdown-timeout", "-1"], "--shutdown-timeout"), (["--host", "no.such.host.invalid"], "--host"),
                            (["--kv-cache-memory-bytes", "1K"], "kv_cache_memory_bytes"),
                            (["--max-num-seqs", "300", "--max-num-batched-tokens", "256"], "max_num_batched_tokens"),
                            (["--chat-template", "/no/such/file"], "/no/such/file")]:
            with self.subTest(flags=flags):
                got = subprocess.run([PROGRAM, "serve", self.model, "--port", "0", *flags], capture_output=True, timeout=30)
                self.assertIn(got.returncode, (1, 2))
                self.assertEqual(len(got.stderr.splitlines()), 1, got.stderr)
                self.assertIn(part, got.stderr.decode())

    def test_flags_from_a_file(self):
        path = self.scratch.name + "/serve.yaml"
        with open(path, "w") as file:
            file.write("served-model-name: [first, second]\nenable-prefix-caching: false\nkv-cache-dtype: fp8\n"
                       "calculate-kv-scales: prompt\nenable-auto-tool-choice: true\ntool-call-parser: llama3_json\n")
        with Server(PROGRAM, self.model, "--config", path) as server:
            models = json.loads(server.request("GET", "/v1/models")[2])["data"]
            self.assertEqual([model["id"] for model in models], ["first", "second"])
            status, got = server.post("/v1/completions", {"model": "second", "prompt": "a" * 20, "max_tokens": 3})
            self.assertEqual((status, got["model"], got["choices"][0]["text"]), (200, "second", "bcd"))
            info = next(name for name in server.metrics() if name.startswith("octet:cache_config_info"))
            self.assertIn('enable_prefix_caching="False"', info)
            self.assertIn("calculated from the first prompt", info)
            # llama3_json finds no call in this answer, which is text then.
            got = server.post("/v1/chat/completions", {"messages": HELLO, "tools": TOOLS})[1]
            self.assertEqual(got["choices"][0]["message"]["content"], "".join(CALL))

    def test_a_flag_is_turned_off_in_a_file_in_two_ways(self):
        path = self.scratch.name + "/off.yaml"
        for line, enabled in [("enable-prefix-caching: false", "False"), ("no-enable-prefix-caching: true", "False"),
                              ("no_enable_prefix_caching: false", "True")]:
            with open(path, "w") as file:
                file.write(line + "\n")
            with self.subTest(line=line), Server(PROGRAM, self.model, "--config", path) as server:
                info = next(name for name in server.metrics() if name.startswith("octet:cache_config_info"))
                self.assertIn(f'enable_prefix_caching="{enabled}"', info)

    def test_tls(self):
        key, certificate = self.scratch.name + "/key.pem", self.scratch.name + "/certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        with Server(PROGRAM, self.model, "--ssl-keyfile", key, "--ssl-certfile", certificate) as server:
            context = ssl.create_default_context(cafile=certificate)
            body = json.dumps({"prompt": "a", "max_tokens": 2000, "stream": True}).encode()
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain, \
                    context.wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(b"POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                received = b""
                while piece := client.recv(65536):
                    received += piece
            self.assertIn(b"data: [DONE]", received)
            self.assertIn(b"200 OK", received)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    HAS_FORMS = {"with-structured-outputs": True, "without-structured-outputs": False}[sys.argv.pop(1)]
    unittest.main(verbosity=1)
