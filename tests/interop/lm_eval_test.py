"""lm-eval runs a task of local data against Octet twice, as a model class and through the server, and finds the same.

Needs the package octet (make python) beside lm-eval; scripts/test-interop sees to both.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import lm_eval
    import lm_eval.tasks
    import octet  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"needs lm-eval and the package octet: {missing}") from None

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "server"))

QUESTIONS = [
    ("The capital of France is", [" Paris", " a banana", " seventeen"], 0),
    ("Water freezes at zero degrees", [" trousers", " Celsius", " Napoleon"], 1),
    ("The opposite of hot is", [" cold", " Tuesday", " carpet"], 0),
    ("Two plus two equals", [" violin", " mountain", " four"], 2),
]
CHOICE = """
task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""
UNTIL = """
task: local_until
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{until: ["."], max_gen_toks: 8, temperature: 0}}
metric_list: [{{metric: exact_match, ignore_case: true}}]
"""


class LmEval(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        data = cls.folder / "questions.jsonl"
        rows = [dict(zip(("question", "choices", "answer"), row)) for row in QUESTIONS]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (cls.folder / "choice.yaml").write_text(CHOICE.format(file=data))
        (cls.folder / "until.yaml").write_text(UNTIL.format(file=data))
        cls.model = os.environ["OCTET_MODEL"]

    def run_tasks(self, model, **more):
        manager = lm_eval.tasks.TaskManager(include_path=str(self.folder), include_defaults=False)
        return lm_eval.simple_evaluate(model=model, tasks=["local_choice", "local_until"], task_manager=manager,
                                       log_samples=True, bootstrap_iters=0, **more)

    def test_the_model_class(self):
        import octet.lm_eval

        found = self.run_tasks("octet", model_args={"pretrained": self.model, "kv_cache_dtype": "fp8"})
        self.assertEqual(1.0, found["results"]["local_choice"]["acc,none"])
        texts = [sample["resps"][0][0] for sample in found["samples"]["local_until"]]
        llm = octet.LLM(self.model, kv_cache_dtype="fp8")
        for (question, _, _), text in zip(QUESTIONS, texts):
            params = octet.SamplingParams(temperature=0, max_tokens=8, stop=["."])
            self.assertEqual(llm.generate(question, params, use_tqdm=False)[0].outputs[0].text, text)
        with self.assertRaisesRegex(octet.InvalidArgumentError, "device: models run on the CPU.*found 'cuda:0'"):
            self.run_tasks("octet", model_args={"pretrained": self.model}, device="cuda:0")

    def test_the_entry_point_names_the_class(self):
        from importlib import metadata

        found = [point for point in metadata.entry_points(group="lm_eval.models") if point.name == "octet"]
        self.assertEqual("OctetLM", found[0].load().__name__)
        listed = subprocess.run([sys.executable, "-m", "octet.lm_eval", "--help"], capture_output=True, text=True)
        self.assertEqual(0, listed.returncode, listed.stderr)

    def test_through_the_server(self):
        from octet_server import Server

        with Server(os.environ["OCTET_PROGRAM"], self.model, "--kv-cache-dtype", "fp8") as server:
            found = self.run_tasks("local-completions", model_args={
                "model": self.model, "base_url": f"http://127.0.0.1:{server.port}/v1/completions", "num_concurrent": 2,
                "tokenizer_backend": "huggingface", "tokenizer": self.model})
        self.assertEqual(1.0, found["results"]["local_choice"]["acc,none"])


if __name__ == "__main__":
    unittest.main()
