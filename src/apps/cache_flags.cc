#include "apps/cache_flags.h"

#include <octet/kv_cache_options.h>

namespace octet::apps {

void add_cache_dtype_flags(CLI::App& app, std::string& k, std::string& v,
                           std::vector<std::string>& skip_layers) {
  app.add_option("--kv-cache-dtype-k", k, "The same for the keys alone [as the whole cache]")
      ->check(CLI::IsMember(kv_cache_dtype_names()));
  app.add_option("--kv-cache-dtype-v", v, "The same for the values alone [as the whole cache]")
      ->check(CLI::IsMember(kv_cache_dtype_names()));
  app.add_option("--kv-cache-dtype-skip-layers", skip_layers,
                 "Layers left in 16 bits: indices from 0, or sliding_window; comma-separated")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->take_all();
}

void add_attention_math_flag(CLI::App& app, std::string& math) {
  app.add_option(
         "--attention-math", math,
         "Over an FP8 cache: fp32; fp8 (queries and softmax weights in FP8 too, as FlashAttention 3); "
         "fp8-hopper (with the sums of Hopper's tensor cores as vLLM runs them) or fp8-hopper-plain [fp32]")
      ->check(CLI::IsMember(attention_math_names()));
}

void add_scale_calculation_flags(CLI::App& app, std::string& calculate, std::string& strategy) {
  CLI::Option* flag =
      app.add_flag("--calculate-kv-scales{random}", calculate,
                   "FP8 scales of this run's own, from 512 random tokens; =prompt: from the first "
                   "prompt; =bound: from the weights, so that nothing saturates");
  flag->check(CLI::IsMember({"random", "prompt", "bound", "true", "false"}));
  app.add_option("--kv-scale-strategy", strategy,
                 "With --calculate-kv-scales: tensor (one scale a layer) or attn_head (one a KV head) [tensor]")
      ->check(CLI::IsMember({"tensor", "attn_head"}))
      ->needs(flag);
}

}  // namespace octet::apps
