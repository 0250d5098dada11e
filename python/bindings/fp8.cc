#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <octet/fp8.h>

#include "bindings.h"

namespace octet::python {

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Codes = nb::ndarray<const std::uint8_t, nb::c_contig, nb::device::cpu>;
using NewFloats = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using NewCodes = nb::ndarray<std::uint8_t, nb::c_contig, nb::device::cpu>;

void require_same_size(std::size_t from, std::size_t to) {
  if (from != to)
    throw Error(ErrorCode::invalid_argument,
                "expected room for " + std::to_string(from) + " numbers, found " + std::to_string(to), "out");
}

void quantize(const Floats& values, float scale, const std::string& dtype, const NewCodes& out) {
  require_same_size(values.size(), out.size());
  const nb::gil_scoped_release released;
  quantize_fp8(values.data(), values.size(), scale, dtype, out.data());
}

void dequantize(const Codes& codes, float scale, const std::string& dtype, const NewFloats& out) {
  require_same_size(codes.size(), out.size());
  const nb::gil_scoped_release released;
  dequantize_fp8(codes.data(), codes.size(), scale, dtype, out.data());
}

}  // namespace

void bind_fp8(nb::module_& m) {
  m.def("quantize_fp8", quantize, "values"_a, "scale"_a, "dtype"_a, "out"_a);
  m.def("dequantize_fp8", dequantize, "codes"_a, "scale"_a, "dtype"_a, "out"_a);
}

}  // namespace octet::python
