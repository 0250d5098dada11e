"""GGUF files of the families whose converter stacks, fuses or reorders tensors, written from the tiny checkpoints with the
names of the gguf package, in Octet; and the checkpoints in transformers. Greedy tokens, along Octet's answers.
"""

import json
import math
import pathlib
import re
import tempfile
import unittest

import gguf
import numpy as np
import octet_program
import torch
import transformers_model
from safetensors.torch import load_file
from transformers_model import through

TINY = pathlib.Path(__file__).resolve().parents[1] / "data" / "tiny"
TOKENS = 16
CACHE = "float16"
EXPERT = re.compile(r"(model\.layers\.\d+)\.(mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)\.weight")


def add_metadata(writer, config, window):
    heads, rope = config["num_attention_heads"], config["rope_parameters"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1)))
    if "num_local_experts" in config:
        writer.add_expert_count(config["num_local_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if rope["rope_type"] == "longrope":
        original = rope["original_max_position_embeddings"]
        factor = config["max_position_embeddings"] / original
        if window:
            writer.add_sliding_window(0)
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(factor) / math.log(original)))
        for which in ("long", "short"):
            writer.add_tensor(f"rope_factors_{which}.weight", np.array(rope[f"{which}_factor"], np.float32))


def add_tokenizer(writer, size):
    """A token for every byte: prompts are ids."""
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"<0x{byte:02X}>" for byte in range(size)])
    writer.add_token_scores([0.0] * size)
    writer.add_token_types([gguf.TokenType.BYTE] * size)
    writer.add_add_bos_token(False)


def rotary_order(rows, heads):
    """Rows of q_proj or k_proj from [half, pair] to GGUF's [pair, half] order within each head."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def layout_of(name, matrices, layout):
    """{name: values} of one stacked tensor of experts: so, or each expert alone as in files of before April 2024."""
    if layout == "alone":
        return {name.replace("_exps.", f".{i}."): values for i, values in enumerate(matrices)}
    return {name: np.stack(matrices)}


def write_gguf(folder, architecture, path, layout="stacked", window=True):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, architecture)
    add_metadata(writer, config, window)
    add_tokenizer(writer, config["vocab_size"])
    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, config["num_hidden_layers"])
    # The package has no names for the layers of a Qwen3-MoE that are dense: those of Llama's.
    dense = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    experts = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        values = tensor.float().numpy()
        if expert := EXPERT.fullmatch(name):
            layer, mlp, number, part = expert.groups()
            # As the converter calls Mixtral's before it looks them up.
            stacked = f"{layer}.mlp.experts.{part}" if mlp == "mlp" else f"{layer[6:]}.feed_forward.experts.{part}"
            experts.setdefault(stacked + ".weight", {})[int(number)] = values
            continue
        if architecture in ("llama", "smollm3") and ("q_proj" in name or "k_proj" in name):
            values = rotary_order(values, config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
        writer.add_tensor(names.get_name(name, (".weight",)) or dense.get_name(name, (".weight",)), values)
    stacked = {names.get_name(name, (".weight",)): [matrices[i] for i in range(len(matrices))]
               for name, matrices in experts.items()}
    if layout == "gate_up":
        both = gguf.TENSOR_NAMES[gguf.MODEL_TENSOR.FFN_GATE_UP_EXP]
        for layer in range(config["num_hidden_layers"]):
            if f"blk.{layer}.ffn_gate_exps.weight" in stacked:
                gates, ups = (stacked.pop(f"blk.{layer}.ffn_{part}_exps.weight") for part in ("gate", "up"))
                stacked[both.format(bid=layer) + ".weight"] = list(map(np.concatenate, zip(gates, ups)))
    for name, matrices in stacked.items():
        for written, values in layout_of(name, matrices, layout).items():
            writer.add_tensor(written, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class GgufFamilies(unittest.TestCase):
    def check(self, name, architecture, **written):
        model = transformers_model.load(TINY / name)
        # Longer than the original context of the tiny Phi-3, so that both take its long factors.
        prompt = [(7 * i * i + 3 * i) % model.config.vocab_size for i in range(48)]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.gguf"
            write_gguf(TINY / name, architecture, path, **written)
            answer, = octet_program.generate(path, "--kv-cache-dtype", CACHE, "--max-tokens", TOKENS, "--ignore-eos",
                                             "--logprobs", 1, *octet_program.id_arguments([prompt]))
        logits = transformers_model.logits(model, prompt + answer["token_ids"], through(CACHE))
        expected = torch.log_softmax(logits[len(prompt) - 1 : -1].double(), dim=-1)
        self.assertEqual(TOKENS, len(answer["token_ids"]))
        for step, chosen in enumerate(answer["token_ids"]):
            self.assertLess(expected[step].max() - expected[step, chosen], 1e-3, "another token is likelier")
            entry = answer["logprobs"][step][0]
            self.assertAlmostEqual(entry["logprob"], expected[step, entry["token_id"]].item(), delta=1e-3)

    def test_phi3(self):
        self.check("phi3", "phi3")

    def test_phi3_without_a_window_s_key(self):
        self.check("phi3", "phi3", window=False)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.gguf"
            write_gguf(TINY / "phi3", "phi3", path, window=False)
            done = octet_program.run("generate", path, "--max-tokens", 1, *octet_program.id_arguments([[5, 6]]))
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("attention.sliding_window is missing: no layer has a window", done.stderr)

    def test_smollm3(self):
        self.check("smollm3", "smollm3")

    def test_mixtral(self):
        self.check("mixtral", "llama")

    def test_qwen3_moe(self):
        self.check("qwen3_moe", "qwen3moe")

    def test_experts_in_tensors_of_their_own(self):
        self.check("mixtral", "llama", layout="alone")

    def test_gate_and_up_of_experts_in_one_tensor(self):
        self.check("mixtral", "llama", layout="gate_up")
        self.check("qwen3_moe", "qwen3moe", layout="gate_up")


if __name__ == "__main__":
    unittest.main()
