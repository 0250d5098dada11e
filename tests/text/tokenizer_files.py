"""Writes what a tokenizer.json says as the other kinds of file that Octet reads: GGUF and SentencePiece's.

The files hold metadata alone. Pieces are pairs (token, type) in the order of their ids; their scores fall with it.
"""

import struct

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def gguf(metadata):
    """A GGUF file, version 3, without tensors. Values: str, bool, int, and lists of str, int or float."""
    def text(value):
        encoded = value.encode()
        return struct.pack("<Q", len(encoded)) + encoded

    def typed(value):
        if isinstance(value, bool):
            return 7, struct.pack("<?", value)
        if isinstance(value, int):
            return 4, struct.pack("<I", value)
        if isinstance(value, float):
            return 6, struct.pack("<f", value)
        if isinstance(value, str):
            return 8, text(value)
        kinds = [typed(element) for element in value]
        return 9, struct.pack("<IQ", kinds[0][0], len(kinds)) + b"".join(encoded for _, encoded in kinds)

    body = b""
    for key, value in metadata.items():
        kind, encoded = typed(value)
        body += text(key) + struct.pack("<I", kind) + encoded
    file = b"GGUF" + struct.pack("<IQQ", 3, 0, len(metadata)) + body
    return file + b"\0" * (-len(file) % 32)


def byte_level_metadata(described, division, **more):
    """tokenizer.ggml.* of a byte-level BPE whose division into words has the name `division`."""
    tokens = {index: token for token, index in described["model"]["vocab"].items()}
    types = {index: NORMAL for index in tokens}
    for added in described["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    order = sorted(tokens)
    assert order == list(range(len(order)))
    return {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": division,
            "tokenizer.ggml.tokens": [tokens[index] for index in order],
            "tokenizer.ggml.token_type": [types[index] for index in order],
            "tokenizer.ggml.merges": [" ".join(merge) for merge in described["model"]["merges"]],
            **{"tokenizer.ggml." + key: value for key, value in more.items()}}


def pieces_of(described):
    """The pieces of a SentencePiece-like tokenizer.json."""
    vocabulary = described["model"]["vocab"]
    if isinstance(vocabulary, dict):
        tokens = sorted(vocabulary, key=vocabulary.get)
    else:
        tokens = [token for token, _ in vocabulary]
    special = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL}
    bytes_of_fallback = {f"<0x{byte:02X}>" for byte in range(256)}
    if not bytes_of_fallback <= set(tokens):  # then such a token is ordinary text
        bytes_of_fallback = set()
    return [(token, special.get(token) or (BYTE if token in bytes_of_fallback else NORMAL)) for token in tokens]


def piece_merges(pieces):
    """All pairs of normal pieces that make one, the first piece first: what scores that fall mean."""
    ids = {token: index for index, (token, kind) in enumerate(pieces) if kind == NORMAL}
    merges = []
    for token in ids:
        merges += [[token[:cut], token[cut:]] for cut in range(1, len(token))
                   if token[:cut] in ids and token[cut:] in ids]
    return merges


def pieces_metadata(pieces, **more):
    return {"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
            "tokenizer.ggml.tokens": [token for token, _ in pieces],
            "tokenizer.ggml.token_type": [kind for _, kind in pieces],
            "tokenizer.ggml.scores": [float(-index) for index in range(len(pieces))],
            "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
            **{"tokenizer.ggml." + key: value for key, value in more.items()}}


def sentencepiece_model(pieces, kind, scores=None):
    """A tokenizer.model; `kind` is "unigram" or "bpe". Without normalization, as Llama's."""
    def varint(value):
        encoded = b""
        while value >= 0x80:
            encoded += bytes([value & 0x7F | 0x80])
            value >>= 7
        return encoded + bytes([value])

    def number(field, value):
        return varint(field << 3) + varint(value)

    def message(field, body):
        return varint(field << 3 | 2) + varint(len(body)) + body

    file = b""
    for index, (token, piece_kind) in enumerate(pieces):
        score = scores[index] if scores else -index
        file += message(1, message(1, token.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) +
                        number(3, piece_kind))
    has_bytes = any(piece_kind == BYTE for _, piece_kind in pieces)
    file += message(2, number(3, 1 if kind == "unigram" else 2) + number(35, has_bytes) + number(41, 1) + number(42, 2))
    return file + message(3, message(1, b"identity") + message(2, b"") + number(3, 1) + number(4, 0))
