#include "apps/engine_flags.h"

#include "apps/cache_flags.h"
#include "apps/loading_flags.h"
#include "apps/prompts.h"
#include "apps/refuse_flag.h"

namespace octet::apps {

void add_engine_flags(CLI::App& app, EngineFlags& flags) {
  LLMOptions& options = flags.options;
  app.add_option("MODEL_DIR", options.model, "Checkpoint directory, its Hugging Face name, or a GGUF file")
      ->required();
  app.add_option("--kv-cache-dtype", options.kv_cache_dtype,
                 "auto (what the checkpoint asks for, else float16), fp8 (= fp8_e4m3), fp8_e4m3, fp8_e5m2, "
                 "fp8_per_token_head, int8_per_token_head, int8_hadamard_per_token_head (the most exact of "
                 "8 bits), float16 or bfloat16")
      ->check(CLI::IsMember(kv_cache_dtype_names()));
  add_cache_dtype_flags(app, options.kv_cache_dtype_k, options.kv_cache_dtype_v,
                        options.kv_cache_dtype_skip_layers);
  add_attention_math_flag(app, options.attention_math);
  add_scale_calculation_flags(app, flags.calculate_kv_scales, options.kv_scale_strategy);
  app.add_option("--max-model-len", options.max_model_len,
                 "Tokens of prompt and answer together [the model's max_position_embeddings]");
  app.add_option("--block-size", options.block_size,
                 "Tokens in a block of the cache: 8, 16, 32, 64 or 128 [64]");
  app.add_option("--kv-cache-memory-bytes", flags.kv_cache_memory_bytes,
                 "Memory of the cache: bytes, or 512M, 2G, 1.5g (capitals: 1024s) [chosen]");
  app.add_flag("--enable-prefix-caching,!--no-enable-prefix-caching", options.enable_prefix_caching,
               "Prompts that begin alike are computed once [on]");
  app.add_flag(
      "--disable-hybrid-kv-cache-manager,!--no-disable-hybrid-kv-cache-manager",
      options.disable_hybrid_kv_cache_manager,
      "Keep the cache behind sliding windows too, so that every prefix stays there to be shared [off]");
  add_loading_flags(app, options.dtype, options.safetensors_load_strategy, options.quantization);
  app.add_option("--threads", options.threads, "Threads [the physical cores]");
  app.add_option("--isa", options.isa,
                 "Kernels: reference, avx2, avx512 or avx512_bf16 [$OCTET_ISA, else the fastest]");
}

LLMOptions engine_options(const EngineFlags& flags) {
  LLMOptions options = flags.options;
  options.calculate_kv_scales = flags.calculate_kv_scales;
  if (!flags.kv_cache_memory_bytes.empty()) {
    options.kv_cache_memory_bytes = parse_byte_size(flags.kv_cache_memory_bytes, "--kv-cache-memory-bytes");
    if (options.kv_cache_memory_bytes == 0)
      refuse_flag("--kv-cache-memory-bytes", "expected more than 0 bytes");
  }
  return options;
}

CLI::Option* repeatable(CLI::Option* option) { return option->allow_extra_args(false)->take_all(); }

}  // namespace octet::apps
