#include "files/gguf.h"

#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "gguf_builder.h"
#include "safetensors_builder.h"

namespace octet::files {
namespace {

using tests::expect_error;
using tests::gguf_string;
using tests::GgufBuilder;
using tests::little_endian;

GgufContents read_bytes(const std::string& bytes) {
  return read_gguf(std::as_bytes(std::span(bytes.data(), bytes.size())), "m.gguf");
}

TEST(Gguf, ReadsEveryTypeOfMetadata) {
  const std::string bytes =
      GgufBuilder()
          .text("general.architecture", "llama")
          .value("u8", GgufType::uint8, "\xff")
          .value("i8", GgufType::int8, "\xff")
          .value("u16", GgufType::uint16, little_endian<std::uint16_t>(65535))
          .value("i16", GgufType::int16, little_endian<std::int16_t>(-2))
          .number("u32", 4000000000u)
          .value("i32", GgufType::int32, little_endian<std::int32_t>(-3))
          .value("u64", GgufType::uint64, little_endian<std::uint64_t>(1) + "")
          .value("i64", GgufType::int64, little_endian<std::int64_t>(-4))
          .real("f32", 0.5f)
          .value("f64", GgufType::float64, little_endian(0.25))
          .flag("yes", true)
          .strings("words", {"a", "", "ccc"})
          .array("ints", GgufType::int32, 2, little_endian<std::int32_t>(-1) + little_endian<std::int32_t>(7))
          .array("reals", GgufType::float32, 2, little_endian(1.5f) + little_endian(-2.0f))
          .array("empty", GgufType::string, 0, "")
          .array("nested", GgufType::array, 1,
                 little_endian(static_cast<std::uint32_t>(GgufType::uint8)) + little_endian<std::uint64_t>(2) +
                     "ab")
          .number("last", 9)
          .finish();
  const tests::TempFolder folder;
  const GgufFile file = GgufFile::open(folder.write("m.gguf", bytes));
  constexpr std::int64_t least = INT64_MIN, most = INT64_MAX;
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.at("general.architecture").as_string(), "llama");
  EXPECT_EQ(file.at("u8").as_int(least, most), 255);
  EXPECT_EQ(file.at("i8").as_int(least, most), -1);
  EXPECT_EQ(file.at("u16").as_int(least, most), 65535);
  EXPECT_EQ(file.at("i16").as_int(least, most), -2);
  EXPECT_EQ(file.at("u32").as_int(least, most), 4000000000);
  EXPECT_EQ(file.at("i32").as_int(least, most), -3);
  EXPECT_EQ(file.at("u64").as_int(least, most), 1);
  EXPECT_EQ(file.at("i64").as_int(least, most), -4);
  EXPECT_EQ(file.at("f32").as_double(), 0.5);
  EXPECT_EQ(file.at("f64").as_double(), 0.25);
  EXPECT_EQ(file.at("u16").as_double(), 65535.0);
  EXPECT_TRUE(file.at("yes").as_bool());
  EXPECT_EQ(file.at("words").as_strings(), (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_EQ(file.at("ints").as_ints(least, most), (std::vector<std::int64_t>{-1, 7}));
  EXPECT_EQ(file.at("reals").as_floats(), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_TRUE(file.at("empty").as_strings().empty());
  EXPECT_EQ(file.at("nested").element_type(), GgufType::array);
  EXPECT_EQ(file.at("last").as_int(0, 9), 9);
  EXPECT_EQ(file.find("absent"), nullptr);
  expect_error(ErrorCode::invalid_file, {"metadata absent", "missing"}, [&] { file.at("absent"); });
}

TEST(Gguf, ConversionsNameTheKeyAndWhatWasFound) {
  const std::string bytes = GgufBuilder()
                                .number("count", 7)
                                .text("name", "x")
                                .real("eps", NAN)
                                .value("large", GgufType::uint64, little_endian<std::uint64_t>(UINT64_MAX))
                                .array("ids", GgufType::uint32, 1, little_endian<std::uint32_t>(9))
                                .finish();
  const GgufContents contents = read_bytes(bytes);
  const auto at = [&](std::size_t index) { return contents.metadata[index]; };
  using enum ErrorCode;
  expect_error(invalid_file, {"m.gguf: metadata count", "1 to 6", "7"}, [&] { at(0).as_int(1, 6); });
  expect_error(invalid_file, {"count", "string", "uint32"}, [&] { at(0).as_string(); });
  expect_error(invalid_file, {"count", "bool"}, [&] { at(0).as_bool(); });
  expect_error(invalid_file, {"count", "array of string"}, [&] { at(0).as_strings(); });
  expect_error(invalid_file, {"name", "integer", "string"}, [&] { at(1).as_int(0, 1); });
  expect_error(invalid_file, {"name", "number"}, [&] { at(1).as_double(); });
  expect_error(invalid_file, {"eps", "finite"}, [&] { at(2).as_double(); });
  expect_error(invalid_file, {"large", "63 bits"}, [&] { at(3).as_int(0, INT64_MAX); });
  expect_error(invalid_file, {"ids", "array of floats", "uint32"}, [&] { at(4).as_floats(); });
  expect_error(invalid_file, {"ids", "array of string"}, [&] { at(4).as_strings(); });
  expect_error(invalid_file, {"ids", "0 to 8", "9"}, [&] { at(4).as_ints(0, 8); });
}

TEST(Gguf, TensorsHaveTheirShapeOutFirstAndTheirBytes) {
  const std::string block(18, 'q');
  const std::string bytes = GgufBuilder()
                                .tensor("a.weight", 0, {2, 3}, std::string(24, 'x'))
                                .tensor("b.weight", 2, {4, 32}, block + block + block + block)
                                .tensor("c", 30, {}, "cc")
                                .finish();
  const GgufContents contents = read_bytes(bytes);
  ASSERT_EQ(contents.tensors.size(), 3u);
  EXPECT_EQ(contents.tensors[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(contents.tensors[0].dtype, TensorDtype::F32);
  EXPECT_EQ(contents.tensors[1].dtype, TensorDtype::Q4_0);
  EXPECT_EQ(contents.tensors[1].data.size(), 72u);
  EXPECT_EQ(contents.tensors[1].elements(), 128);
  EXPECT_EQ(std::to_integer<char>(contents.tensors[1].data[71]), 'q');
  EXPECT_EQ(contents.tensors[2].elements(), 1);
}

TEST(Gguf, LyingFilesAreRefused) {
  using enum ErrorCode;
  const auto refused = [](ErrorCode code, std::initializer_list<std::string_view> words,
                          const std::string& bytes) { expect_error(code, words, [&] { read_bytes(bytes); }); };
  refused(invalid_file, {"m.gguf", "not a GGUF"}, "GGUF");
  refused(invalid_file, {"not a GGUF"}, std::string(64, 'x'));
  GgufBuilder builder;
  builder.version = 1;
  refused(unsupported, {"version 1"}, builder.finish());
  builder.version = 0x03000000u;
  refused(unsupported, {"big-endian"}, builder.finish());

  const auto header = [](std::uint64_t tensors, std::uint64_t values) {
    return "GGUF" + little_endian<std::uint32_t>(3) + little_endian(tensors) + little_endian(values);
  };
  refused(invalid_file, {"claims", "metadata values"}, header(0, UINT64_MAX));
  refused(invalid_file, {"claims", "tensors"}, header(UINT64_MAX / 24, 0));
  refused(invalid_file, {"metadata key", "cut short"},
          header(0, 1) + little_endian(UINT64_MAX) + std::string(64, 'x'));
  refused(invalid_file, {"metadata k", "type 99"},
          header(0, 1) + gguf_string("k") + little_endian<std::uint32_t>(99) + std::string(32, 'x'));
  refused(invalid_file, {"metadata k", "elements"},
          GgufBuilder().array("k", GgufType::uint64, UINT64_MAX / 4, "").finish());
  refused(invalid_file, {"metadata k", "elements"},
          GgufBuilder().array("k", GgufType::string, UINT64_MAX / 8, "").finish());
  refused(invalid_file, {"metadata k", "twice"}, GgufBuilder().number("k", 1).number("k", 1).finish());
  std::string nested =
      little_endian(static_cast<std::uint32_t>(GgufType::uint8)) + little_endian<std::uint64_t>(0);
  for (int i = 0; i < 6; ++i)
    nested =
        little_endian(static_cast<std::uint32_t>(GgufType::array)) + little_endian<std::uint64_t>(1) + nested;
  refused(invalid_file, {"metadata k", "deeper"},
          GgufBuilder().value("k", GgufType::array, nested).text("pad", std::string(99, 'x')).finish());
  refused(invalid_file, {"general.alignment", "power of two"},
          GgufBuilder().number("general.alignment", 24).tensor("t", 0, {8}, std::string(32, 'x')).finish());
}

TEST(Gguf, LyingTensorsAreRefused) {
  using enum ErrorCode;
  const std::string data(64, 'x');
  const auto refused = [&](ErrorCode code, std::initializer_list<std::string_view> words, GgufBuilder builder) {
    expect_error(code, words, [&] { read_bytes(builder.text("pad", data).finish()); });
  };
  refused(unsupported, {"tensor t", "type 16", "Q4_K"}, GgufBuilder().tensor("t", 16, {16}, data));
  refused(invalid_file, {"tensor t", "5 dimensions"}, GgufBuilder().tensor("t", 0, {1, 1, 1, 1, 1}, data));
  refused(invalid_file, {"tensor t", "overflows"}, GgufBuilder().tensor("t", 0, {INT64_MAX, 4}, data));
  refused(invalid_file, {"tensor t", "overflows"}, GgufBuilder().tensor("t", 0, {INT64_MAX}, data));
  refused(invalid_file, {"tensor t", "overflows"}, GgufBuilder().tensor("t", 0, {-1}, data));
  refused(invalid_file, {"tensor t", "Q4_0", "32"}, GgufBuilder().tensor("t", 2, {2, 16}, data));
  refused(invalid_file, {"tensor t", "68 bytes", "cut short"}, GgufBuilder().tensor("t", 0, {17}, data));
  refused(invalid_file, {"tensor t", "cut short"}, GgufBuilder().entry("t", 0, {16}, UINT64_MAX - 31, data));
  refused(invalid_file, {"tensor t", "alignment 32"}, GgufBuilder().entry("t", 0, {1}, 4, data));
  refused(invalid_file, {"tensor u", "overlaps tensor t"},
          GgufBuilder().entry("t", 0, {16}, 0, data).entry("u", 0, {8}, 32, ""));
  refused(invalid_file, {"tensor t", "twice"},
          GgufBuilder().tensor("t", 0, {1}, data).tensor("t", 0, {1}, data));
  refused(invalid_file, {"tensor's name"}, GgufBuilder().tensor(std::string(65, 'n'), 0, {1}, data));
}

TEST(Gguf, EveryCutIsRefused) {
  const std::string bytes = GgufBuilder()
                                .text("general.architecture", "llama")
                                .strings("words", {"a", "bb"})
                                .tensor("t", 0, {2, 4}, std::string(32, 'x'))
                                .finish();
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_THROW(read_bytes(bytes.substr(0, size)), Error) << size;
}

TEST(Gguf, IsFoundByPathAndInItsFolder) {
  const tests::TempFolder folder;
  EXPECT_EQ(find_gguf(folder.path()), "");
  const std::string one = folder.write("one.gguf", GgufBuilder().finish());
  EXPECT_EQ(find_gguf(one), one);
  EXPECT_EQ(find_gguf(folder.path()), one);
  folder.write("other.gguf", "no such thing");
  EXPECT_EQ(find_gguf(folder.path()), one);
  folder.write("two.gguf", GgufBuilder().finish());
  expect_error(ErrorCode::invalid_file, {"one.gguf, two.gguf", "name one"}, [&] { find_gguf(folder.path()); });
  folder.write("config.json", "{}");
  EXPECT_EQ(find_gguf(folder.path()), "");
}

}  // namespace
}  // namespace octet::files
