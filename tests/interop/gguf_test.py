"""GGUF files in Octet and in transformers, which dequantises them: SmolLM2-135M-Instruct (Q4_1 and Q8_0) and Gemma 3 270M
(Q4_K_M), each also as the checkpoints in float32 and bfloat16 that transformers makes of it. Greedy tokens, along
Octet's answers; and the perplexity of a text in the windows of llama-perplexity.
"""

import json
import math
import pathlib
import tempfile
import unittest

import octet_program
import torch
import transformers_model
from transformers_model import through

MODELS = octet_program.MODEL.parent
PROMPTS = ("The capital of France is", "In 1969, three astronauts", "def fibonacci(n):\n", "Once upon a time there was")
TOKENS = 32
WINDOW, WINDOWS = 512, 2
CACHE = "float16"


def encode(model, text):
    return octet_program.generate(model, "--max-tokens", 1, "--prompt=" + text)[0]["prompt_token_ids"]


def windows(model):
    """Token ids [WINDOWS][WINDOW] of a text; each window begins as texts do, with what stands there for a first token."""
    text = (pathlib.Path(__file__).resolve().parents[2] / "LICENSE").read_text(encoding="utf-8")
    ids = encode(model, text)
    begins_all = encode(model, "a")[:1] == encode(model, "the")[:1] == ids[:1]
    cut = [ids[begin : begin + WINDOW] for begin in range(0, WINDOW * WINDOWS, WINDOW)]
    return [(ids[:1] if begins_all else window[:1]) + window[1:] for window in cut]


def transformers_nll(model, texts):
    """Mean over the tokens behind the middle of each window."""
    nll = []
    for ids in texts:
        logits = transformers_model.logits(model, ids, through(CACHE))[WINDOW // 2 : -1].double()
        nll.append(torch.nn.functional.cross_entropy(logits, torch.tensor(ids[WINDOW // 2 + 1 :]), reduction="none"))
    return torch.cat(nll).mean().item()


def octet_nll(directory, texts):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as dataset:
        dataset.writelines(json.dumps({"input_ids": ids}) + "\n" for ids in texts)
        dataset.flush()
        done = octet_program.run("eval", directory, "--dataset", dataset.name, "--context", WINDOW, "--min-context",
                                 WINDOW // 2, "--configs", CACHE, "--baseline", CACHE, "--layer-tokens", 0, "--drift-prompts", 0,
                                 "--json")
    if done.returncode != 0:
        raise AssertionError(f"octet eval ended with {done.returncode}: {done.stderr}")
    figures = json.loads(done.stdout)["configs"][0]["likelihood"]
    if figures["predictions"] != WINDOWS * (WINDOW // 2 - 1):
        raise AssertionError(f"octet eval scored {figures['predictions']} tokens")
    return figures["mean_nll"]


class Gguf(unittest.TestCase):
    def compare(self, name, model, reference, prompts, texts):
        """`model`, as Octet loads it, with a model of transformers. Returns Octet's tokens."""
        answers = octet_program.generate(model, "--kv-cache-dtype", CACHE, "--max-tokens", TOKENS, "--ignore-eos",
                                         "--logprobs", 1, *octet_program.id_arguments(prompts))
        same, largest = 0, 0.0
        for prompt, answer in zip(prompts, answers, strict=True):
            self.assertEqual(TOKENS, len(answer["token_ids"]))
            logits = transformers_model.logits(reference, prompt + answer["token_ids"], through(CACHE))
            expected = torch.log_softmax(logits[len(prompt) - 1 : -1].double(), dim=-1)
            for step, chosen in enumerate(answer["token_ids"]):
                self.assertLess(expected[step].max() - expected[step, chosen], 1e-3, "another token is likelier")
                same += int(expected[step].argmax()) == chosen
                entry = answer["logprobs"][step][0]
                largest = max(largest, abs(entry["logprob"] - expected[step, entry["token_id"]].item()))
        nll, expected_nll = octet_nll(model, texts), transformers_nll(reference, texts)
        print(f"{name}: {same} of {len(PROMPTS) * TOKENS} greedy tokens are transformers', log-probabilities differ by "
              f"{largest:.1e} at most; perplexity {math.exp(nll):.4f}, transformers {math.exp(expected_nll):.4f}")
        self.assertLess(largest, 0.01)
        self.assertAlmostEqual(nll, expected_nll, delta=2e-4)
        return [answer["token_ids"] for answer in answers]

    def check(self, folder, file):
        gguf = MODELS / folder / file
        if not gguf.is_file():
            self.skipTest(f"no {gguf}: run scripts/get-model")
        model = transformers_model.load_gguf(gguf)
        # transformers' tokenizer of Gemma's file leaves out the token that texts begin with.
        prompts, texts = [encode(gguf, prompt) for prompt in PROMPTS], windows(gguf)
        answers = self.compare(file, gguf, model, prompts, texts)
        with tempfile.TemporaryDirectory() as base:
            exact, rounded = pathlib.Path(base) / "float32", pathlib.Path(base) / "bfloat16"
            transformers_model.write_checkpoint(model, gguf, exact)
            self.assertEqual(answers, self.compare("  in float32", exact, model, prompts, texts))
            for weights in model.parameters():  # and not the frequencies of the rotary embedding
                weights.data = weights.data.bfloat16()
            transformers_model.write_checkpoint(model, gguf, rounded)
            self.compare("  in bfloat16", rounded, model.float(), prompts, texts)

    def test_smollm2(self):
        self.check("smollm2-135m-instruct-gguf", "SmolLM2-135M-Instruct.Q4_1.gguf")

    def test_gemma3(self):
        self.check("gemma-3-270m-gguf", "gemma-3-270m-q4_k_m.gguf")


if __name__ == "__main__":
    unittest.main()
