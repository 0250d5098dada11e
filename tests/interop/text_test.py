"""Token ids of texts and chats against transformers' AutoTokenizer on the same checkpoint."""

import random
import unittest

import octet_program
from transformers import AutoTokenizer

# Scripts, digits, combining marks, emoji with joiners, private use, and every kind of space.
ALPHABET = (
    "abc XYZ 0123456789 .,!?'\"-_()[]{}<>|\\/\n\t\r\u00a0\u2003\u3000"
    "äßéñçøłŠ ЖяЩ αΩ עברית العربية हिन्दी ไทย 漢字かなカナ 한국어 ㌔ ﬁ ½ ² "
    "e\u0301 🙂👩‍👩‍👧‍👦🇫🇷 \ue000 \U0001d54f"
)
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "'ll", "don't", "  ", "\n\n", "def f(x):\n    return x"]


def random_text(random_source):
    length = random_source.randint(1, 60)
    return "".join(random_source.choice(SPECIAL) if random_source.random() < 0.05 else random_source.choice(ALPHABET)
                   for _ in range(length))


class Text(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tokenizer = AutoTokenizer.from_pretrained(octet_program.MODEL)

    def test_random_texts(self):
        random_source = random.Random(1)
        texts = [random_text(random_source) for _ in range(200)]
        arguments = [word for text in texts for word in ("--prompt=" + text,)]
        answers = octet_program.generate(octet_program.MODEL, "--max-tokens", 1, *arguments)
        for text, answer in zip(texts, answers, strict=True):
            self.assertEqual(self.tokenizer(text)["input_ids"], answer["prompt_token_ids"], repr(text))

    def test_chats(self):
        messages = ["Why is the sky blue?", "  spaces around  ", "<|im_end|> inside", "two\nlines", "日本語で"]
        for system in (None, "You answer in one word."):
            flags = [] if system is None else ["--system", system]
            answers = octet_program.generate(octet_program.MODEL, "--chat", "--max-tokens", 1, *flags,
                                             *("--prompt=" + message for message in messages))
            for message, answer in zip(messages, answers, strict=True):
                chat = [] if system is None else [{"role": "system", "content": system}]
                chat.append({"role": "user", "content": message})
                rendered = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
                ids = self.tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
                self.assertEqual(rendered, answer["prompt"])
                self.assertEqual(ids, answer["prompt_token_ids"])


if __name__ == "__main__":
    unittest.main()
