#include "apps/loading_flags.h"

namespace octet::apps {

void add_dtype_flag(CLI::App& app, std::string& dtype) {
  app.add_option("--dtype", dtype,
                 "Activations in linear layers: float32, bfloat16 (twice as fast where the CPU multiplies it) "
                 "or auto (the checkpoint's) [float32]")
      ->check(CLI::IsMember({"float32", "bfloat16", "auto"}));
}

void add_loading_flags(CLI::App& app, std::string& dtype, std::string& load_strategy,
                       std::string& quantization) {
  add_dtype_flag(app, dtype);
  app.add_option("--safetensors-load-strategy", load_strategy,
                 "Weights: lazy = mapped, eager = copied to huge pages (faster), "
                 "auto = eager where memory allows [auto]")
      ->check(CLI::IsMember({"auto", "lazy", "eager"}));
  app.add_option("--quantization", quantization,
                 "Quantise weights while loading, with a scale for every row: fp8 or int8 [as they are]")
      ->check(CLI::IsMember({"fp8", "int8"}));
}

}  // namespace octet::apps
