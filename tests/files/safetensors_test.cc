#include "files/safetensors.h"

#include <span>
#include <string>

#include "files/expect_error.h"
#include "files/safetensors_builder.h"

namespace octet::files {
namespace {

using tests::expect_error;
using tests::raw_safetensors;
using tests::SafetensorsBuilder;

Safetensors read(const std::string& bytes) {
  return read_safetensors(std::as_bytes(std::span(bytes)), "w.safetensors");
}

void expect_invalid(std::initializer_list<std::string_view> words, const std::string& bytes) {
  expect_error(ErrorCode::invalid_file, {"w.safetensors"}, [&] { read(bytes); });
  expect_error(ErrorCode::invalid_file, words, [&] { read(bytes); });
}

// A file with the header {"t": entry} and `data` bytes of data.
std::string with_entry(const std::string& entry, std::size_t data) {
  return raw_safetensors("{\"t\":" + entry + "}", std::string(data, '\0'));
}

TEST(Safetensors, ReadsTensorsAndMetadata) {
  const std::string bytes = raw_safetensors(
      R"({"__metadata__":{"format":"pt","k":""},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[2,10]},)"
      R"("s":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},"e":{"dtype":"I64","shape":[3,0],"data_offsets":[2,2]}}  )",
      std::string("\x80\x3f\0\0\x80\x3f\0\0\0\xc0", 10));
  const Safetensors file = read(bytes);
  ASSERT_EQ(file.metadata.size(), 2u);
  EXPECT_EQ(file.metadata[0], std::make_pair(std::string("format"), std::string("pt")));
  ASSERT_EQ(file.tensors.size(), 3u);
  EXPECT_EQ(file.tensors[0].name, "s");
  EXPECT_EQ(file.tensors[0].elements(), 1);
  EXPECT_EQ(file.tensors[0].to_floats(), std::vector<float>({1.0f}));
  EXPECT_EQ(file.tensors[1].name, "e");
  EXPECT_EQ(file.tensors[1].elements(), 0);
  EXPECT_EQ(file.tensors[2].shape, std::vector<std::int64_t>({1, 2}));
  EXPECT_EQ(file.tensors[2].to_floats(), std::vector<float>({1.0f, -2.0f}));
  EXPECT_EQ(file.tensors[2].file, "w.safetensors");
}

TEST(Safetensors, ReadsAFileWithoutTensors) { EXPECT_TRUE(read(raw_safetensors("{}", "")).tensors.empty()); }

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string whole = SafetensorsBuilder().floats("a", {2}, {1, 2}).bfloat16s("b", {1}, {3}).finish();
  ASSERT_EQ(read(whole).tensors.size(), 2u);
  for (std::size_t size = 0; size < whole.size(); ++size)
    expect_error(ErrorCode::invalid_file, {"w.safetensors"}, [&] { read(whole.substr(0, size)); });
}

TEST(Safetensors, HeaderLengthThatLies) {
  expect_invalid({"length alone takes 8"}, "short");
  expect_invalid({"claims 100 bytes", "only 2 follow"}, raw_safetensors("{}", "", 100));
  expect_invalid({"claims 100000001 bytes", "at most 100000000"}, raw_safetensors("{}", "", 100000001));
  expect_invalid({"claims 18446744073709551615"}, raw_safetensors("{}", "", ~std::uint64_t{0}));
  expect_invalid({"does not begin with '{'"}, raw_safetensors("", "", 0));
  expect_invalid({"does not begin with '{'"}, raw_safetensors(" {}", ""));
  expect_invalid({"header", "invalid JSON"}, raw_safetensors("{}", "", 1));
}

TEST(Safetensors, HeaderThatIsNoObjectOfTensors) {
  expect_invalid({"does not begin with '{'"}, raw_safetensors("[]", ""));
  expect_invalid({"invalid JSON"}, raw_safetensors("{\"a\":", ""));
  expect_invalid({"invalid JSON"}, raw_safetensors("{}x", ""));
  expect_invalid({"tensor t", "expected an object"}, with_entry("3", 0));
  expect_invalid({"tensor t", "null"}, with_entry("null", 0));
  expect_invalid({"t: stands twice"}, raw_safetensors(R"({"t":{},"t":{}})", ""));
  expect_invalid({"256 levels"}, raw_safetensors(R"({"t":)" + std::string(100000, '['), ""));
}

TEST(Safetensors, MetadataMustBeTexts) {
  expect_invalid({"__metadata__", "expected an object"}, raw_safetensors(R"({"__metadata__":[]})", ""));
  expect_invalid({"__metadata__.n", "expected a string"}, raw_safetensors(R"({"__metadata__":{"n":1}})", ""));
}

TEST(Safetensors, EntryWithMissingOrUnknownMembers) {
  expect_invalid({"tensor t", "dtype is missing"}, with_entry(R"({"shape":[],"data_offsets":[0,4]})", 4));
  expect_invalid({"tensor t", "shape is missing"}, with_entry(R"({"dtype":"F32","data_offsets":[0,4]})", 4));
  expect_invalid({"tensor t", "data_offsets is missing"}, with_entry(R"({"dtype":"F32","shape":[]})", 4));
  expect_invalid({"tensor t", "unknown member \"strides\""},
                 with_entry(R"({"dtype":"F32","shape":[],"data_offsets":[0,4],"strides":[1]})", 4));
}

TEST(Safetensors, UnknownDtype) {
  expect_error(ErrorCode::unsupported, {"w.safetensors", "tensor t", "\"F4\"", "BF16"},
               [] { read(with_entry(R"({"dtype":"F4","shape":[2],"data_offsets":[0,1]})", 1)); });
  expect_error(ErrorCode::unsupported, {"tensor t", "\"bf16\""},
               [] { read(with_entry(R"({"dtype":"bf16","shape":[1],"data_offsets":[0,2]})", 2)); });
  expect_invalid({"t.dtype", "expected a string"},
                 with_entry(R"({"dtype":1,"shape":[1],"data_offsets":[0,2]})", 2));
}

TEST(Safetensors, ShapeThatIsNoShape) {
  const auto shaped = [](const std::string& shape) {
    return with_entry("{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":[0,4]}", 4);
  };
  EXPECT_EQ(read(shaped("[1,1,1]")).tensors.size(), 1u);
  expect_invalid({"tensor t", "shape holds -1"}, shaped("[-1]"));
  expect_invalid({"tensor t", "shape holds 1.0"}, shaped("[1.0]"));
  expect_invalid({"tensor t", "shape holds"}, shaped("[1e300]"));
  expect_invalid({"tensor t", "shape holds 18446744073709551615"}, shaped("[18446744073709551615]"));
  expect_invalid({"tensor t", "other than a number"}, shaped("[\"1\"]"));
  expect_invalid({"t.shape", "expected an array"}, shaped("1"));
  expect_invalid({"tensor t", "[2] of F32 takes 8 bytes", "4"}, shaped("[2]"));
  expect_invalid({"tensor t", "takes 0 bytes"}, shaped("[0]"));
}

TEST(Safetensors, ShapeThatOverflows) {
  const auto shaped = [](const std::string& shape) {
    return with_entry("{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":[0,4]}", 4);
  };
  // 2^32 * 2^32 * 4 wraps to 0, and 2^62 + 1 elements of 4 bytes wrap to 4.
  expect_invalid({"tensor t", "overflows"}, shaped("[4294967296,4294967296]"));
  expect_invalid({"tensor t", "overflows"}, shaped("[4611686018427387,1000001]"));
  expect_invalid({"tensor t", "holds 4611686018427387905"}, shaped("[4611686018427387905]"));
}

TEST(Safetensors, OffsetsThatLie) {
  const auto placed = [](const std::string& offsets) {
    return with_entry("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" + offsets + "}", 4);
  };
  EXPECT_EQ(read(placed("[0,4]")).tensors.size(), 1u);
  expect_invalid({"tensor t", "end at byte 8", "past the end", "4 bytes"}, placed("[4,8]"));
  expect_invalid({"tensor t", "past the end"}, placed("[0,999999999999999999]"));
  expect_invalid({"tensor t", "backwards"}, placed("[4,0]"));
  expect_invalid({"tensor t", "data_offsets holds -4"}, placed("[-4,0]"));
  expect_invalid({"tensor t", "data_offsets holds 18446744073709551612"}, placed("[18446744073709551612,4]"));
  expect_invalid({"tensor t", "data_offsets has 1 numbers"}, placed("[0]"));
  expect_invalid({"tensor t", "data_offsets has 3 numbers"}, placed("[0,4,4]"));
}

TEST(Safetensors, TensorsMustLieSideBySide) {
  const auto two = [](const std::string& a, const std::string& b, std::size_t data) {
    return raw_safetensors("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" + a +
                               "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" + b + "}}",
                           std::string(data, '\0'));
  };
  EXPECT_EQ(read(two("[4,8]", "[0,4]", 8)).tensors.size(), 2u);
  expect_invalid({"tensor b", "overlaps tensor a"}, two("[0,4]", "[2,6]", 6));
  expect_invalid({"tensor b", "overlaps tensor a"}, two("[0,4]", "[0,4]", 4));
  expect_invalid({"tensor b", "hole of 2 bytes"}, two("[0,4]", "[6,10]", 10));
  expect_invalid({"tensor a", "hole of 1 bytes"}, two("[1,5]", "[5,9]", 9));
  expect_invalid({"end at byte 8", "9 bytes"}, two("[0,4]", "[4,8]", 9));
  expect_invalid({"end at byte 0", "5 bytes"}, raw_safetensors("{}", "12345"));
}

}  // namespace
}  // namespace octet::files
