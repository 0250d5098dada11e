"""Calibrate an FP8 KV cache on a dataset, as with llm-compressor, and generate with the checkpoint that comes out.

python examples/calibrate.py [OUTPUT_DIR]. `ds` may as well be a datasets.Dataset, a list of strings, or a file.
"""

import sys

from octet import LLM, QuantizationArgs, QuantizationScheme, SamplingParams, oneshot
from octet.modifiers.quantization import QuantizationModifier

output_dir = sys.argv[1] if len(sys.argv) > 1 else "Llama-2-7b-chat-hf-kvattn-fp8-attn_head"
questions = ["Why is the sky blue?", "What is the capital of France?", "How do I boil an egg?", "Who was Ada Lovelace?"]
ds = [{"messages": [{"role": "user", "content": question}]} for question in questions]

recipe = QuantizationModifier(
    config_groups={
        "attention": QuantizationScheme(
            targets=["LlamaAttention"],
            input_activations=QuantizationArgs(num_bits=8, type="float", strategy="attn_head"),
        )
    },
    kv_cache_scheme=QuantizationArgs(num_bits=8, type="float", strategy="attn_head"),
)
oneshot(
    model="meta-llama/Llama-2-7b-chat-hf",
    dataset=ds,
    recipe=recipe,
    max_seq_length=2048,
    num_calibration_samples=512,
    output_dir=output_dir,
)

llm = LLM(model=output_dir)  # the checkpoint asks for its FP8 cache
print(llm.kv_cache_stats()["scale_source"])
print(llm.chat(ds[0]["messages"], SamplingParams(temperature=0, max_tokens=24))[0].outputs[0].text)
