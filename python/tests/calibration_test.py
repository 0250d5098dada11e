"""oneshot in llm-compressor's shape: recipes, datasets, what is refused, and the scales of `octet calibrate`."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
import time
import unittest

import checkpoints
import octet
from octet import LLM, oneshot
from octet.modifiers.quantization import QuantizationArgs, QuantizationModifier, QuantizationScheme

TEXTS = [f"sample number {i}: " + "some more text " * 3 for i in range(12)]


def args(**changed) -> QuantizationArgs:
    return QuantizationArgs(**{"num_bits": 8, "type": "float", "strategy": "attn_head", **changed})


def recipe(**changed) -> QuantizationModifier:
    return QuantizationModifier(kv_cache_scheme=args(**changed))


class Table:
    """What a datasets.Dataset is to oneshot: rows that are dicts, and columns."""

    def __init__(self, rows: list[dict]) -> None:
        self.rows, self.column_names = rows, list(rows[0])

    def __iter__(self):
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class Oneshot(checkpoints.TinyModel):
    outputs = 0

    def calibrate(self, dataset=None, modifier=None, **more) -> octet.CalibrationResult:
        type(self).outputs += 1
        output = self.folder / f"out{self.outputs}"
        more = {"max_seq_length": 64, "output_dir": output, "use_tqdm": False, **more}
        return oneshot(model=self.model, dataset=dataset, recipe=modifier or recipe(), **more)

    def test_it_writes_what_the_program_writes(self) -> None:
        result = self.calibrate(TEXTS, num_calibration_samples=8)
        lines = self.folder / "texts.jsonl"
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
        program = self.folder / "by-program"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "octet",
                "calibrate",
                self.model,
                "--dataset",
                lines,
                "--output",
                program,
                "--strategy",
                "attn_head",
                "--max-seq-length",
                "64",
                "--num-samples",
                "8",
            ],
            check=True,
            capture_output=True,
        )
        for file in program.iterdir():
            self.assertEqual(file.read_bytes(), (pathlib.Path(result.output) / file.name).read_bytes(), file.name)
        self.assertEqual(
            (8, 12, "attn_head", "static_minmax"),
            (result.samples, result.samples_in_dataset, result.strategy, result.observer),
        )
        llm = LLM(result.output)
        self.assertEqual("fp8_e4m3", llm.kv_cache_stats()["dtype"])
        self.assertEqual("checkpoint (4 tensors)", llm.kv_cache_stats()["scale_source"])
        self.assertEqual([2, 2], [len(layer["k"]) for layer in result.layers])

    def test_datasets_of_every_kind_give_the_same_scales(self) -> None:
        tokenizer = LLM(self.model).get_tokenizer()
        lines = self.folder / "same.jsonl"
        lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
        expected = self.calibrate(TEXTS).layers
        for dataset in (
            [{"text": text} for text in TEXTS],
            [{"input_ids": tokenizer.encode(text), "attention_mask": [1]} for text in TEXTS],
            Table([{"text": text, "label": 1} for text in TEXTS]),
            (text for text in TEXTS),
            str(lines),
            lines,
        ):
            self.assertEqual(expected, self.calibrate(dataset).layers, dataset)
        self.assertEqual(expected, self.calibrate([{"body": text} for text in TEXTS], text_column="body").layers)
        chats = [{"messages": [{"role": "user", "content": text}]} for text in TEXTS]
        self.assertNotEqual(expected, self.calibrate(chats).layers)

    def test_datasets_that_are_none_are_refused_by_sample(self) -> None:
        for dataset, words in (
            ([], "dataset: expected samples, found none"),
            (["a b c", 7], "dataset: sample 1: expected text or a dict, found int"),
            (
                [{"label": 1}],
                "dataset: sample 0: expected one of the columns input_ids, messages, text, prompt, found label",
            ),
            (None, "dataset: expected a dataset"),
            ([{"text": object()}], "dataset: sample 0: text: Object of type object"),
            ([{"input_ids": [1, object()]}], "dataset: sample 0: input_ids: Object of type object"),
        ):
            with self.assertRaisesRegex(octet.InvalidArgumentError, words):
                self.calibrate(dataset)
        with self.assertRaises(octet.NotFoundError):
            self.calibrate(self.folder / "absent.jsonl")

    def test_arguments_of_the_wrong_type_are_named(self) -> None:
        for name, value in (("seed", -1), ("num_calibration_samples", "x"), ("max_seq_length", 2**40), ("dtype", 8)):
            with self.assertRaisesRegex(TypeError, f"oneshot: {name} cannot be {value!r}"):
                self.calibrate(TEXTS, **{name: value})
        with self.assertRaisesRegex(TypeError, "percentile cannot be 'x'"):
            self.calibrate(TEXTS, recipe(observer="percentile", observer_kwargs={"percentile": "x"}))

    def test_recipes_in_every_form_are_the_same(self) -> None:
        attention = {"attention": QuantizationScheme(targets=["LlamaAttention"], input_activations=args())}
        modifier = QuantizationModifier(config_groups=attention, kv_cache_scheme=args())
        expected = self.calibrate(TEXTS, modifier)
        self.assertEqual([4, 4], [len(layer["q"]) for layer in expected.layers])
        self.assertEqual(expected.layers, self.calibrate(TEXTS, [modifier]).layers)
        try:
            import yaml  # noqa: F401
        except ImportError:
            self.skipTest("recipes in YAML need pyyaml")
        text = """
            quant_stage:
              quant_modifiers:
                QuantizationModifier:
                  ignore: ["lm_head"]
                  config_groups:
                    attention:
                      targets: ["re:.*self_attn$"]
                      input_activations: {num_bits: 8, type: float, strategy: attn_head}
                  kv_cache_scheme: {num_bits: 8, type: float, strategy: attn_head, dynamic: false, symmetric: true}
        """
        file = self.folder / "recipe.yaml"
        file.write_text(text)
        for form in (text, str(file), file):
            self.assertEqual(expected.layers, self.calibrate(TEXTS, form).layers)
        with self.assertRaisesRegex(octet.NotFoundError, "absent.yaml"):
            self.calibrate(TEXTS, "absent.yaml")
        with self.assertRaisesRegex(octet.InvalidArgumentError, "found 'GPTQModifier'"):
            self.calibrate(TEXTS, "stage:\n  GPTQModifier: {}\n")
        for broken in ("1:\n  2: 3\n", "stage:\n  QuantizationModifier: [1]\n", "stage: 3\n", "[1]\n"):
            with self.assertRaisesRegex(octet.InvalidFileError, "recipe: expected"):
                self.calibrate(TEXTS, broken)
        with self.assertRaisesRegex(octet.InvalidArgumentError, "QuantizationModifier.config_groups: .*found 3"):
            self.calibrate(TEXTS, "stage:\n  QuantizationModifier: {config_groups: 3}\n")

    def test_observers_and_their_settings(self) -> None:
        plain = self.calibrate(TEXTS, recipe(strategy="tensor"))
        clipped = self.calibrate(
            TEXTS, recipe(strategy="tensor", observer="percentile", observer_kwargs={"percentile": 90})
        )
        self.assertEqual(("tensor", "percentile"), (clipped.strategy, clipped.observer))
        self.assertLess(clipped.layers[0]["k"][0], plain.layers[0]["k"][0])
        bound = self.calibrate(None, recipe(strategy="tensor"), method="bound", max_seq_length=384)
        self.assertGreater(bound.layers[0]["k"][0], plain.layers[0]["k"][0])

    def test_what_octet_does_not_calibrate_is_refused_by_name(self) -> None:
        for changed, words in (
            ({"num_bits": 4}, "kv_cache_scheme.num_bits: expected 8, found 4"),
            ({"type": "int"}, "kv_cache_scheme.type: expected 'float', found 'int'"),
            ({"dynamic": True}, "kv_cache_scheme.dynamic"),
            ({"symmetric": False}, "kv_cache_scheme.symmetric"),
            ({"strategy": "channel"}, "kv_cache_scheme.strategy: expected None or 'tensor' or 'attn_head'"),
            ({"observer": "memoryless"}, "kv_cache_scheme.observer"),
            ({"observer_kwargs": {"averaging_constant": 0.1}}, "kv_cache_scheme.observer_kwargs"),
        ):
            with self.assertRaisesRegex(octet.UnsupportedError, words):
                self.calibrate(TEXTS, recipe(**changed))
        with self.assertRaisesRegex(octet.UnsupportedError, r"config_groups\['w'\].targets.*found 'Linear'"):
            self.calibrate(TEXTS, QuantizationModifier(config_groups={"w": {"targets": ["Linear"], "weights": {}}}))
        with self.assertRaisesRegex(octet.UnsupportedError, "QuantizationModifier.targets"):
            QuantizationModifier(targets=["Linear"], scheme="FP8")
        with self.assertRaisesRegex(octet.UnsupportedError, "ignore.*kv_cache_dtype_skip_layers"):
            self.calibrate(TEXTS, QuantizationModifier(kv_cache_scheme=args(), ignore=["model.layers.0.self_attn"]))
        mixed = QuantizationModifier(
            config_groups={"a": QuantizationScheme(["LlamaAttention"], input_activations=args(strategy="tensor"))},
            kv_cache_scheme=args(),
        )
        with self.assertRaisesRegex(octet.UnsupportedError, "calibrated alike"):
            self.calibrate(TEXTS, mixed)
        with self.assertRaisesRegex(octet.InvalidArgumentError, "found neither"):
            self.calibrate(TEXTS, QuantizationModifier())

    def test_ctrl_c_writes_nothing_but_a_state_from_which_it_resumes(self) -> None:
        output = self.folder / "interrupted"
        code = (
            f"import octet, sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); "
            f"from calibration_test import recipe; "
            f"octet.oneshot({self.model!r}, ['some text ' * 20] * 200000, recipe(), {str(output)!r}, "
            f"max_seq_length=64, num_calibration_samples=200000, resume=True)"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            while "Calibrating" not in process.stderr.read(1) + process.stderr.readline():
                self.assertIsNone(process.poll(), "it ended before it calibrated")
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
        self.assertIn("KeyboardInterrupt", error)
        self.assertEqual(["interrupted.resume"], [p.name for p in self.folder.glob("interrupted*")])


if __name__ == "__main__":
    unittest.main()
