#include "files/gguf_metadata.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "files/printable.h"

namespace octet::files {

GgufMetadata::GgufMetadata(const GgufContents& contents, const std::string& file)
    : contents_(contents), file_(file) {
  const GgufValue* architecture = contents.find("general.architecture");
  if (architecture == nullptr)
    throw Error(ErrorCode::invalid_file, "is missing", file + ": metadata general.architecture");
  architecture_ = architecture->as_string();
}

const GgufValue* GgufMetadata::find(std::string_view name) const {
  return contents_.find(architecture_ + "." + std::string(name));
}

const GgufValue& GgufMetadata::at(std::string_view name) const {
  if (const GgufValue* value = find(name)) return *value;
  throw Error(ErrorCode::invalid_file, "is missing",
              file_ + ": metadata " + printable(architecture_) + "." + std::string(name));
}

std::int64_t GgufMetadata::size(std::string_view name) const {
  const GgufValue& value = at(name);
  if (value.is_array())
    unsupported(name, "has a value for every layer, which is not run here; run is one for all");
  return value.as_int(1, std::numeric_limits<std::int32_t>::max());
}

const TensorView* GgufMetadata::find_tensor(std::string_view name) const {
  const auto found = std::find_if(contents_.tensors.begin(), contents_.tensors.end(),
                                  [&](const TensorView& tensor) { return tensor.name == name; });
  return found == contents_.tensors.end() ? nullptr : &*found;
}

const TensorView& GgufMetadata::tensor(std::string_view name) const {
  if (const TensorView* tensor = find_tensor(name)) return *tensor;
  throw Error(ErrorCode::invalid_file, "is missing", file_ + ": tensor " + std::string(name));
}

void GgufMetadata::unsupported(std::string_view name, const std::string& message) const {
  throw Error(ErrorCode::unsupported, message,
              file_ + ": metadata " + printable(architecture_) + "." + std::string(name));
}

}  // namespace octet::files
