#include "files/checkpoint.h"

#include <filesystem>
#include <string>

#include "files/expect_error.h"
#include "files/safetensors_builder.h"

namespace octet::files {
namespace {

using tests::expect_error;
using tests::SafetensorsBuilder;
using tests::TempFolder;

std::string one(const std::string& name, float value) {
  return SafetensorsBuilder().floats(name, {1}, {value}).finish();
}

// A folder with config.json and an index over two shards.
void write_sharded(const TempFolder& folder, const std::string& weight_map) {
  folder.write("config.json", "{}");
  folder.write("s1.safetensors", one("a", 1));
  folder.write("s2.safetensors", one("b", 2));
  folder.write("model.safetensors.index.json",
               R"({"metadata":{"total_size":8},"weight_map":)" + weight_map + "}");
}

TEST(Checkpoint, OpensASingleFile) {
  const TempFolder folder;
  folder.write("config.json", R"({"model_type":"llama"})");
  folder.write("generation_config.json", R"({"eos_token_id":2})");
  folder.write("model.safetensors",
               SafetensorsBuilder().floats("b", {2}, {1, 2}).bfloat16s("a", {1}, {3}).finish());
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.directory(), folder.path());
  EXPECT_EQ(checkpoint.config().at("model_type").as_string(), "llama");
  EXPECT_EQ(checkpoint.generation_config()->at("eos_token_id").as_int(), 2);
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.tensors()[0].name, "a");  // sorted
  EXPECT_EQ(checkpoint.at("b").to_floats(), std::vector<float>({1, 2}));
  EXPECT_EQ(checkpoint.find("c"), nullptr);
  EXPECT_EQ(checkpoint.weight_bytes(), 10);
  EXPECT_FALSE(JsonValue::parse("{}", "x").find("a"));
}

TEST(Checkpoint, OpensShardsAndKeepsThemMappedWhenMoved) {
  const TempFolder folder;
  write_sharded(folder, R"({"a":"s1.safetensors","b":"s2.safetensors"})");
  Checkpoint opened = Checkpoint::open(folder.path());
  const Checkpoint checkpoint = std::move(opened);
  EXPECT_FALSE(checkpoint.generation_config());
  EXPECT_EQ(checkpoint.at("a").to_floats(), std::vector<float>{1});
  EXPECT_EQ(checkpoint.at("b").to_floats(), std::vector<float>{2});
  EXPECT_EQ(checkpoint.at("b").file, folder.file("s2.safetensors"));
}

TEST(Checkpoint, CopiedToMemoryNeedsItsFilesNoMore) {
  const TempFolder folder;
  write_sharded(folder, R"({"a":"s1.safetensors","b":"s2.safetensors"})");
  Checkpoint checkpoint = Checkpoint::open(folder.path());
  const std::byte* mapped = checkpoint.at("a").data.data();
  ThreadPool pool(2);
  ASSERT_TRUE(checkpoint.copy_to_memory(pool));
  EXPECT_NE(checkpoint.at("a").data.data(), mapped);
  std::filesystem::resize_file(folder.file("s1.safetensors"), 0);  // a mapping would now end in SIGBUS
  std::filesystem::resize_file(folder.file("s2.safetensors"), 0);
  EXPECT_EQ(checkpoint.at("a").to_floats(), std::vector<float>{1});
  EXPECT_EQ(checkpoint.at("b").to_floats(), std::vector<float>{2});
  EXPECT_EQ(checkpoint.at("b").file, folder.file("s2.safetensors"));
}

TEST(Checkpoint, AlignsMisalignedTensors) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  // The header has no padding and a length that is no multiple of four.
  std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  while (header.size() % 4 != 1) header += ' ';
  folder.write("model.safetensors",
               tests::raw_safetensors(header, SafetensorsBuilder::bytes_of<float>({5, 6})));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(checkpoint.at("a").data.data()) % 4, 0u);
  EXPECT_EQ(checkpoint.at("a").to_floats(), std::vector<float>({5, 6}));
}

TEST(Checkpoint, MissingPiecesSayWhatACheckpointNeeds) {
  const TempFolder folder;
  expect_error(ErrorCode::not_found, {"nowhere", "no such folder", "config.json", "model.safetensors"},
               [&] { Checkpoint::open(folder.file("nowhere")); });
  expect_error(ErrorCode::not_found, {"a-file", "not a folder"},
               [&] { Checkpoint::open(folder.write("a-file", "")); });
  expect_error(ErrorCode::not_found, {folder.path(), "config.json is missing"},
               [&] { Checkpoint::open(folder.path()); });
  folder.write("config.json", "{}");
  folder.write("pytorch_model.bin", "x");
  expect_error(ErrorCode::not_found, {folder.path(), "no weights in the safetensors format"},
               [&] { Checkpoint::open(folder.path()); });
}

TEST(Checkpoint, BadFilesAreNamed) {
  const TempFolder folder;
  folder.write("model.safetensors", one("a", 1));
  folder.write("config.json", "{\"x\":");
  expect_error(ErrorCode::invalid_file, {"config.json", "line 1"}, [&] { Checkpoint::open(folder.path()); });
  folder.write("config.json", "[]");
  expect_error(ErrorCode::invalid_file, {"config.json", "an object"}, [&] { Checkpoint::open(folder.path()); });
  folder.write("config.json", "{}");
  folder.write("generation_config.json", "{,}");
  expect_error(ErrorCode::invalid_file, {"generation_config.json"}, [&] { Checkpoint::open(folder.path()); });
  folder.write("generation_config.json", "{}");
  folder.write("model.safetensors", one("a", 1).substr(0, 66));
  expect_error(ErrorCode::invalid_file, {"model.safetensors"}, [&] { Checkpoint::open(folder.path()); });
  folder.write("model.safetensors", "");
  expect_error(ErrorCode::invalid_file, {"model.safetensors", "0 bytes"},
               [&] { Checkpoint::open(folder.path()); });
}

TEST(Checkpoint, MissingTensorNamesTheNearest) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  folder.write("model.safetensors", SafetensorsBuilder()
                                        .floats("model.layers.0.self_attn.q_proj.weight", {1}, {1})
                                        .floats("model.norm.weight", {1}, {1})
                                        .finish());
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  expect_error(ErrorCode::invalid_file,
               {folder.path(), "tensor model.layers.0.self_attn.k_proj.weight is missing",
                "nearest name is model.layers.0.self_attn.q_proj.weight"},
               [&] { checkpoint.at("model.layers.0.self_attn.k_proj.weight"); });
}

void expect_bad_index(ErrorCode code, std::initializer_list<std::string_view> words,
                      const std::string& weight_map) {
  const TempFolder folder;
  write_sharded(folder, weight_map);
  expect_error(code, words, [&] { Checkpoint::open(folder.path()); });
}

TEST(Checkpoint, IndexThatDisagreesWithTheShards) {
  const auto invalid = ErrorCode::invalid_file;
  expect_bad_index(ErrorCode::not_found, {"index.json", "shard s3.safetensors is missing"},
                   R"({"a":"s1.safetensors","b":"s3.safetensors"})");
  expect_bad_index(invalid, {"index.json", "tensor c is not in the shard"},
                   R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors"})");
  expect_bad_index(invalid, {"tensor b", "not according to"}, R"({"a":"s1.safetensors","c":"s2.safetensors"})");
  expect_bad_index(invalid, {"not according to"}, R"({"a":"s2.safetensors","b":"s1.safetensors"})");
  expect_bad_index(invalid, {"weight_map", "names no tensor"}, "{}");
  expect_bad_index(invalid, {"weight_map", "expected an object"}, "[]");
  expect_bad_index(invalid, {"weight_map.a", "expected a string"}, R"({"a":1})");
  expect_bad_index(invalid, {"weight_map.a", "twice"}, R"({"a":"s1.safetensors","a":"s2.safetensors"})");
}

TEST(Checkpoint, TensorInTwoShardsIsAnError) {
  const TempFolder folder;
  write_sharded(folder, R"({"a":"s1.safetensors","b":"s2.safetensors"})");
  folder.write("s2.safetensors", SafetensorsBuilder().floats("a", {1}, {1}).floats("b", {1}, {2}).finish());
  expect_error(ErrorCode::invalid_file, {"s2.safetensors: tensor a", "not according to"},
               [&] { Checkpoint::open(folder.path()); });
}

TEST(Checkpoint, ShardNamesMustNotLeaveTheFolder) {
  for (const char* name :
       {"../s1.safetensors", "/etc/passwd", "sub/s1.safetensors", "..", ".", "", "a\\\\b", "s\\u0000"})
    expect_bad_index(ErrorCode::invalid_file, {"index.json: weight_map.a", "beside the index"},
                     std::string(R"({"a":")") + name + R"("})");
}

}  // namespace
}  // namespace octet::files
