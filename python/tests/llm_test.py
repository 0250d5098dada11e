"""LLM in vLLM's shape: prompts of every kind, parameters, outputs, errors, statistics."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import logging
import math
import pathlib
import pickle
import subprocess
import sys
import unittest
from typing import ClassVar
from unittest import mock

import checkpoints
import octet
import tiny_checkpoint
from octet import LLM, SamplingParams, StructuredOutputsParams

GREEDY = SamplingParams(temperature=0, max_tokens=8)


class Generate(checkpoints.TinyModel):
    llm: ClassVar[LLM]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.llm = LLM(cls.model, kv_cache_dtype="int8_per_token_head")

    def generate(self, *args, **kwargs):
        return self.llm.generate(*args, use_tqdm=False, **kwargs)

    def test_a_prompt_may_be_text_ids_or_a_dictionary_alone_or_in_a_list(self) -> None:
        text = "abc"
        ids = self.llm.get_tokenizer().encode(text)
        expected = self.generate(text, GREEDY)[0].outputs[0].token_ids
        self.assertEqual(8, len(expected))
        for prompt in (text, ids, {"prompt": text}, {"prompt_token_ids": ids}):
            for prompts in (prompt, [prompt]):
                outputs = self.generate(prompts, GREEDY)
                self.assertEqual(1, len(outputs), prompts)
                self.assertEqual(expected, outputs[0].outputs[0].token_ids, prompts)
        self.assertEqual(
            expected, self.generate(prompt_token_ids=[ids], sampling_params=GREEDY)[0].outputs[0].token_ids
        )

    def test_outputs_come_in_order_and_do_not_depend_on_company(self) -> None:
        prompts = [f"prompt {i}" for i in range(40)]
        together = self.generate(prompts, GREEDY)
        self.assertEqual(prompts, [output.prompt for output in together])
        for i in (0, 17, 39):
            self.assertEqual(self.generate(prompts[i], GREEDY)[0].outputs[0].text, together[i].outputs[0].text)
        self.assertEqual([], self.generate([], GREEDY))

    def test_each_prompt_may_have_its_own_parameters(self) -> None:
        each = [SamplingParams(max_tokens=n, ignore_eos=True) for n in (1, 2, 3)]
        outputs = self.generate(["a", "b", "c"], each)
        self.assertEqual([1, 2, 3], [len(output.outputs[0].token_ids) for output in outputs])
        with self.assertRaisesRegex(ValueError, "one for each of 2 prompts, found 3"):
            self.generate(["a", "b"], each)

    def test_seeds_answers_and_logprobs(self) -> None:
        params = SamplingParams(n=3, seed=7, max_tokens=4, logprobs=2, prompt_logprobs=1, ignore_eos=True)
        first, again = self.generate("abc", params)[0], self.generate("abc", params)[0]
        self.assertEqual([0, 1, 2], [output.index for output in first.outputs])
        self.assertEqual([o.token_ids for o in first.outputs], [o.token_ids for o in again.outputs])
        for output in first.outputs:
            self.assertEqual(len(output.token_ids), len(output.logprobs))
            chosen = [row[token].logprob for row, token in zip(output.logprobs, output.token_ids, strict=True)]
            self.assertAlmostEqual(sum(chosen), output.cumulative_logprob, places=4)
            self.assertTrue(all(2 <= len(row) <= 3 for row in output.logprobs))
        self.assertEqual(3, len(first.prompt_logprobs))
        self.assertIsNone(first.prompt_logprobs[0])
        self.assertIsNone(self.generate("abc", GREEDY)[0].outputs[0].logprobs)

    def skip_where_built_without_structured_outputs(self) -> None:
        form = StructuredOutputsParams(choice=["a"])
        try:
            self.generate("abc", SamplingParams(max_tokens=1, structured_outputs=form))
        except octet.UnsupportedError as error:
            self.assertIn("OCTET_STRUCTURED_OUTPUTS", str(error))
            self.skipTest(str(error))

    def licences(self) -> dict[str, str]:
        files = importlib.metadata.files("octet")
        return {file.name: file.read_text("utf-8") for file in files if file.parent.name == "licenses"}

    def test_the_licences_of_what_is_compiled_in_come_along(self) -> None:
        holders = {
            "LICENSE": "Apache License",
            "LICENSE.nlohmann_json": "Niels Lohmann",
            "LICENSE.cli11": "University of Cincinnati",
            "LICENSE.cpp_httplib": "Yuji Hirose",
            "LICENSE.nanobind": "Wenzel Jakob",
            "LICENSE.robin_map": "Thibaut Goetghebuer-Planchon",
        }
        licences = self.licences()
        self.assertLessEqual(set(holders), set(licences))
        for name, holder in holders.items():
            self.assertIn(holder, licences[name])

    def test_the_licences_of_structured_output_come_along(self) -> None:
        self.skip_where_built_without_structured_outputs()
        names = {"NOTICE.xgrammar", *(f"LICENSE.{name}" for name in ("xgrammar", "dlpack", "picojson"))}
        self.assertLessEqual(names, set(self.licences()))

    def test_structured_outputs_give_the_answer_a_form(self) -> None:
        self.skip_where_built_without_structured_outputs()
        integer = {"type": "integer", "minimum": 3, "maximum": 12}
        schema = {"type": "object", "properties": {"a": integer}, "required": ["a"]}
        no_blanks = {ord(blank): -100 for blank in " \n\r"}
        form = StructuredOutputsParams(json=schema)
        for seed in range(4):
            params = SamplingParams(seed=seed, max_tokens=100, logit_bias=no_blanks, structured_outputs=form)
            answer = self.generate("abc", params)[0].outputs[0]
            self.assertEqual("stop", answer.finish_reason)
            self.assertIn(json.loads(answer.text)["a"], range(3, 13))
        for form, expected in (
            (StructuredOutputsParams(choice=["one", "other"]), "^(one|other)$"),
            (StructuredOutputsParams(regex="[a-c]{2,4}\\d"), "^[a-c]{2,4}\\d$"),
        ):
            params = SamplingParams(temperature=0, max_tokens=20, structured_outputs=form)
            self.assertRegex(self.generate("abc", params)[0].outputs[0].text, expected)
        bad = StructuredOutputsParams(json={"type": "object", "properties": {"a": {"not": {}}}})
        with self.assertRaisesRegex(octet.InvalidArgumentError, r"structured_outputs\.json\.properties\.a\.not"):
            self.generate("abc", SamplingParams(structured_outputs=bad))
        with self.assertRaisesRegex(octet.InvalidArgumentError, "several"):
            SamplingParams(structured_outputs=StructuredOutputsParams(regex="a", json_object=True))
        with self.assertRaises(octet.InvalidArgumentError):
            StructuredOutputsParams(grammar="root ::= x")

    def test_stops(self) -> None:
        whole = self.generate("abc", SamplingParams(temperature=0, max_tokens=12, ignore_eos=True))[0].outputs[0]
        self.assertEqual(("length", None), (whole.finish_reason, whole.stop_reason))
        token = whole.token_ids[5]
        stopped = self.generate("abc", SamplingParams(temperature=0, max_tokens=12, stop_token_ids=[token]))[0].outputs[
            0
        ]
        self.assertEqual(("stop", token), (stopped.finish_reason, stopped.stop_reason))
        self.assertEqual(whole.token_ids[: whole.token_ids.index(token) + 1], stopped.token_ids)

    def test_an_answer_ends_at_max_model_len_and_prompts_may_be_truncated(self) -> None:
        room = self.llm.max_model_len
        output = self.generate("a" * (room - 3), SamplingParams(max_tokens=100, ignore_eos=True))[0].outputs[0]
        self.assertEqual((3, "length"), (len(output.token_ids), output.finish_reason))
        with self.assertRaisesRegex(octet.InvalidArgumentError, "prompt 1.*too long for max_model_len"):
            self.generate(["a", "a" * room], GREEDY)
        params = SamplingParams(max_tokens=1, truncate_prompt_tokens=5)
        self.assertEqual([97] * 5, self.generate("b" + "a" * room, params)[0].prompt_token_ids)

    def test_chat_renders_the_template(self) -> None:
        messages = [{"role": "user", "content": "Hi"}]
        one = self.llm.chat(messages, GREEDY, use_tqdm=False)
        self.assertEqual("<|user|>Hi<|end|><|assistant|>", one[0].prompt)
        two = self.llm.chat([messages, messages], GREEDY, use_tqdm=False)
        self.assertEqual([one[0].outputs[0].text] * 2, [output.outputs[0].text for output in two])
        tokenizer = self.llm.get_tokenizer()
        self.assertEqual(one[0].prompt_token_ids, tokenizer.apply_chat_template(messages, add_generation_prompt=True))
        without = self.llm.chat(messages, GREEDY, use_tqdm=False, add_generation_prompt=False)
        self.assertEqual("<|user|>Hi<|end|>", without[0].prompt)

    def test_tokenizer(self) -> None:
        tokenizer = self.llm.get_tokenizer()
        self.assertEqual("grüße", tokenizer.decode(tokenizer.encode("grüße")))
        self.assertEqual(tokenizer.encode("a b"), tokenizer("a b")["input_ids"])
        self.assertEqual("<|end|>", tokenizer.convert_ids_to_tokens(256))
        self.assertEqual(256, tokenizer.eos_token_id)
        with self.assertRaises(octet.InvalidArgumentError):
            tokenizer.decode([10**6])

    def test_progress_takes_a_bar_as_tqdm_has_it(self) -> None:
        class Bar:
            made: ClassVar[list[Bar]] = []

            def __init__(self, total: int, desc: str, unit: str) -> None:
                self.total, self.desc, self.done, self.closed = total, desc, 0, False
                self.made.append(self)

            def update(self, n: int = 1) -> None:
                self.done += n

            def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
                pass

            def close(self) -> None:
                self.closed = True

        self.llm.generate(["a", "b", "c"], GREEDY, use_tqdm=Bar)
        self.assertEqual([(3, 3, True)], [(bar.total, bar.done, bar.closed) for bar in Bar.made])
        Bar.made.clear()
        self.llm.evaluate("a text of some length", drift_prompts=0, layer_tokens=8, use_tqdm=Bar)
        self.assertEqual({"likelihood", "layers"}, {bar.desc for bar in Bar.made})
        self.assertTrue(all(bar.done == bar.total > 0 and bar.closed for bar in Bar.made))

    def test_statistics_and_evaluation_are_what_pandas_takes(self) -> None:
        stats = self.llm.kv_cache_stats()
        self.assertEqual("int8_per_token_head", stats["dtype"])
        self.assertEqual(stats["capacity_tokens"], stats["num_blocks"] * stats["block_size"])
        json.dumps(stats)  # plain values
        table = self.llm.evaluate(
            "a text of some length " * 8,
            drift_prompts=1,
            drift_prompt_tokens=8,
            drift_tokens=4,
            layer_tokens=32,
            use_tqdm=False,
        )
        self.assertEqual(["auto", "int8_per_token_head"], table["config"])
        self.assertEqual({2}, {len(column) for column in table.values()})
        self.assertEqual(0, table["mean_kl"][0])
        self.assertGreater(table["mean_kl"][1], 0)
        self.assertAlmostEqual(math.exp(table["mean_nll"][1]), table["perplexity"][1], places=6)
        self.assertIn("sqnr_db", table["layers"][1][0])


class Checkpoint(checkpoints.TinyModel):
    def test_inspect_says_what_the_program_says(self) -> None:
        command = [sys.executable, "-m", "octet", "inspect", self.model, "--json"]
        said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        info = octet.inspect(self.model)
        for name, value in said["shapes"].items():
            self.assertEqual(value, info[name], name)
        for name in ("directory", "architecture", "model_type", "dtype", "warnings"):
            self.assertEqual(said[name], info[name], name)
        self.assertEqual(said["weights"]["dtypes"], info["weight_dtypes"])
        self.assertEqual(said["weights"]["tensors"], info["num_tensors"])
        self.assertEqual(said["tokenizer"]["vocab_size"], info["tokenizer_vocab_size"])
        costs = {cost["kv_cache_dtype"]: cost["bytes_per_token"] for cost in said["kv_cache"]}
        self.assertEqual(costs, info["bytes_per_token"])
        self.assertEqual(([0, 1], [0, 1]), (info["layers_without_k"], info["layers_without_v"]))


class Arguments(checkpoints.TinyModel):
    def test_quantization_is_of_the_weights(self) -> None:
        exact = LLM(self.model).generate("abc", SamplingParams(temperature=0, logprobs=0), use_tqdm=False)
        for quantization in ("fp8", "int8"):
            with self.assertLogs("octet", logging.WARNING) as logs:
                llm = LLM(self.model, quantization=quantization)
            self.assertIn(f"quantization {quantization}: 14 linear layers take", logs.output[0])
            found = llm.generate("abc", SamplingParams(temperature=0, logprobs=0), use_tqdm=False)
            self.assertNotEqual(exact[0].outputs[0].cumulative_logprob, found[0].outputs[0].cumulative_logprob)
            measured = llm.evaluate("a text of some length", use_tqdm=False)
            self.assertEqual(["auto", f"auto+quantization={quantization}"], measured["config"])
            self.assertGreater(measured["mean_kl"][1], 0)
        self.assertEqual([], LLM(self.model, quantization="compressed-tensors").notices())
        for refused in ("awq", 8):
            with self.assertRaisesRegex((octet.InvalidArgumentError, TypeError), f"quantization.*{refused}"):
                LLM(self.model, quantization=refused)

    def test_disable_hybrid_kv_cache_manager_keeps_what_is_behind_a_window(self) -> None:
        model = pathlib.Path(tiny_checkpoint.write(self.folder / "windows"))
        config = json.loads((model / "config.json").read_text())
        config |= {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 16}
        (model / "config.json").write_text(json.dumps(config))
        prompt = [list(range(64, 164))]
        for disable in (False, True):
            llm = LLM(model, disable_hybrid_kv_cache_manager=disable, block_size=32)
            outputs = [llm.generate(prompt, GREEDY, use_tqdm=False)[0] for _ in range(2)]
            self.assertEqual([0, 96], [output.num_cached_tokens for output in outputs])
            stats = llm.kv_cache_stats()
            expected = {"window": 0 if disable else 16, "layers": [0, 1], "dtype": "float32"}
            self.assertEqual([expected], [{name: group[name] for name in expected} for group in stats["groups"]])
            self.assertEqual(stats["num_blocks"], stats["groups"][0]["num_blocks"])
            self.assertEqual(stats["capacity_tokens"] / llm.max_model_len, stats["max_concurrency"])

    def test_llm_says_every_option_with_the_librarys_default(self) -> None:
        parameters = inspect.signature(LLM.__init__).parameters.values()
        said = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        options = octet._octet.LLMOptions()
        fields = {name for name in dir(options) if not name.startswith("_")} - {"model"}
        self.assertEqual(set(), fields - said.keys())
        # None is what is not given; the others are spelled in another way than the library's.
        for name in fields - {"kv_cache_dtype_skip_layers", "calculate_kv_scales"}:
            if said[name] is not None:
                self.assertEqual(getattr(options, name), said[name], name)

    def test_an_evaluation_runs_as_the_llm_does_where_nothing_else_is_said(self) -> None:
        llm = LLM(self.model, kv_cache_dtype="fp8", block_size=32, threads=1, isa="reference")
        with mock.patch("octet.llm.evaluate") as evaluate:
            llm.evaluate("text", configs=None)
            llm.evaluate("text", configs=["auto"], block_size=8, threads=2)
        own, other = (call.kwargs for call in evaluate.call_args_list)
        self.assertEqual({"configs": ["fp8"], "block_size": 32, "threads": 1, "isa": "reference"}, own)
        self.assertEqual({"configs": ["auto"], "block_size": 8, "threads": 2, "isa": "reference"}, other)


class Errors(checkpoints.TinyModel):
    def test_unknown_arguments_name_the_nearest(self) -> None:
        for call, nearest in (
            (lambda: LLM(self.model, kv_cache_dtyp="fp8"), "'kv_cache_dtype'"),
            (lambda: SamplingParams(max_new_tokens=5), "'max_tokens'"),
            (lambda: octet.oneshot(self.model, max_seq_len=5), "'max_seq_length'"),
            (lambda: octet.QuantizationArgs(bits=8), "num_bits"),
        ):
            with self.assertRaisesRegex(TypeError, nearest if "bits" not in nearest else "bits"):
                call()

    def test_what_other_programs_have_passes_where_it_changes_nothing(self) -> None:
        LLM(self.model, tensor_parallel_size=1, trust_remote_code=True, enforce_eager=True, tokenizer=self.model)
        with self.assertRaisesRegex(ValueError, "tensor_parallel_size: one process.*expected 1, found 2"):
            LLM(self.model, tensor_parallel_size=2)
        with self.assertRaisesRegex(ValueError, "gpu_memory_utilization.*kv_cache_memory_bytes"):
            LLM(self.model, gpu_memory_utilization=0.9)

    def test_the_librarys_errors_are_exceptions_with_its_text(self) -> None:
        with self.assertRaises(octet.NotFoundError) as caught:
            LLM(str(self.folder / "absent"))
        self.assertIsInstance(caught.exception, FileNotFoundError)
        self.assertEqual(str(self.folder / "absent"), caught.exception.context)
        self.assertIn("no such folder", str(caught.exception))
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertEqual((str(caught.exception), "not_found"), (str(again), again.code))
        with self.assertRaisesRegex(octet.InvalidArgumentError, "kv_cache_dtype: expected auto, fp8.*found 'fp7'"):
            LLM(self.model, kv_cache_dtype="fp7")
        with self.assertRaisesRegex(ValueError, "top_p"):
            SamplingParams(top_p=1.5)
        with self.assertRaisesRegex(TypeError, "temperature cannot be 'hot'"):
            SamplingParams(temperature="hot")
        for bias in ([1], {"x": 1}, {1: "x"}, {1: 10**400}, {2**40: 1}):
            with self.assertRaisesRegex(TypeError, "SamplingParams: logit_bias cannot be"):
                SamplingParams(logit_bias=bias)
        with self.assertRaises(MemoryError):
            LLM(self.model, kv_cache_memory_bytes=1)
        with self.assertRaisesRegex(octet.InvalidArgumentError, "prompts: expected text that UTF-8 can hold"):
            LLM(self.model).generate("\ud800", use_tqdm=False)
        broken = self.folder / "broken"
        broken.mkdir()
        (broken / "config.json").write_text("{")
        with self.assertRaisesRegex(octet.InvalidFileError, "config.json"):
            LLM(broken)

    def test_prompts_and_parameters_that_are_none_are_refused_by_name(self) -> None:
        llm = LLM(self.model)
        for call, words in (
            (lambda: llm.generate(["a", "b"], []), "sampling_params: expected one for each of 2 prompts, found 0"),
            (lambda: llm.generate(["a"], [{"n": 2}]), "sampling_params: expected SamplingParams, found {'n': 2}"),
            (lambda: llm.generate(["a", [2**31]]), r"prompts\[1\]: expected token ids, found one of more than 32 bits"),
            (lambda: llm.logits([-(2**31)]), "prompt: expected token ids"),
            (lambda: llm.logits(["a", "b"]), "prompt: expected one prompt, found 2"),
            (lambda: llm.logits([]), "prompt: expected one prompt, found 0"),
            (lambda: SamplingParams(truncate_prompt_tokens=1.5), "truncate_prompt_tokens: .*found 1.5"),
            (lambda: LLM(self.model, max_num_seqs=-1), "max_num_seqs: expected 1 .*found -1"),
            (lambda: LLM(self.model, kv_cache_dtype_skip_layers="global"), "skip_layers: .*found 'global'"),
        ):
            with self.assertRaisesRegex(octet.InvalidArgumentError, words):
                call()
        with self.assertRaisesRegex(octet.NotFoundError, "absent.jinja"):
            LLM(self.model, chat_template=self.folder / "absent.jinja")

    def test_notices_are_logged(self) -> None:
        with self.assertLogs("octet", logging.WARNING) as logs:
            llm = LLM(self.model, kv_cache_dtype="fp8")
        self.assertIn("no KV scales", logs.output[0])
        self.assertEqual(1, len(llm.notices()))

    def test_params_are_values(self) -> None:
        params = SamplingParams(temperature=0.7, stop="x", seed=3)
        self.assertEqual("SamplingParams(temperature=0.7, seed=3, stop=['x'])", repr(params))
        self.assertEqual(params, params.clone())
        biased = SamplingParams(logit_bias={1: 2.0})
        biased.clone().logit_bias[3] = 4.0
        self.assertEqual({1: 2.0}, biased.logit_bias)
        self.assertNotEqual(params, SamplingParams(temperature=0.7))
        with self.assertRaisesRegex(TypeError, "'temperature'"):
            params.temprature = 1.0


class RealModel(unittest.TestCase):
    def test_greedy_tokens_are_the_golden_ones(self) -> None:
        llm = LLM(checkpoints.require_model(), kv_cache_dtype="fp8")
        golden = json.loads((checkpoints.ROOT / "tests/golden/smollm2.json").read_text(encoding="utf-8"))["prompts"][0]
        output = llm.generate(golden["text"], SamplingParams(temperature=0, max_tokens=2), use_tqdm=False)[0]
        # The first two steps are won by more than rounding may move.
        self.assertEqual(golden["modes"]["fp8_e4m3"]["greedy"][:2], output.outputs[0].token_ids)


if __name__ == "__main__":
    unittest.main()
