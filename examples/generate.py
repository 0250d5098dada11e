"""Generate with an FP8 KV cache, as with vLLM: pip install . and then python examples/generate.py

The model is a name in the Hugging Face cache (downloaded where huggingface_hub is installed), or a directory.
"""

from octet import LLM, SamplingParams

sampling_params = SamplingParams(temperature=0.7, top_p=0.8)
llm = LLM(model="meta-llama/Llama-2-7b-chat-hf", kv_cache_dtype="fp8", calculate_kv_scales=True)
out = llm.generate("London is the capital of", sampling_params)[0].outputs[0].text
print(out)
