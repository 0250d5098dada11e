"""A checkpoint whose answers are known: each token is followed by one certain other. Standard library only.

A letter is followed by the next one of the alphabet, z by a. A chat, whose prompt ends in <|assistant|>, is
answered with PIECES, one token each, and the end. Attention and MLP add nothing, so that the token itself, a
one-hot vector, chooses the next.
"""

import array
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "apps"))
import tiny_checkpoint

HIDDEN = 320  # one place for each token
ASSISTANT, END = 258, 256


def successors(pieces):
    """token id -> the id of the token that follows it"""
    following = {token: ord("a") for token in range(HIDDEN)}
    for letter in range(ord("a"), ord("z")):
        following[letter] = letter + 1
    # Bytes are in the vocabulary by their value, as tiny_checkpoint orders it.
    script = [ASSISTANT, *range(tiny_checkpoint.VOCAB, tiny_checkpoint.VOCAB + len(pieces)), END]
    following.update(zip(script, script[1:]))
    return following


def write(folder, pieces, max_position_embeddings=65536):
    folder = pathlib.Path(folder)
    tiny_checkpoint.write(folder, max_position_embeddings)
    config = json.loads((folder / "config.json").read_text())
    config.update(vocab_size=HIDDEN, hidden_size=HIDDEN)
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for i, piece in enumerate(pieces):
        tokenizer["added_tokens"].append(
            {"id": tiny_checkpoint.VOCAB + i, "content": piece, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": False})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")

    def zeros(rows, cols):
        return [rows, cols], array.array("f", bytes(4 * rows * cols))

    def filled(rows, cols):  # keys and values of which scales can be calculated
        return [rows, cols], array.array("f", [1.0] * (rows * cols))

    def ones():
        return [HIDDEN], array.array("f", [1.0] * HIDDEN)

    embedding, head = zeros(HIDDEN, HIDDEN), zeros(HIDDEN, HIDDEN)
    for token, following in successors(pieces).items():
        embedding[1][token * HIDDEN + token] = 1
        # Logits of 45 and 0: with 18 and 0 another token would come up once in 185,000 at a temperature of 1.
        head[1][following * HIDDEN + token] = 2.5
    heads = tiny_checkpoint.HEADS * tiny_checkpoint.HEAD_DIM
    kv_heads = tiny_checkpoint.KV_HEADS * tiny_checkpoint.HEAD_DIM
    named = {"model.embed_tokens.weight": embedding, "lm_head.weight": head, "model.norm.weight": ones()}
    for layer in range(tiny_checkpoint.LAYERS):
        prefix = f"model.layers.{layer}."
        named[prefix + "input_layernorm.weight"] = ones()
        named[prefix + "post_attention_layernorm.weight"] = ones()
        named[prefix + "self_attn.q_proj.weight"] = zeros(heads, HIDDEN)
        named[prefix + "self_attn.k_proj.weight"] = filled(kv_heads, HIDDEN)
        named[prefix + "self_attn.v_proj.weight"] = filled(kv_heads, HIDDEN)
        named[prefix + "self_attn.o_proj.weight"] = zeros(HIDDEN, heads)
        named[prefix + "mlp.gate_proj.weight"] = zeros(tiny_checkpoint.MLP, HIDDEN)
        named[prefix + "mlp.up_proj.weight"] = zeros(tiny_checkpoint.MLP, HIDDEN)
        named[prefix + "mlp.down_proj.weight"] = zeros(HIDDEN, tiny_checkpoint.MLP)
    tiny_checkpoint.write_safetensors(folder / "model.safetensors", named)
    return str(folder)
