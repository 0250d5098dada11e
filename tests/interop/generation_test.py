"""Octet's tokens and log-probabilities against transformers', step by step along Octet's own answer.

Following Octet's answer, not comparing two answers, means that one near tie cannot hide everything after it.
"""

import json
import math
import unittest

import octet_program
import transformers_model
from transformers_model import through, through_bfloat16

LIKELIEST = 20
TOKENS = 48


def prompts():
    golden = json.loads((octet_program.GOLDEN / "smollm2.json").read_text(encoding="utf-8"))
    return [prompt["ids"] for prompt in golden["prompts"]]


class Generation(unittest.TestCase):
    def compare(self, dtype, store_key, store_value, most, tie):
        """Every reported log-probability within `most`, every chosen token within `tie` of the likeliest."""
        answers = octet_program.generate(
            octet_program.MODEL, "--kv-cache-dtype", dtype, "--max-tokens", TOKENS, "--ignore-eos",
            "--logprobs", LIKELIEST, *octet_program.id_arguments(prompts()))
        total, count, worst = 0.0, 0, 0.0
        for prompt, answer in zip(prompts(), answers, strict=True):
            self.assertEqual(prompt, answer["prompt_token_ids"])
            self.assertEqual(TOKENS, len(answer["token_ids"]))
            expected = transformers_model.logprobs(octet_program.MODEL, prompt, answer["token_ids"], store_key,
                                                   store_value)
            for step, (chosen, entries) in enumerate(zip(answer["token_ids"], answer["logprobs"], strict=True)):
                self.assertGreaterEqual(expected[step, chosen].item(), expected[step].max().item() - tie)
                for entry in entries:
                    reference = expected[step, entry["token_id"]].item()
                    # A token of little probability may differ by more without any effect.
                    weight = math.exp(max(reference, entry["logprob"]) / 2)
                    difference = abs(entry["logprob"] - reference) * weight
                    worst = max(worst, difference)
                    total += difference
                    count += 1
        print(f"{dtype}: {count} log-probabilities, mean difference {total / count:.6f}, largest {worst:.5f}")
        self.assertLess(worst, most)

    def test_auto(self):
        self.compare("auto", through_bfloat16, through_bfloat16, most=0.02, tie=0.05)

    def test_fp8_e4m3(self):
        self.compare("fp8_e4m3", through("fp8_e4m3"), through("fp8_e4m3"), most=0.15, tie=0.5)

    def test_fp8_e5m2(self):
        self.compare("fp8_e5m2", through("fp8_e5m2"), through("fp8_e5m2"), most=0.15, tie=0.5)


if __name__ == "__main__":
    unittest.main()
