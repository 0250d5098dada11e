"""Token ids of texts against the sentencepiece package, for checkpoints that have a tokenizer.model alone."""

import io
import itertools
import json
import pathlib
import random
import tempfile
import unittest

import octet_program
import sentencepiece
import torch
from safetensors.torch import save_file
from text_test import random_text

DOCUMENTS = pathlib.Path(__file__).resolve().parents[2] / "docs"
HIDDEN, PIECES = 32, 700


def train(kind, remove_extra_whitespaces):
    """The bytes of a tokenizer.model; as Llama's it has byte fallback and normalizes nothing."""
    lines = [line for path in sorted(DOCUMENTS.glob("*.md")) for line in path.read_text(encoding="utf-8").splitlines()]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type=kind, vocab_size=PIECES, byte_fallback=True,
        split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=remove_extra_whitespaces,
        max_sentence_length=1 << 14, num_threads=1, minloglevel=2)
    return model.getvalue()


def write_checkpoint(folder, tokenizer, tokenizer_config):
    """A model whose answers nobody looks at."""
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": PIECES, "hidden_size": HIDDEN,
              "intermediate_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": 2, "eos_token_id": 2,
              "max_position_embeddings": 1024, "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    (folder / "tokenizer.model").write_bytes(tokenizer)
    square = [f"self_attn.{part}_proj" for part in "qkvo"] + [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
    norms = ["input_layernorm", "post_attention_layernorm"]
    save_file({"model.embed_tokens.weight": torch.zeros(PIECES, HIDDEN), "model.norm.weight": torch.ones(HIDDEN),
               **{f"model.layers.0.{name}.weight": torch.zeros(HIDDEN, HIDDEN) for name in square},
               **{f"model.layers.0.{name}.weight": torch.ones(HIDDEN) for name in norms}},
              folder / "model.safetensors")


class SentencePiece(unittest.TestCase):
    def check(self, kind):
        generator = random.Random(3)
        texts = [random_text(generator) for _ in range(200)] + ["a", " a", "  a  b ", "a\n\n b", "▁a", "12,345"]
        for remove, legacy in itertools.product((False, True), (False, True)):
            tokenizer = train(kind, remove)
            expected = sentencepiece.SentencePieceProcessor(model_proto=tokenizer)
            # Where legacy is false a text that begins with a space gets no other one; SentencePiece's gets it always.
            prompts = [text for text in texts if legacy or not text.startswith((" ", "▁"))]
            with self.subTest(remove_extra_whitespaces=remove, legacy=legacy), tempfile.TemporaryDirectory() as folder:
                write_checkpoint(pathlib.Path(folder), tokenizer, {"legacy": legacy})
                arguments = [word for text in prompts for word in ("--prompt=" + text,)]
                answers = octet_program.generate(folder, "--max-tokens", 1, *arguments)
                for text, answer in zip(prompts, answers, strict=True):
                    self.assertEqual(expected.encode(text, add_bos=True), answer["prompt_token_ids"], repr(text))

    def test_bpe(self):
        self.check("bpe")

    def test_unigram(self):
        self.check("unigram")


if __name__ == "__main__":
    unittest.main()
