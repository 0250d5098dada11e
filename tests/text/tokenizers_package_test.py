"""Compares Octet's tokenizer with the `tokenizers` package on random text.

For the SmolLM2 tokenizer and for small ones of every other kind, which this script trains, it encodes and
decodes a few thousand strings both ways: ids with and without special tokens, text with and without them, and
the pieces of the incremental detokenizer. The same for GGUF files and tokenizer.model files that say the same as
a tokenizer.json. Usage: tokenizers_package_test.py TOKENIZE_LINES MODEL_DIR
"""

import copy
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

try:
    from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                            trainers)
except ImportError as error:
    print(f"skipped: this Python lacks the tokenizers package ({error})")
    sys.exit(77)

import tokenizer_files

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"
            r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
# Constructs that Ruby's syntax and PCRE2's read differently.
REGEXES = [
    r"\w+", r"\W+", r"[^\w]", r"\p{Word}", r"[+-\x{2d}\d]", r"\b", r"\h+", r"\H", r"(?m).+", r".+", r"^.",
    r".$", r"\p{Han}+", r"\p{Greek}", r"\P{L}+", r"\p{^L}+", r"[\w-]+", r"[\s-]", r"[^\S\n]+", r"[[:punct:]]",
    r"[[:alpha:]]+", r"[[:alnum:]_]+", r"[[:upper:]][[:lower:]]*", r"[[:space:]]", r"\d{2}+", r"\d{,2}",
    r"a{2}?", r"a{", r"x?+y", r"a(?i)b|c", r"(?<=a)\S", r"(?<!\s)b", r"(a|b)\1", r"\R", r"", r"a*",
    r"\x41|\x{e9}|é", r"[\p{L}\p{Nd}]+", r"\p{Letter}+", r"\p{Alpha}+", r"(?>a+)b?", r"(?<word>\w)\k<word>",
    r"\v", r"[\]\[]", r"[]a]", r"\s+$", r"(?=[A-Z])", r"\S+\s?", r"[^\p{L}\s]+", r"\p{Uppercase_Letter}",
    r"[\h]+",
]

FRAGMENTS = [
    "the", " quick", " Hello", "WORLD", "It's", " we'll", "I'VE", "don't", "123", " 45", "6789012", "3.14",
    "\n", "\n\n", "\r\n", "\t", "  ", "    ", " ", "\u00a0", "\u2003", "\u3000", "\u180e", "\u0085", "\u200b",
    "\x0b", "\u2028", "é", "e\u0301", "ﬁ", "Å", "Å", "가", "각", "日本語", "漢字", "Привет", "مرحبا", "नमस्ते",
    "👩‍👩‍👧‍👦", "🏳️‍🌈", "😀", "İ", "ß", "ſ", "'ſ", "½", "²", "Ⅷ", "①", "٣", "_", "__x", "x_y", "$", "€", "...",
    "—", "“q”", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<mask>", "[TOOL]", "word", " <s> ", "<unk>", "▁",
    "▁▁", "<0x41>", "\x00", "\x7f", "\ufffd", "\ufeff", "\U0001d400", "\U00020000", "\U000e0041", "\U0010ffff",
    "a", "aa", "abab", "XyZ", "camelCase", "def f(x):", "    return x", "http://a.b/c?d=e&f", "{}", "\\n",
]
ASSIGNED_LATELY = [0x897, 0x1C89, 0x10D40, 0x10D50, 0x11F02, 0x1E4F0, 0x31350, 0x323AF, 0x1FADF, 0x16D40, 0x1CCF0]


def random_character(rng):
    while True:
        kind = rng.randrange(8)
        code = (rng.randrange(0x20, 0x7F) if kind < 2 else rng.randrange(0x80, 0x600) if kind == 2 else
                rng.randrange(0x600, 0x3000) if kind == 3 else rng.randrange(0x3000, 0x10000) if kind < 6 else
                rng.randrange(0x10000, 0x32400) if kind == 6 else rng.randrange(1, 0x110000))
        # What Unicode has not assigned may be assigned in the package's tables or in a library's.
        if unicodedata.category(chr(code)) not in ("Cs", "Cn"):
            return chr(code)


def random_text(rng, newest=True):
    if rng.random() < 0.01:
        return rng.choice(["a", "ab", " ", "日", "é", "\n", "A1", "!?"]) * rng.randrange(200, 3000)
    parts = []
    for _ in range(rng.randrange(1, 25)):
        draw = rng.random()
        if draw < 0.6:
            parts.append(rng.choice(FRAGMENTS))
        elif draw < 0.62 and newest:
            parts.append(chr(rng.choice(ASSIGNED_LATELY)))
        elif draw < 0.9:
            parts.append(random_character(rng))
        else:
            parts.append("".join(rng.choice("abcdeXY 12'") for _ in range(rng.randrange(1, 40))))
    return "".join(parts)


def corpus(rng):
    return [random_text(rng) for _ in range(150)] + [" ".join(rng.choice(FRAGMENTS) for _ in range(60)) for _ in range(60)]


ALPHABET = pre_tokenizers.ByteLevel.alphabet()
SPECIALS = [AddedToken("<|im_start|>", special=True, normalized=False), AddedToken("<|im_end|>", special=True),
            AddedToken("<s>", special=True, normalized=False), AddedToken("</s>", special=True, normalized=False),
            AddedToken("<mask>", lstrip=True, special=True, normalized=False),
            AddedToken("[TOOL]", rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=True)]


def trained(texts, byte_level, pre_tokenizer=None, normalizer=None, decoder=None, post_processor=None, changes=None,
            model=None, added=SPECIALS, unknown=None, vocabulary=500, **training):
    tokenizer = Tokenizer(model or models.BPE(unk_token=unknown))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    # Without its initial alphabet a trainer may drop rare bytes, which then encode to nothing.
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, show_progress=False, special_tokens=[unknown] if unknown else [],
                                  initial_alphabet=ALPHABET if byte_level else [], **training)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(added)
    if decoder:
        tokenizer.decoder = decoder
    elif byte_level:
        tokenizer.decoder = decoders.ByteLevel()
    if post_processor:
        tokenizer.post_processor = post_processor
    described = json.loads(tokenizer.to_str())
    if changes:
        changes(described)
    return described


def llama2(texts, metaspace_scheme=None, legacy_merges=False, trained_on_words=False):
    def change(described):
        if trained_on_words:  # as SentencePiece does: no merge joins across a space
            described["pre_tokenizer"] = None
        model = described["model"]
        names = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
        shift = len(names)
        vocabulary = {name: index for index, name in enumerate(names)}
        kept = {token: index for token, index in model["vocab"].items() if token != "<unk>"}
        for order, token in enumerate(sorted(kept, key=kept.get)):
            vocabulary[token] = shift + order
        model.update(vocab=vocabulary, byte_fallback=True, fuse_unk=True, unk_token="<unk>")
        if legacy_merges:
            model["merges"] = [" ".join(merge) for merge in model["merges"]]
        described["added_tokens"] = [
            {"id": index, "content": name, "special": True, "normalized": False, "single_word": False, "lstrip": False,
             "rstrip": False} for index, name in enumerate(["<unk>", "<s>", "</s>"])]
        described["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    common = dict(byte_level=False, unknown="<unk>", changes=change, added=[])
    if metaspace_scheme:
        metaspace = dict(replacement="▁", prepend_scheme=metaspace_scheme, split=metaspace_scheme != "first")
        return trained(texts, pre_tokenizer=pre_tokenizers.Metaspace(**metaspace), decoder=decoders.Sequence(
            [decoders.ByteFallback(), decoders.Metaspace(**metaspace)]), **common)
    return trained(texts, normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
                   pre_tokenizer=pre_tokenizers.Metaspace() if trained_on_words else None,
                   decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                              decoders.Strip(" ", 1, 0)]), **common)


def byte_level_after(*steps):
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def tokenizers_of_every_kind(texts):
    split = lambda pattern, behavior, invert=False: pre_tokenizers.Split(Regex(pattern), behavior, invert)

    def with_template(described):
        ids = {token["content"]: token["id"] for token in described["added_tokens"]}
        described["post_processor"] = {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                           {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in ("<s>", "</s>")}}]}

    def ignoring_merges(described):
        vocabulary = described["model"]["vocab"]
        for word in ["ĠHello", "123", "camelCase", "æĹ¥"]:  # that no merge makes
            vocabulary.setdefault(word, len(vocabulary))
        added = [token for token in described["added_tokens"] if token["content"] not in vocabulary]
        for order, token in enumerate(added):
            token["id"] = len(vocabulary) + order
        described["model"]["ignore_merges"] = True
        with_template(described)

    yield "gpt2", trained(texts, True, pre_tokenizers.ByteLevel(add_prefix_space=True)), True
    yield "llama3", trained(texts, True, byte_level_after(split(LLAMA3, "isolated")), changes=ignoring_merges), True
    yield "qwen2", trained(texts, True, byte_level_after(split(QWEN2, "isolated")), normalizers.NFC()), True
    yield "gpt4o", trained(texts, True, byte_level_after(split(GPT4O, "isolated"))), True
    yield "deepseek", trained(texts, True, byte_level_after(*[split(p, "isolated") for p in DEEPSEEK])), True
    yield "smollm", trained(texts, True, pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])), True
    yield "falcon", trained(texts, True, pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(False), split("[0-9][0-9][0-9]", "isolated")])), True
    for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
        for invert in [False, True]:
            yield f"split {behavior} {invert}", trained(
                texts, True, byte_level_after(split(r"\s|[aeiou]+", behavior, invert))), True
        yield f"split string {behavior}", trained(
            texts, True, byte_level_after(pre_tokenizers.Split("a", behavior), pre_tokenizers.Punctuation(behavior))), True
    yield "llama2", llama2(texts), True
    yield "llama2 trained on words", llama2(texts, trained_on_words=True), True
    yield "llama2 legacy merges", llama2(texts, legacy_merges=True), True
    for scheme in ["always", "first", "never"]:
        yield f"metaspace {scheme}", llama2(texts, scheme), True
    yield "metaspace first after split", trained(
        texts, False, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(
            prepend_scheme="first")]), decoder=decoders.Metaspace(prepend_scheme="first"), unknown="<unk>"), True
    for byte_fallback in [False, True]:
        yield f"unigram, byte fallback {byte_fallback}", unigram(texts, byte_fallback), True
    yield "whitespace", trained(texts, False, pre_tokenizers.Whitespace(), unknown="<unk>"), True
    yield "no decoder, unknown characters dropped", trained(texts[:20], False, pre_tokenizers.WhitespaceSplit()), True
    yield "unfused unknown", trained(texts[:5], False, pre_tokenizers.WhitespaceSplit(), unknown="<unk>"), True
    yield "word ends", trained(
        texts, False, pre_tokenizers.WhitespaceSplit(), decoder=decoders.BPEDecoder("</w>"), unknown="<unk>",
        model=models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"), end_of_word_suffix="</w>"), True
    yield "continuing prefix", trained(
        texts, False, pre_tokenizers.WhitespaceSplit(), unknown="<unk>",
        model=models.BPE(unk_token="<unk>", continuing_subword_prefix="##"), continuing_subword_prefix="##"), True
    for name in ["NFC", "NFD", "NFKC", "NFKD"]:
        yield name, trained(texts, True, pre_tokenizers.ByteLevel(), getattr(normalizers, name)()), True
    # Lower-case forms are the one place where the libraries' Unicode versions are left to differ.
    yield "bert-like", trained(texts, False, pre_tokenizers.Punctuation(), normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip(),
         normalizers.Replace(Regex(r"\s+"), " ")]), unknown="<unk>"), False
    yield "byte-level normalizer", trained(texts, True, split(r"Ġ?[A-Za-z]+", "isolated"), normalizers.ByteLevel()), True
    yield "strip then first metaspace", trained(
        texts, False, pre_tokenizers.Metaspace(prepend_scheme="first"), normalizers.Strip(left=True, right=False),
        decoders.Sequence([decoders.Metaspace(prepend_scheme="never"), decoders.Fuse(), decoders.Strip("a", 2, 1)])), True


def unigram(texts, byte_fallback):
    """A Unigram model with the special pieces of a SentencePiece model."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    few = ["".join(c for c in text if c < "\u0180" or c in "日本語") for text in texts]  # the rest is unknown
    tokenizer.train_from_iterator(few, trainers.UnigramTrainer(
        vocab_size=600, show_progress=False, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"]))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    described = json.loads(tokenizer.to_str())
    # The texts have "<unk>" and the like, of which the trainer makes tokens once more.
    vocabulary = dict(reversed(described["model"]["vocab"]))
    described["model"]["vocab"] = [[token, vocabulary[token]] for token in dict(described["model"]["vocab"])]
    tokens = list(dict(described["model"]["vocab"]))
    described["added_tokens"] = [dict(token, id=tokens.index(token["content"])) for token in described["added_tokens"]]
    if byte_fallback:
        described["model"]["vocab"] += [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
        described["model"]["byte_fallback"] = True
    return described


def with_pieces(described, scheme):
    """A SentencePiece-like tokenizer.json with the merges that its pieces' order means, and its beginning of a text."""
    described = copy.deepcopy(described)
    pieces = tokenizer_files.pieces_of(described)
    if described["model"]["type"] == "BPE":
        described["model"]["merges"] = tokenizer_files.piece_merges(pieces)
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prepends = {"type": "Prepend", "prepend": "▁"}
    described["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first",
                                  "split": False} if scheme == "first" else None
    described["normalizer"] = {"every": {"type": "Sequence", "normalizers": [prepends, spaces]}, "none": spaces,
                               "first": None}[scheme]
    stages = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if scheme != "none":
        stages.append(decoders.Strip(" ", 1, 0))
    reader = Tokenizer(models.BPE())
    reader.decoder = decoders.Sequence(stages)
    described["decoder"] = json.loads(reader.to_str())["decoder"]
    return described, pieces


def other_files(texts):
    """Name, tokenizer.json, and the files that say the same."""
    added = [AddedToken("<|im_start|>", special=True, normalized=False), AddedToken("<s>", special=True, normalized=False),
             AddedToken("</s>", special=True, normalized=False), AddedToken("[TOOL]", normalized=False)]
    split = lambda pattern: pre_tokenizers.Split(Regex(pattern), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for name, steps, normalizer in [
            ("llama-bpe", byte_level_after(split(LLAMA3)), None),
            ("qwen2", byte_level_after(split(QWEN2)), normalizers.NFC()),
            ("smollm", pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level]), None),
            ("gpt-2", byte_level, None)]:
        described = trained(texts, True, steps, normalizer, added=added)
        described["model"]["ignore_merges"] = name == "llama-bpe"
        ids = {token["content"]: token["id"] for token in described["added_tokens"]}
        described["post_processor"] = template_of([("<s>", ids["<s>"])], [("</s>", ids["</s>"])])
        yield "GGUF " + name, described, {"model.gguf": tokenizer_files.gguf(tokenizer_files.byte_level_metadata(
            described, name, add_bos_token=True, add_eos_token=True, bos_token_id=ids["<s>"], eos_token_id=ids["</s>"]))}
    for trained_on_words in [False, True]:
        base = llama2(texts, trained_on_words=trained_on_words)
        for scheme in ["every", "none"]:
            described, pieces = with_pieces(base, scheme)
            yield f"GGUF pieces {scheme}", described, {"model.gguf": tokenizer_files.gguf(
                tokenizer_files.pieces_metadata(pieces, add_space_prefix=scheme == "every"))}
        for scheme, config in [("every", {"legacy": True}), ("first", {}), ("none", {"add_prefix_space": False})]:
            described, pieces = with_pieces(base, scheme)
            yield f"tokenizer.model {scheme}", described, {
                "tokenizer.model": tokenizer_files.sentencepiece_model(pieces, "bpe"),
                "tokenizer_config.json": json.dumps(config).encode()}
    described, pieces = with_pieces(unigram(texts, False), "first")
    described["post_processor"] = template_of([("<s>", 1)], [("</s>", 2)])
    scores = [score for _, score in described["model"]["vocab"]]
    yield "tokenizer.model unigram", described, {
        "tokenizer.model": tokenizer_files.sentencepiece_model(pieces, "unigram", scores),
        "tokenizer_config.json": json.dumps({"add_eos_token": True}).encode()}


def template_of(before, behind):
    token = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}
    text = lambda name: {"Sequence": {"id": name, "type_id": 0}}
    return {"type": "TemplateProcessing",
            "single": [*(token(name) for name, _ in before), text("A"), *(token(name) for name, _ in behind)],
            "pair": [text("A"), text("B")],
            "special_tokens": {name: {"id": name, "ids": [index], "tokens": [name]} for name, index in before + behind}}


def octet_results(program, path, texts):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    done = subprocess.run([program, path], input=lines.encode(), capture_output=True, timeout=600)
    if done.returncode != 0:
        raise SystemExit(f"{path}: {done.stderr.decode()}")
    return [json.loads(line) for line in done.stdout.split(b"\n")[:-1]]


def expected_of(tokenizer, text):
    ids = tokenizer.encode(text).ids
    return {"ids": ids, "plain_ids": tokenizer.encode(text, add_special_tokens=False).ids,
            "decoded": tokenizer.decode(ids, skip_special_tokens=False),
            "skipped": tokenizer.decode(ids, skip_special_tokens=True)}


def compare(program, name, path, texts, package_path):
    """How many texts differ. Left out are texts on which the package itself gives up."""
    tokenizer = Tokenizer.from_file(package_path)
    differences = 0
    for text, found in zip(texts, octet_results(program, path, texts), strict=True):
        try:
            expected = expected_of(tokenizer, text)
        except BaseException as error:  # a panic is no Exception
            if type(error).__name__ != "PanicException":
                raise
            continue
        if "error" not in found:
            found["streamed"] = "".join(found["streamed"])
            expected["streamed"] = expected["skipped"]
        if found != expected:
            differences += 1
            if differences <= 3:
                wrong = [key for key in expected if found.get(key) != expected[key]]
                print(f"{name}: {text!r}: {found.get('error', '')}")
                for key in wrong[:2]:
                    print(f"  {key}\n    expected {expected[key]!r}\n    found    {found.get(key)!r}")
    return differences


def main():
    program, model_directory = sys.argv[1:3]
    rng = random.Random(20240607)
    texts = corpus(rng)
    differences = strings = 0
    with tempfile.TemporaryDirectory() as folder:
        def check(name, path, count, newest=True, package_path=None):
            nonlocal differences, strings
            cases = ["", " ", "\n", *FRAGMENTS] + [random_text(rng, newest) for _ in range(count)]
            found = compare(program, name, path, cases, package_path or path)
            print(f"{name}: {len(cases)} strings, {found} differ")
            differences += found
            strings += len(cases)

        real = os.path.join(model_directory, "tokenizer.json")
        if os.path.exists(real):
            check("smollm2", real, 3000)
        else:
            print(f"smollm2: left out, {real} is missing")
        path = os.path.join(folder, "tokenizer.json")
        for name, described, newest in tokenizers_of_every_kind(texts):
            with open(path, "w", encoding="utf-8") as file:
                json.dump(described, file)
            check(name, path, 150, newest)
        for name, described, files in other_files(texts):
            with open(path, "w", encoding="utf-8") as file:
                json.dump(described, file)
            with tempfile.TemporaryDirectory() as model:
                for file_name, content in files.items():
                    with open(os.path.join(model, file_name), "wb") as file:
                        file.write(content)
                check(name, model, 100, package_path=path)
        base = trained(texts, True)
        for pattern in REGEXES:
            base["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}]}
            with open(path, "w", encoding="utf-8") as file:
                json.dump(base, file)
            check(f"regex {pattern}", path, 40)
    print(f"{strings} strings, {differences} differ")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
