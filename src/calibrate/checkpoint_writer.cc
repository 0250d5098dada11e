#include "calibrate/checkpoint_writer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "calibrate/scale_tensors.h"
#include "files/file_output.h"
#include "files/json_edit.h"
#include "files/mapped_file.h"
#include "files/staged_folder.h"
#include "model/kv_scale_loading.h"
#include "model/quantization_config.h"
#include "model/weight_quantization.h"

namespace octet::calibrate {

namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr const char* kSingleFile = "model.safetensors";

std::string base_name(const std::string& path) { return fs::path(path).filename().string(); }

// The files of weights, and whether they hold KV scales: those of nothing else are left out.
struct WeightFiles {
  std::set<std::string> kept;     // names
  std::set<std::string> dropped;  // of an earlier calibration
};

WeightFiles weight_files(const files::Checkpoint& checkpoint) {
  WeightFiles files;
  std::map<std::string, const files::TensorView*> scales;
  for (const files::TensorView& tensor : checkpoint.tensors()) {
    if (is_scale_tensor(tensor.name))
      scales.emplace(base_name(tensor.file), &tensor);
    else
      files.kept.insert(base_name(tensor.file));
  }
  for (const auto& [file, tensor] : scales) {
    if (files.kept.contains(file))
      throw Error(ErrorCode::unsupported,
                  "the checkpoint has KV scales already, in a file with weights; calibrate the one without",
                  tensor->file + ": tensor " + tensor->name);
    files.dropped.insert(file);
  }
  return files;
}

std::string name_in_output(const std::string& file) { return file == kSingleFile ? kWeightsFile : file; }

std::string index_json(const files::Checkpoint& checkpoint, const std::vector<files::OwnedTensor>& scales) {
  std::map<std::string, std::string> files;  // by tensor
  std::size_t bytes = 0;
  for (const files::TensorView& tensor : checkpoint.tensors()) {
    if (is_scale_tensor(tensor.name)) continue;
    files[tensor.name] = name_in_output(base_name(tensor.file));
    bytes += tensor.data.size();
  }
  for (const files::OwnedTensor& tensor : scales) {
    files[tensor.name] = kScalesFile;
    bytes += tensor.data.size();
  }
  std::string text =
      "{\n  \"metadata\": {\n    \"total_size\": " + std::to_string(bytes) + "\n  },\n  \"weight_map\": {";
  const char* separator = "\n";
  for (const auto& [tensor, file] : files) {
    text += separator + ("    " + files::json_string(tensor)) + ": " + files::json_string(file);
    separator = ",\n";
  }
  return text + "\n  }\n}\n";
}

// Weights in other formats, which no reader of this checkpoint wants, and what belongs to a repository.
bool is_left_out(const std::string& name) {
  static constexpr std::array<std::string_view, 9> kEndings = {
      ".safetensors", ".bin", ".bin.index.json", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack"};
  return name.starts_with('.') || name == "config.json" || name == kIndexFile ||
         std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view end) { return name.ends_with(end); });
}

// Scales as they are read back: rounded to the dtype of the file, which moves them by half a percent at most.
void check_read_back(const std::string& directory, const model::ModelConfig& config,
                     const kv::KvScales& written) {
  const files::Checkpoint checkpoint = files::Checkpoint::open(directory);
  const model::KvScaleReport report = model::load_kv_scales(checkpoint, config);
  OCTET_CHECK(report.scales && report.warnings.empty() && report.requested_dtype == KvDtype::fp8_e4m3);
  const auto near = [](const std::vector<float>& a, const std::vector<float>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](float x, float y) { return std::abs(x - y) <= y / 128; });
  };
  for (std::size_t layer = 0; layer < written.layers.size(); ++layer) {
    const kv::LayerScales &found = report.scales->layers[layer], &expected = written.layers[layer];
    OCTET_CHECK(near(found.k, expected.k) && near(found.v, expected.v) && near(found.q, expected.q));
  }
}

void write_files(const files::Checkpoint& checkpoint, const model::ModelConfig& config,
                 const kv::KvScales& scales, const CheckpointOutput& output,
                 const files::StagedFolder& folder) {
  const fs::path source = checkpoint.directory();
  const std::vector<files::OwnedTensor> tensors = scale_tensors(scales, config);
  files::write_file(folder.path(kScalesFile), files::safetensors_bytes(tensors, {{"format", "pt"}}));
  files::write_file(folder.path(kIndexFile), index_json(checkpoint, tensors));
  const Targets targets{.q = !scales.layers.front().q.empty()};
  const std::string config_path = (source / "config.json").string();
  files::write_file(
      folder.path("config.json"),
      files::set_json_member(files::read_text_file(config_path, 1 << 28), "quantization_config",
                             quantization_config_json(config, scales.strategy, targets, output.provenance),
                             config_path));
  if (output.scales_only) return;
  for (const std::string& file : weight_files(checkpoint).kept)
    files::link_or_copy_file((source / file).string(), folder.path(name_in_output(file)));
  // Small files are copies: whoever edits a config of the new checkpoint must not edit the old one's.
  for (const fs::directory_entry& entry : fs::directory_iterator(source)) {
    const std::string name = entry.path().filename().string();
    std::error_code ignored;
    if (!is_left_out(name) && entry.is_regular_file(ignored))
      files::copy_file(entry.path().string(), folder.path(name));
  }
  check_read_back(fs::path(folder.path("config.json")).parent_path().string(), config, scales);
}

}  // namespace

void check_output(const files::Checkpoint& checkpoint, const CheckpointOutput& output) {
  const fs::path source = checkpoint.directory(), target = output.directory;
  std::error_code ignored;
  if (fs::equivalent(source, target, ignored))
    throw Error(ErrorCode::invalid_argument, "is the checkpoint itself; the output needs a folder of its own",
                output.directory);
  files::check_can_stage(output.directory, output.replace);
  // --force shall replace what a calibration wrote, not whatever folder a slip of the finger names.
  if (fs::exists(target, ignored) && !fs::is_empty(target, ignored) &&
      !fs::exists(target / kScalesFile, ignored))
    throw Error(
        ErrorCode::invalid_argument,
        std::string("is not replaced: it has no ") + kScalesFile + ", so it is no calibrated checkpoint",
        output.directory);
  if (checkpoint.is_gguf())
    throw Error(ErrorCode::unsupported,
                "is a GGUF file, which has no place for KV scales; run are folders with safetensors",
                checkpoint.directory());
  if (fs::exists(source / "hf_quant_config.json", ignored))
    throw Error(ErrorCode::unsupported,
                "states another quantisation of the cache; calibrate the checkpoint without it",
                (source / "hf_quant_config.json").string());
  model::read_cache_request(checkpoint);  // refuses what is not known
  // Merging its config with theirs is another matter than adding scales.
  if (model::has_quantized_weights(checkpoint))
    throw Error(ErrorCode::unsupported,
                "has quantised weights; run are checkpoints whose weights are F32, F16 or BF16",
                checkpoint.directory());
  weight_files(checkpoint);
}

void write_calibrated_checkpoint(const files::Checkpoint& checkpoint, const model::ModelConfig& config,
                                 const kv::KvScales& scales, const CheckpointOutput& output) {
  check_output(checkpoint, output);
  files::StagedFolder folder(output.directory, output.replace);
  write_files(checkpoint, config, scales, output, folder);
  folder.commit();
}

}  // namespace octet::calibrate
