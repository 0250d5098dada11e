"""The octet program from outside: exit statuses, one clear error, no partial output, JSON, streaming, Ctrl-C.

Run by ctest; by hand: python3 tests/apps/program_test.py build/release/src/apps/octet
"""

import json
import os
import pathlib
import pty
import resource
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tiny_checkpoint

PROGRAM = None  # from the command line
GREEDY = ["--temperature", "0", "--ignore-eos", "--max-tokens", "12"]


def octet(*arguments, **options):
    environment = {**os.environ, **options.pop("env", {})}
    return subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=300, env=environment, **options)


class ProgramTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.model = tiny_checkpoint.write(cls.scratch.name + "/tiny")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def path(self, name, content):
        path = os.path.join(self.scratch.name, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def assert_error(self, got, status, *parts):
        """One line on stderr that begins "octet: error: " and holds `parts`; nothing on stdout."""
        errors = got.stderr.decode()
        self.assertEqual(got.returncode, status, errors)
        self.assertEqual(got.stdout, b"")
        self.assertEqual(len(errors.splitlines()), 1, errors)
        self.assertTrue(errors.startswith("octet: error: "), errors)
        for part in parts:
            self.assertIn(part, errors)

    def generate_json(self, *arguments, **options):
        """Greedy, where the arguments do not choose otherwise."""
        sampling = [] if "--temperature" in arguments else GREEDY
        got = octet("generate", self.model, *sampling, "--json", *arguments, **options)
        self.assertEqual(got.returncode, 0, got.stderr.decode())
        return [json.loads(line) for line in got.stdout.decode().splitlines()]


class HelpTest(ProgramTest):
    def test_version(self):
        got = octet("--version")
        self.assertEqual(got.returncode, 0)
        self.assertRegex(got.stdout.decode(), r"^octet \d+\.\d+\.\d+\n$")
        self.assertEqual(got.stderr, b"")

    def test_every_command_has_help_with_an_example(self):
        self.assertIn(b"generate", octet("--help").stdout)
        for command in ("generate", "serve", "calibrate", "inspect", "bench", "eval", "plan"):
            got = octet(command, "--help")
            self.assertEqual(got.returncode, 0)
            self.assertRegex(got.stdout, b"Examples?:\n  octet " + command.encode())


class UsageTest(ProgramTest):
    def test_bad_flags_are_usage_errors_that_name_them(self):
        for flag, value in [
            ("--kv-cache-dtype", "int8"), ("--kv-cache-dtype", "FP8"), ("--max-tokens", "0"), ("--max-tokens", "x"),
            ("--max-tokens", "99999999999"), ("--temperature", "-1"), ("--temperature", "nan"),
            ("--temperature", "hot"), ("--top-p", "0"), ("--top-p", "1.5"), ("--top-k", "-2"), ("--top-k", "1.5"),
            ("--min-p", "2"), ("--repetition-penalty", "0"), ("--presence-penalty", "3"),
            ("--frequency-penalty", "-3"), ("--stop", ""), ("--stop", b"\xff"), ("--seed", "-1"), ("--seed", "x"),
            ("--seed", "99999999999999999999"),
            ("--logprobs", "-1"), ("--logprobs", "100000"), ("--max-model-len", "1"), ("--max-model-len", "100000"),
            ("--block-size", "12"), ("--block-size", "0"), ("--kv-cache-memory-bytes", "0"),
            ("--kv-cache-memory-bytes", "-1"), ("--kv-cache-memory-bytes", "1Q"), ("--threads", "-1"),
            ("--threads", "100000000"), ("--isa", "mmx"), ("--prompt-token-ids", "1,x"),
            ("--prompt-token-ids", "259"), ("--prompt-token-ids", "-5"), ("--prompt", b"a\xffb"),
            ("--system", "be brief"), ("--kv-cache-dtype-k", "int8"), ("--kv-cache-dtype-v", "FP8"),
            ("--kv-cache-dtype-skip-layers", "2"), ("--kv-cache-dtype-skip-layers", "0,x"),
            ("--kv-cache-dtype-skip-layers", "-1"), ("--attention-math", "fp4"), ("--attention-math", "FP8"),
        ]:
            with self.subTest(flag=flag, value=value):
                got = octet("generate", self.model, "--prompt", "a", flag, value)
                name = flag.lstrip("-").replace("-", "_")
                if flag not in ("--prompt-token-ids", "--prompt"):
                    self.assert_error(got, 2)
                    self.assertIn(name, got.stderr.decode().replace("-", "_"))
                else:
                    self.assert_error(got, 2, "prompt")

    def test_misspelled_command_lines(self):
        for arguments in ([], ["frobnicate"], ["generate"], ["generate", self.model],
                          ["generate", self.model, "--no-such-flag"], ["generate", self.model, "extra", "--prompt", "a"],
                          ["generate", self.model, "--prompt"],
                          ["generate", self.model, "--prompt", "a", "--top-k", "1", "--top-k", "2"], ["inspect"], ["bench", self.model, "--runs", "0"],
                          ["bench", self.model, "--depth", "0,x"], ["bench", self.model, "--depth", "300"],
                          ["bench", self.model, "--batch", "0"], ["bench", self.model, "--batch", "8,"],
                          ["bench", self.model, "--kv-cache-dtype", "auto,int8"], ["inspect", self.model, "--depth", "1"]):
            with self.subTest(arguments=arguments):
                self.assert_error(octet(*arguments), 2)

    def test_unknown_command_is_named(self):
        self.assert_error(octet("frobnicate", self.model), 2, "frobnicate", "generate", "plan")

    def test_words_say_what_was_expected_and_found(self):
        generate = ["generate", self.model, "--prompt", "a"]
        for arguments, *parts in [
            ([], "expected a command", "generate"), (["--bogus"], "unknown flag '--bogus'", "generate"),
            (["-x", "generate"], "unknown flag '-x'"), (["generate", "--bogus"], "unknown flag '--bogus' of octet generate"),
            ([*generate, "--bogus"], "unknown flag '--bogus' of octet generate"),
            ([*generate, "--max-tokens", "99999999999"], "--max-tokens: expected -2147483648 to 2147483647, found '99999999999'"),
            ([*generate, "--max-tokens", "x"], "--max-tokens: expected a whole number, found 'x'"),
            ([*generate, "--top-k", "9" * 30], "--top-k: the number is too large"),
            ([*generate, "--temperature", "hot"], "--temperature: expected a number, found 'hot'"),
            (["bench", self.model, "--depth", "0,99999999999"], "--depth: expected", "found '99999999999'"),
        ]:
            with self.subTest(arguments=arguments):
                self.assert_error(octet(*arguments), 2, *parts)

    def test_prompt_too_long_names_both_numbers(self):
        got = octet("generate", self.model, "--prompt", "q" * 40, "--max-model-len", "32")
        self.assert_error(got, 2, "40", "32")

    def test_empty_prompt(self):
        self.assert_error(octet("generate", self.model, "--prompt", ""), 2, "prompt 0")

    def test_chat_takes_no_token_ids(self):
        self.assert_error(octet("generate", self.model, "--chat", "--prompt-token-ids", "1"), 2, "--prompt-token-ids")

    def test_bad_environment(self):
        got = octet("generate", self.model, "--prompt", "a", env={"OCTET_ISA": "mmx"})
        self.assert_error(got, 2, "OCTET_ISA", "reference")


class ConfigTest(ProgramTest):
    """--config: flags from a file."""

    def config(self, text):
        return self.path("flags.yaml", text.encode())

    def generate(self, text, *arguments):
        return octet("generate", "--config", self.config(text), "--prompt", "a", "--json", *arguments)

    def test_the_command_line_wins(self):
        flags = (f"model: {self.model}\nkv_cache_dtype: fp8\nkv-cache-dtype-skip-layers: [1]\ntemperature: 0\n"
                 "max-tokens: 3\nignore-eos: true\nstop: ['zz', 'y y']\n# a comment\nchat: false\n")
        got = self.generate(flags)
        self.assertEqual(got.returncode, 0, got.stderr)
        answer = json.loads(got.stdout)
        self.assertEqual(answer["kv_cache"]["dtype"], "fp8_e4m3 (1 layer), float32 (1 layer)")
        self.assertEqual(len(answer["token_ids"]), 3)
        got = self.generate(f"model: {self.model}\nkv-cache-dtype: fp8\ncalculate-kv-scales: bound\nmax-tokens: 3\n",
                            "--calculate-kv-scales=false")
        self.assertEqual(json.loads(got.stdout)["kv_cache"]["scale_source"], "none found: 1.0", got.stderr)
        got = self.generate(flags, "--kv-cache-dtype", "fp8_e5m2", "--max-tokens", "5", "--kv-cache-dtype-skip-layers", "0,1")
        answer = json.loads(got.stdout)
        self.assertEqual(answer["kv_cache"]["dtype"], "float32")
        self.assertEqual(len(answer["token_ids"]), 5)

    def test_flags_of_other_programs_are_named_in_one_notice(self):
        got = self.generate(f"model: {self.model}\nport: 8000\nmax-tokens: 3\ncompilation_config: {{level: 3}}\n")
        self.assertEqual(got.returncode, 0, got.stderr)
        notices = [line for line in got.stderr.decode().splitlines() if "flags.yaml" in line]
        self.assertEqual(len(notices), 1, got.stderr)
        self.assertTrue(notices[0].endswith("octet generate has no such flags: port, compilation-config"), notices)

    def test_bench_takes_its_own(self):
        file = self.config(f"model: {self.model}\nkv-cache-dtype: fp8_e4m3\nmax-model-len: 64\n")
        got = octet("bench", "--config", file, "--depth", "0", "--prefill", "8", "--decode", "2", "--runs", "1", "--json")
        self.assertEqual(json.loads(got.stdout)["rows"][0]["dtype"], "fp8_e4m3", got.stderr)
        self.assertIn(b"max-model-len", got.stderr)

    def test_errors_name_the_file_and_the_key(self):
        model = f"model: {self.model}\n"
        for text, status, *parts in [
            (model + "kv-cache-dtype: int8\n", 2, "line 2", "kv-cache-dtype", "int8"),
            (model + "kv-cache-dtyp: fp8\n", 2, "line 2", "kv-cache-dtype"),
            (model + "max-tokens: many\n", 2, "line 2", "max-tokens", "many"),
            (model + "max-tokens: [1, 2]\n", 2, "line 2", "max-tokens"),
            (model + "max-tokens:\n", 2, "line 2", "max-tokens"),
            (model + "max-tokens: {a: 1}\n", 2, "line 2", "max-tokens"),
            (model + "ignore-eos: 7 times\n", 2, "line 2", "ignore-eos"),
            (model + "ignore-eos: maybe\n", 2, "line 2", "expected true or false, found 'maybe'"),
            (model + "prompt: hello\n", 2, "line 2", "prompt", "command line"),
            (model + "help: true\n", 2, "line 2", "help"),
            (model + "config: other.yaml\n", 2, "line 2", "config"),
            (model + "max-tokens: 1\nmax_tokens: 2\n", 1, "line 3", "max-tokens", "line 2"),
            ("temperature: 0\n", 2, "MODEL_DIR"),
            ("- fp8\n", 1, "line 1", "mapping"),
            (model + "---\na: 1\n", 1, "line 3", "one document"),
            (model + "a: [1\n", 1, "not YAML"),
            (model + "a: *b\n", 1, "not YAML", "line 2"),
        ]:
            with self.subTest(text=text):
                got = self.generate(text)
                self.assert_error(got, status, *parts)
                if "MODEL_DIR" not in parts:
                    self.assertIn("flags.yaml", got.stderr.decode())
        self.assert_error(octet("generate", "--config", self.scratch.name + "/none.yaml"), 1, "none.yaml")


class FailureTest(ProgramTest):
    def test_missing_files(self):
        nowhere = self.scratch.name + "/nowhere"
        for arguments in (["generate", nowhere, "--prompt", "a"], ["inspect", nowhere], ["bench", nowhere],
                          ["generate", self.model, "--prompt-file", nowhere]):
            with self.subTest(arguments=arguments):
                self.assert_error(octet(*arguments), 1, "nowhere")

    def test_cache_too_small(self):
        got = octet("generate", self.model, "--prompt", "a", "--kv-cache-memory-bytes", "40K")
        self.assert_error(got, 1, "kv_cache_memory_bytes", "256", "max_model_len of")

    def test_bad_scale(self):
        scales = {f"model.layers.{layer}.self_attn.{which}_scale": 1.0 for layer in (0, 1) for which in "kv"}
        scales["model.layers.1.self_attn.v_scale"] = -1.0
        model = tiny_checkpoint.write(self.scratch.name + "/bad-scale", scales=scales)
        got = octet("generate", model, "--prompt", "a", "--kv-cache-dtype", "fp8")
        self.assert_error(got, 1, "model.layers.1.self_attn.v_scale")
        unused = octet("generate", model, "--prompt", "a", *GREEDY, "--kv-cache-dtype", "float16")
        self.assertEqual(unused.returncode, 0)
        self.assertRegex(unused.stderr, b"notice: .*model.layers.1.self_attn.v_scale.*not needed by a float16 cache")
        inspected = octet("inspect", model)
        self.assertEqual(inspected.returncode, 0)
        self.assertIn(b"REFUSED", inspected.stdout)
        self.assertIn(b"model.layers.1.self_attn.v_scale", inspected.stdout)

    def test_truncated_weights(self):
        model = tiny_checkpoint.write(self.scratch.name + "/short")
        with open(model + "/model.safetensors", "r+b") as file:
            file.truncate(5000)
        self.assert_error(octet("generate", model, "--prompt", "a"), 1, "model.safetensors")

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            got = subprocess.run([PROGRAM, "inspect", self.model], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(got.returncode, 1)
        self.assertIn(b"octet: error: standard output", got.stderr)


class AnswerTest(ProgramTest):
    def test_json_has_every_member(self):
        (answer,) = self.generate_json("--prompt", "hello", "--logprobs", "2")
        self.assertEqual(answer["index"], 0)
        self.assertEqual(answer["prompt"], "hello")
        self.assertEqual(answer["prompt_token_ids"], list(b"hello"))
        self.assertEqual(len(answer["token_ids"]), 12)
        self.assertEqual(answer["finish_reason"], "length")
        self.assertIsNone(answer["stop_reason"])
        self.assertEqual([row[0]["token_id"] for row in answer["logprobs"]], answer["token_ids"])
        for row in answer["logprobs"]:
            self.assertEqual(len(row), 2)  # the chosen one is one of the two likeliest
            self.assertEqual(set(row[0]), {"token_id", "logprob", "rank", "decoded_token"})
            self.assertEqual(row[0]["rank"], 1)  # greedy
        total = sum(row[0]["logprob"] for row in answer["logprobs"])
        self.assertAlmostEqual(answer["cumulative_logprob"], total, places=4)
        self.assertLess(0, answer["timings"]["first_token"])
        self.assertLessEqual(answer["timings"]["first_token"], answer["timings"]["finished"])
        self.assertEqual(answer["kv_cache"]["dtype"], "float32")
        self.assertEqual(answer["kv_cache"]["bytes_per_token"], 2 * 2 * 2 * 16 * 4)
        (plain,) = self.generate_json("--prompt", "hello")
        self.assertIsNone(plain["logprobs"])
        self.assertEqual(plain["token_ids"], answer["token_ids"])

    def test_prompts_answer_in_the_order_of_the_command_line(self):
        path = self.path("prompt.txt", b"from a file\n")
        answers = self.generate_json("--prompt-token-ids", "1,2", "--prompt", "one", "--prompt-file", path,
                                     "--prompt", "two", "--prompt-file", "-", input=b"from stdin")
        self.assertEqual([a["prompt"] for a in answers], ["", "one", "from a file", "two", "from stdin"])
        self.assertEqual(answers[0]["prompt_token_ids"], [1, 2])

    def test_values_with_brackets_and_commas_stay_whole(self):
        answers = self.generate_json("--prompt", "[a,b]", "--prompt", "c,d")
        self.assertEqual([a["prompt"] for a in answers], ["[a,b]", "c,d"])

    def test_chat_goes_through_the_template(self):
        (answer,) = self.generate_json("--chat", "--system", "S", "--prompt", "U")
        self.assertEqual(answer["prompt"], "<|system|>S<|end|><|user|>U<|end|><|assistant|>")

    def test_stop_strings(self):
        flags = ["--prompt", "stop here", "--temperature", "1.5", "--seed", "5", "--max-tokens", "60", "--ignore-eos"]
        (whole,) = self.generate_json(*flags)
        stop = whole["text"][10:14]
        (cut,) = self.generate_json(*flags, "--stop", "never said", "--stop", stop)
        self.assertEqual(cut["text"], whole["text"][:whole["text"].index(stop)])
        self.assertEqual((cut["finish_reason"], cut["stop_reason"]), ("stop", stop))

    def test_every_cache_dtype_and_block_size(self):
        for dtype, stored in [("auto", "float32"), ("fp8", "fp8_e4m3"), ("fp8_e4m3", "fp8_e4m3"),
                              ("fp8_e5m2", "fp8_e5m2"), ("int8_per_token_head", "int8_per_token_head"),
                              ("fp8_per_token_head", "fp8_per_token_head"),
                              ("int8_hadamard_per_token_head",
                               "k int8_hadamard_per_token_head, v int8_per_token_head")]:
            for block_size in ("8", "16", "32", "64", "128"):
                (answer,) = self.generate_json("--prompt", "a", "--kv-cache-dtype", dtype, "--block-size", block_size)
                self.assertEqual(answer["kv_cache"]["dtype"], stored)

    def test_keys_values_and_layers_may_be_stored_apart(self):
        flags = ["--prompt", "a", "--kv-cache-dtype", "fp8", "--kv-cache-dtype-k", "bfloat16"]
        (answer,) = self.generate_json(*flags, "--kv-cache-dtype-skip-layers", "1")
        cache = answer["kv_cache"]
        self.assertEqual((cache["k_dtype"], cache["v_dtype"], cache["skip_layers"]), ("bfloat16", "fp8_e4m3", [1]))
        self.assertEqual(cache["dtype"], "k bfloat16, v fp8_e4m3 (1 layer), float32 (1 layer)")
        self.assertEqual(cache["bytes_per_token"], 2 * 16 * (2 + 1 + 4 + 4))
        (all_skipped,) = self.generate_json(*flags, "--kv-cache-dtype-skip-layers", "0,1")
        (plain,) = self.generate_json("--prompt", "a")
        self.assertEqual(all_skipped["token_ids"], plain["token_ids"])

    def test_threads_and_instruction_sets_do_not_change_greedy_tokens(self):
        expected = self.generate_json("--prompt", "same", "--threads", "1")[0]["token_ids"]
        self.assertEqual(self.generate_json("--prompt", "same", "--threads", "3")[0]["token_ids"], expected)
        self.assertEqual(self.generate_json("--prompt", "same", "--isa", "reference")[0]["token_ids"], expected)
        self.assertEqual(
            self.generate_json("--prompt", "same", env={"OCTET_ISA": "reference"})[0]["token_ids"], expected)

    def test_each_sampling_flag_changes_something(self):
        base = {"--prompt": "sample", "--temperature": "1.5", "--seed": "3", "--max-tokens": "40"}

        def tokens(**changed):
            flags = {**base, **{"--" + name.replace("_", "-"): value for name, value in changed.items()}}
            return self.generate_json("--ignore-eos", *(word for pair in flags.items() for word in pair))[0]["token_ids"]

        expected = tokens()
        self.assertEqual(tokens(), expected)
        for change in ({"temperature": "0.5"}, {"top_p": "0.3"}, {"top_k": "2"}, {"min_p": "0.5"},
                       {"repetition_penalty": "3"}, {"presence_penalty": "2"}, {"frequency_penalty": "2"},
                       {"seed": "4"}):
            with self.subTest(**change):
                self.assertNotEqual(tokens(**change), expected)

    def test_plain_output_and_summary(self):
        (answer,) = self.generate_json("--prompt", "plain")
        got = octet("generate", self.model, *GREEDY, "--prompt", "plain")
        self.assertEqual(got.stdout.decode(), answer["text"] + "\n")
        summary = got.stderr.decode().splitlines()[-1]
        for part in ("5 prompt tokens, 12 generated", "tokens/s", "float32", "512 bytes/token", "tokens fit",
                     "scales: not needed"):
            self.assertIn(part, summary)

    def test_several_plain_answers_have_headings(self):
        texts = [a["text"] for a in self.generate_json("--prompt", "one", "--prompt", "two")]
        got = octet("generate", self.model, *GREEDY, "--prompt", "one", "--prompt", "two")
        self.assertEqual(got.stdout.decode(),
                         f'=== 1 of 2: "one"\n{texts[0]}\n\n=== 2 of 2: "two"\n{texts[1]}\n')

    def test_logprobs_are_shown_without_json_too(self):
        got = octet("generate", self.model, *GREEDY, "--prompt", "plain", "--logprobs", "2")
        self.assertEqual(got.stdout.decode().count(" | "), 12)

    def test_attention_math_is_said_and_asks_for_an_fp8_cache(self):
        flags = ("--prompt", "a", "--attention-math", "fp8-hopper")
        (answer,) = self.generate_json(*flags, "--kv-cache-dtype", "fp8")
        self.assertEqual(answer["kv_cache"]["attention_math"], "fp8-hopper")
        got = octet("generate", self.model, *GREEDY, *flags, "--kv-cache-dtype", "fp8")
        self.assertIn("octet: notice: attention_math fp8-hopper: queries are fp8_e4m3 with a scale of each token and head",
                      got.stderr.decode())
        for dtype in ("float16", "fp8_per_token_head"):
            got = octet("generate", self.model, *GREEDY, *flags, "--kv-cache-dtype", dtype)
            self.assert_error(got, 2, "attention_math", "fp8_e4m3 or fp8_e5m2", "found " + dtype)

    def test_one_notice_without_scales(self):
        got = octet("generate", self.model, *GREEDY, "--prompt", "a", "--kv-cache-dtype", "fp8")
        notices = [line for line in got.stderr.decode().splitlines() if line.startswith("octet: notice: ")]
        self.assertEqual(len(notices), 1, notices)
        self.assertIn("1.0", notices[0])


class TerminalTest(ProgramTest):
    def run_on_terminal(self, *arguments, interrupt_after=None):
        """stdout is a terminal: returns (status, its text, stderr). `interrupt_after` bytes comes SIGINT."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen([PROGRAM, *arguments], stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)
        shown, sent = b"", False
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not piece:
                break
            shown += piece
            if interrupt_after is not None and not sent and len(shown) >= interrupt_after:
                process.send_signal(signal.SIGINT)
                sent = True
        os.close(ours)
        errors = process.stderr.read().decode()
        process.stderr.close()
        return process.wait(timeout=60), shown.decode().replace("\r\n", "\n"), errors

    def test_streamed_text_is_the_answer(self):
        flags = ["--prompt", "stream", "--temperature", "1", "--seed", "7", "--max-tokens", "80", "--ignore-eos"]
        (answer,) = self.generate_json(*flags)
        status, shown, _ = self.run_on_terminal("generate", self.model, *flags)
        self.assertEqual(status, 0)
        self.assertEqual(shown, answer["text"].replace("\r\n", "\n") + "\n")

    def test_interrupt_ends_in_good_order(self):
        model = tiny_checkpoint.write(self.scratch.name + "/long", max_position_embeddings=100000)
        status, shown, errors = self.run_on_terminal(
            "generate", model, "--prompt", "go on", "--ignore-eos", "--max-tokens", "99000", "--temperature", "0",
            "--max-model-len", "99999", interrupt_after=200)
        self.assertEqual(status, 130)
        self.assertTrue(shown.endswith("\n"))
        self.assertIn("generated; prefill", errors)


class CalibrateTest(ProgramTest):
    def setUp(self):
        lines = [json.dumps({"text": f"sample {i} " + "abcdefgh"[i % 8] * i}) for i in range(30)]
        lines.append(json.dumps({"messages": [{"role": "user", "content": "hi"}]}))
        self.data = self.path("data.jsonl", "\n".join(lines).encode())
        self.folder = tempfile.TemporaryDirectory(dir=self.scratch.name)
        self.addCleanup(self.folder.cleanup)
        self.out = os.path.join(self.folder.name, "out")

    def calibrate(self, *arguments, **options):
        return octet("calibrate", self.model, "--dataset", self.data, "--output", self.out, *arguments, **options)

    def test_json_and_the_checkpoint_it_describes(self):
        got = self.calibrate("--strategy", "attn_head", "--targets", "qkv", "--json")
        self.assertEqual(got.returncode, 0, got.stderr)
        result = json.loads(got.stdout)
        self.assertEqual((result["samples"], result["skipped"], result["interrupted"]), (31, 0, False))
        self.assertEqual([len(result["scales"][1][which]) for which in "qkv"], [4, 2, 2])
        info = json.loads(octet("inspect", self.out, "--json").stdout)
        found = {scale["tensor"]: scale["values"] for scale in info["kv_scales"]["tensors"]}
        self.assertEqual(found["model.layers.1.self_attn.v_scale"], result["scales"][1]["v"])
        answer = octet("generate", self.out, *GREEDY, "--prompt", "a", "--json")
        self.assertEqual(json.loads(answer.stdout)["kv_cache"]["dtype"], "fp8_e4m3")

    def test_summary_says_what_to_do_next(self):
        got = self.calibrate("--observer", "mse", "--num-samples", "7")
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertEqual(got.stderr, b"")
        text = got.stdout.decode()
        for part in ("7 samples", "tokens/s", "observer mse, strategy tensor", f"written to {self.out}",
                     f"octet generate {self.out}"):
            self.assertIn(part, text)

    def test_an_output_that_stands_there(self):
        self.assertEqual(self.calibrate("--num-samples", "2").returncode, 0)
        self.assert_error(self.calibrate("--num-samples", "2"), 2, self.out, "--force")
        got = self.calibrate("--num-samples", "2", "--force", "--scales-only")
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertEqual(sorted(os.listdir(self.out)),
                         ["config.json", "model-kv-scales.safetensors", "model.safetensors.index.json"])
        self.assertEqual(os.listdir(self.folder.name), ["out"])

    def test_what_cannot_be_written_leaves_only_what_was_seen(self):
        def files_of(size):
            return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))}

        got = self.calibrate("--num-samples", "2", **files_of(200))  # no room for the state either
        self.assert_error(got, 1, "cannot write", "File too large")
        self.assertEqual(os.listdir(self.folder.name), [])
        got = self.calibrate("--num-samples", "2", **files_of(3000))  # the tokenizer is larger
        self.assert_error(got, 1, "tokenizer.json", "cannot write", "File too large", f"--resume goes on from {self.out}.resume")
        self.assertEqual(os.listdir(self.folder.name), ["out.resume"])
        got = self.calibrate("--num-samples", "2", "--resume", "--json")
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertIn(b"goes on after 2 samples", got.stderr)
        self.assertEqual(json.loads(got.stdout)["samples"], 2)
        self.assertEqual(os.listdir(self.folder.name), ["out"])

    def test_bad_input(self):
        for name, content, status, parts in [
            ("empty.jsonl", b"\n\n", 1, ["empty.jsonl", "empty"]),
            ("column.jsonl", b'{"text":"good"}\n{"body":"x"}\n', 1, ["column.jsonl: line 2", "body"]),
            ("broken.jsonl", b'{"text":"good"}\n{"text":\n', 1, ["broken.jsonl: line 2", "invalid JSON"]),
            ("short.jsonl", b'{"text":"a"}\n{"text":""}\n', 1, ["short.jsonl", "two tokens"]),
            ("table.parquet", b"PAR1....PAR1", 1, ["Parquet", "pyarrow", "to_pylist"]),
            ("table.csv", b"a,b\n", 2, ["table.csv", ".jsonl"]),
        ]:
            with self.subTest(name=name):
                data = self.path(name, content)
                got = octet("calibrate", self.model, "--dataset", data, "--output", self.out)
                self.assert_error(got, status, *parts)
                self.assertEqual(os.listdir(self.folder.name), [])
        for flags in (["--strategy", "channel"], ["--observer", "absmax"], ["--targets", "k"], ["--seed", "-1"],
                      ["--num-samples", "0"], ["--max-seq-length", "1"], ["--percentile", "0"],
                      ["--max-seq-length", "1000000"]):
            with self.subTest(flags=flags):
                name = flags[0].lstrip("-").replace("-", "_")
                got = self.calibrate(*flags)
                self.assert_error(got, 2)
                self.assertIn(name, got.stderr.decode().replace("-", "_"))

    def test_interrupt_and_resume(self):
        with open(self.data, "w") as file:
            for i in range(100000):
                file.write('{"text":"%d %s"}\n' % (i, "x" * 200))
        arguments = ["calibrate", self.model, "--dataset", self.data, "--output", self.out, "--num-samples"]
        ours, theirs = pty.openpty()  # the bar is for terminals
        process = subprocess.Popen([PROGRAM, *arguments, "100000"], stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        shown, sent = b"", False
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
            if not sent and b"tokens/s" in shown:
                process.send_signal(signal.SIGINT)
                sent = True
        os.close(ours)
        self.assertEqual(process.stdout.read(), b"")
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60), 130)
        self.assertRegex(shown.decode(), r"calibrating \[#* *\] \d+/100000 samples, \d+ tokens/s")
        self.assertIn("--resume goes on from " + self.out + ".resume", shown.decode().replace("\r\n", " "))
        self.assertEqual(os.listdir(self.folder.name), ["out.resume"])
        got = octet(*arguments, "3", "--resume")  # other samples
        self.assert_error(got, 2, "out.resume", "dataset")


class EvalTest(ProgramTest):
    FAST = ["--context", "64", "--layer-tokens", "32", "--drift-prompts", "2", "--drift-prompt-tokens", "8",
            "--drift-tokens", "4"]

    def text(self):
        return self.path("text.txt", b"One evening the lamp by the door went out. Nobody had touched it for years.")

    def test_json_and_page_hold_the_same_figures(self):
        page = os.path.join(self.scratch.name, "report.html")
        got = octet("eval", self.model, "--text", self.text(), "--configs", "auto,fp8_e4m3+skip=0,1,fp8_e5m2",
                    "--needle-lengths", "240", "--needle-depths", "0,100", "--json", "--html", page, *self.FAST)
        self.assertEqual(got.returncode, 0, got.stderr)
        result = json.loads(got.stdout)
        self.assertEqual([c["name"] for c in result["configs"]], ["auto", "fp8_e4m3+skip=0,1", "fp8_e5m2"])
        self.assertEqual(result["configs"][1]["likelihood"]["kl"]["mean"], 0)
        self.assertGreater(result["configs"][2]["likelihood"]["kl"]["mean"], 0)
        self.assertEqual(len(result["configs"][2]["layers"]), 2)
        self.assertEqual([c["depth"] for c in result["configs"][2]["needles"]], [0, 100])
        with open(page, encoding="utf-8") as file:
            html = file.read()
        (line,) = [line for line in html.splitlines() if line.startswith("const data = ")]
        self.assertNotIn("<", line)
        self.assertEqual(json.loads(line[len("const data = "):-1]), result)
        for outside in ("http://", "https://", "src=", "url("):
            self.assertNotIn(outside, html.replace("http://www.w3.org/2000/svg", ""))
        self.assertEqual([name for name in os.listdir(self.scratch.name) if ".tmp-" in name], [])

    def test_table(self):
        got = octet("eval", self.model, "--text", self.text(), "--heads", *self.FAST)
        self.assertEqual(got.returncode, 0, got.stderr)
        text = got.stdout.decode()
        for part in ("mean KL", "fp8_e4m3", "in common", "attention out", "every layer and KV head"):
            self.assertIn(part, text)

    def test_errors_come_before_the_work(self):
        text = self.text()
        for flags, status, part in [
            (["--text", text, "--configs", "auto,fp9"], 2, "fp8_e5m2"), (["--text", text, "--baseline", "x"], 2, "baseline"),
            (["--text", self.path("empty.txt", b"")], 2, "empty"), (["--text", self.path("a.txt", b"a")], 2, "2 tokens"),
            (["--text", "/nowhere/at/all"], 1, "/nowhere/at/all"), ([], 2, "--text"),
            (["--text", text, "--html", "/nowhere/at/all.html"], 1, "/nowhere/at/all.html"),
            (["--text", text, "--html", self.scratch.name], 2, self.scratch.name),
            (["--text", text, "--context", "1000"], 2, "context"), (["--needle-lengths", "20"], 2, "needle_lengths"),
            (["--text", self.path("bad.txt", b"ab\xff")], 2, "UTF-8"),
            (["--dataset", self.path("no_column.jsonl", b'{"body":"x"}\n')], 1, "no_column.jsonl: line 1"),
            (["--dataset", self.path("short.jsonl", b'{"text":"a"}\n')], 1, "two tokens"),
        ]:
            with self.subTest(flags=flags):
                self.assert_error(octet("eval", self.model, *flags), status, part)

    def test_plan(self):
        output = os.path.join(self.scratch.name, "plan.yaml")
        got = octet("plan", self.model, "--text", self.text(), "--target-tokens", "32", "--kv-budget", str(32 * 320),
                    "--block-size", "16", "--configs", "fp8_e4m3,fp8_e5m2", "--output", output, "--json")
        self.assertEqual(got.returncode, 0, got.stderr)
        plan = json.loads(got.stdout)
        self.assertEqual(len(plan["layer_kl"]), 2)  # 128 bytes a token in FP8, 192 more for a float32 layer
        worst = max((0, 1), key=lambda layer: plan["layer_kl"][layer])
        self.assertEqual(plan["skip_layers"], [worst])
        self.assertEqual(plan["plan"]["bytes_per_token"], 320)
        with open(output, encoding="utf-8") as file:
            lines = [line for line in file.read().splitlines() if not line.startswith("#")]
        self.assertEqual(lines, [f"model: {json.dumps(self.model)}", "kv-cache-dtype: fp8_e4m3",
                                 f'kv-cache-dtype-skip-layers: ["{worst}"]', "kv-cache-memory-bytes: 10240", "max-model-len: 32",
                                 "block-size: 16"])
        answer = octet("generate", *plan["octet_arguments"], "--prompt", "a", *GREEDY, "--json")
        self.assertEqual(json.loads(answer.stdout)["kv_cache"]["bytes_per_token"], 320, answer.stderr)
        from_file = octet("generate", "--config", output, "--prompt", "a", *GREEDY, "--json")
        self.assertEqual(json.loads(from_file.stdout)["text"], json.loads(answer.stdout)["text"], from_file.stderr)
        self.assertEqual(json.loads(from_file.stdout)["kv_cache"], json.loads(answer.stdout)["kv_cache"])
        again = octet("eval", self.model, "--text", self.text(), "--configs", f"fp8_e4m3,{output}", *self.FAST, "--json")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn(b"plan.yaml: not used", again.stderr)
        self.assertEqual([config["name"] for config in json.loads(again.stdout)["configs"]],
                         ["auto", "fp8_e4m3", f"fp8_e4m3+skip={worst}"])
        for flags, status, part in [(["--target-tokens", "32", "--kv-budget", "1k"], 1, "128 bytes a token"),
                                    ([], 2, "kv_budget"), (["--kv-budget", "x"], 2, "--kv-budget")]:
            with self.subTest(flags=flags):
                self.assert_error(octet("plan", self.model, "--text", self.text(), "--configs", "fp8", *flags), status, part)
        self.assert_error(octet("plan", self.model, "--kv-budget", "1M"), 2, "--dataset")

    def test_interrupt_writes_nothing(self):
        model = tiny_checkpoint.write(self.scratch.name + "/long_eval", max_position_embeddings=100000)
        page = os.path.join(self.scratch.name, "interrupted.html")
        with subprocess.Popen([PROGRAM, "eval", model, "--text", self.path("long.txt", b"on and on " * 100000),
                               "--html", page], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertIn(b"likelihood", process.stderr.readline())
            process.send_signal(signal.SIGINT)
            shown, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, shown), (130, b""), errors)
        self.assertIn(b"nothing was written", errors)
        self.assertFalse(os.path.exists(page))


class InspectAndBenchTest(ProgramTest):
    def test_inspect_json(self):
        got = octet("inspect", self.model, "--json")
        self.assertEqual(got.returncode, 0, got.stderr)
        info = json.loads(got.stdout)
        self.assertEqual(info["architecture"], "LlamaForCausalLM")
        self.assertEqual(info["shapes"]["num_kv_heads"], 2)
        self.assertEqual(info["kv_scales"]["layers_without_k"], [0, 1])
        self.assertEqual([c["bytes_per_token"] for c in info["kv_cache"][:3]], [512, 128, 128])
        self.assertTrue(info["tokenizer"]["has_chat_template"])

    def test_inspect_lists_scales(self):
        scales = {f"model.layers.{layer}.self_attn.{which}_scale": 0.25 for layer in (0, 1) for which in "kv"}
        model = tiny_checkpoint.write(self.scratch.name + "/scales", scales=scales)
        text = octet("inspect", model).stdout.decode()
        for name in scales:
            self.assertIn(name, text)
        self.assertIn("4 tensors, strategy tensor", text)

    def test_inspect_lists_refused_and_missing_scales(self):
        at = "model.layers.0.self_attn."
        scales = {at + "k_scale": -1.0, at + "v_scale": 0.25}
        model = tiny_checkpoint.write(self.scratch.name + "/refused", scales=scales)
        text = octet("inspect", model).stdout.decode()
        self.assertRegex(text, r"KV scales +REFUSED: .*k_scale: the scale is -1;")
        self.assertRegex(text, r"v_scale +1 value, 0.25, not used\n")
        self.assertRegex(text, r"k_scale +1 value, -1, not used: the scale is -1;")
        self.assertRegex(text, r"no k scale in layers +1\n")

    def test_bench(self):
        flags = ["bench", self.model, "--depth", "0,30", "--kv-cache-dtype", "auto,fp8_e5m2", "--prefill", "16",
                 "--decode", "4", "--runs", "1"]
        got = octet(*flags, "--json")
        self.assertEqual(got.returncode, 0, got.stderr)
        result = json.loads(got.stdout)
        self.assertEqual([(r["kv_cache_dtype"], r["depth"]) for r in result["rows"]],
                         [("auto", 0), ("auto", 30), ("fp8_e5m2", 0), ("fp8_e5m2", 30)])
        self.assertGreater(result["read_bytes_per_second"], 1e8)
        for row in result["rows"]:
            self.assertGreater(row["prefill_tokens_per_second"]["median"], 0)
            self.assertGreater(row["decode_tokens_per_second"]["median"], 0)
        self.assertEqual(result["attention_math"], "fp32")
        quantized = octet(*flags, "--kv-cache-dtype-k", "fp8", "--kv-cache-dtype-v", "fp8", "--attention-math", "fp8")
        self.assertIn("attention math fp8;", quantized.stdout.decode())
        batched = json.loads(octet(*flags, "--batch", "1,4", "--mixed-lengths", "--json").stdout)
        self.assertEqual([(r["depth"], r["batch"], r["prefill_tokens_per_second"] is None) for r in batched["rows"][:4]],
                         [(0, 1, False), (0, 4, True), (30, 1, False), (30, 4, True)])
        self.assertIsNone(result["first_token_seconds"])
        text = octet(*flags, "--start").stdout.decode()
        self.assertIn("GB/s", text)
        self.assertRegex(text, r"loaded after 0\.\d+ s \(.*\), first token after \d")
        self.assertRegex(text, r"\(peak memory \d+\.\d MB: .* of weights, .* of cache and ")
        self.assertEqual(sum(line.startswith(("auto ", "fp8_e5m2 ")) for line in text.splitlines()), 4)

    # Writes what llama-bench or llama-batched-bench does, and each call's arguments into a file.
    FAKE_PEER = """#!/bin/sh
echo "$(basename $0) $*" >> CALLS
case $0 in
  *batched*) echo; echo '{"pp": 30, "tg": 4, "pl": 4, "speed_pp": 9.0, "speed_tg": 8.0}'; echo;;
  *) echo '[{"n_prompt": 16, "n_gen": 0, "avg_ts": 100.0}, {"n_prompt": 0, "n_gen": 4, "avg_ts": 50.0}]';;
esac
"""

    def write_fake_peers(self):
        folder = pathlib.Path(self.scratch.name)
        calls, gguf = folder / "calls", folder / "model.gguf"
        calls.write_text("")
        gguf.write_text("")
        flags = ["--gguf", gguf]
        for name in ("llama-bench", "llama-batched-bench"):
            (folder / name).write_text(self.FAKE_PEER.replace("CALLS", str(calls)))
            (folder / name).chmod(0o755)
            flags += ["--compare", f"{name}={folder / name}"]
        return flags, calls

    def test_bench_beside_peers(self):
        peers, calls = self.write_fake_peers()
        output = pathlib.Path(self.scratch.name) / "bench.json"
        flags = ["bench", self.model, "--depth", "0,30", "--batch", "1,4", "--kv-cache-dtype", "fp8", "--prefill", "16",
                 "--decode", "4", "--runs", "2", "--threads", "2", "--compare-cache", "f16", *peers]
        got = octet(*flags, "--output", output)
        self.assertEqual(got.returncode, 0, got.stderr)
        table = got.stdout.decode()
        self.assertRegex(table, r"octet fp8_e4m3 +30 +4 +- +\d")
        self.assertRegex(table, r"llama-batched-bench f16 +30 +4 +- +8.0 \(8.0-8.0\)")
        result = json.loads(output.read_text())
        self.assertEqual([(r["depth"], r["batch"]) for r in result["rows"]], [(0, 1), (0, 4), (30, 1), (30, 4)])
        self.assertEqual([(p["program"], p["kv_cache_dtype"], p["depth"], p["batch"]) for p in result["peers"]],
                         [("llama-bench", "f16", 0, 1), ("llama-batched-bench", "f16", 0, 4),
                          ("llama-bench", "f16", 30, 1), ("llama-batched-bench", "f16", 30, 4)])
        for row, ratio in zip(result["rows"], result["ratios"], strict=True):
            peer = 50.0 if row["batch"] == 1 else 8.0
            # Of two rounds, the median is the mean of both: so is that of their ratios to one and the same number.
            self.assertAlmostEqual(ratio["decode"], row["decode_tokens_per_second"]["median"] / peer)
            if row["batch"] == 1:
                self.assertAlmostEqual(ratio["prefill"], row["prefill_tokens_per_second"]["median"] / 100)
            else:
                self.assertIsNone(ratio["prefill"])
        # In turn, depth by depth: round one of both, round two of both.
        lines = calls.read_text().splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["llama-bench", "llama-batched-bench"] * 4)
        self.assertIn("-p 16 -n 4 -d 30 -r 1 -ctk f16 -ctv f16 -o json", lines[4])
        self.assertIn("-t 2", lines[4])
        self.assertIn("-npp 30 -ntg 4 -npl 4 -c 1024 -pps", lines[5])

    def test_bench_refuses_peers_that_do_not_fit(self):
        peers, calls = self.write_fake_peers()
        flags = ["bench", self.model, "--depth", "0", "--prefill", "0", "--decode", "2", "--runs", "1"]
        for arguments in (["--compare", "llama-bench=/bin/true"], ["--compare", "ollama=/bin/true", *peers[:2]],
                          [*peers, *peers[2:4]], ["--batch", "2", *peers[:4]],
                          ["--batch", "2", "--mixed-lengths", *peers]):
            self.assert_error(octet(*flags, *arguments), 2)
        for path in ("/nowhere/llama-bench", "/bin/false", "/bin/true"):
            got = octet(*flags, *peers[:2], "--compare", "llama-bench=" + path)
            self.assertEqual(got.returncode, 1)
            self.assertRegex(got.stderr.decode(), "octet: error: .*(/nowhere|/bin/false|expected JSON)")
        self.assertEqual(calls.read_text(), "")


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
