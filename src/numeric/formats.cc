// The formats are header-only; this file holds what the compiler can prove about them.
#include "numeric/dtype.h"
#include "numeric/fp8.h"
#include "numeric/per_token_head.h"

namespace octet {

static_assert(fp8_e4m3::from_float(448.0f).bits == 0x7e && fp8_e4m3{0x7e}.to_float() == 448.0f);
static_assert(fp8_e4m3::from_float(-1e30f).bits == 0xfe);
static_assert(fp8_e4m3::from_float(0x1p-9f).bits == 0x01 && fp8_e4m3{0x01}.to_float() == 0x1p-9f);
static_assert(fp8_e4m3::from_float(0x1p-10f).bits == 0x00);  // a tie, to even
static_assert(fp8_e5m2::from_float(1e30f).bits == 0x7b && fp8_e5m2{0x7b}.to_float() == 57344.0f);
static_assert(fp8_e5m2{0x01}.to_float() == 0x1p-16f);
static_assert(float16::from_float(65504.0f).bits == 0x7bff && bfloat16::from_float(1.0f).bits == 0x3f80);

constexpr auto kInt8 = KvDtype::int8_per_token_head;
static_assert(vector_scale(kInt8, 127.0f).to_float() == 1.0f &&
              vector_scale(kInt8, 127.1f).to_float() == 1.0078125f);
static_assert(vector_scale(kInt8, 0.0f).bits == 0 && vector_code(kInt8, 0.0f, {0}) == 0);
static_assert(vector_code(kInt8, -2.5f, {0x3f80}) == 0x82 && vector_code(kInt8, 127.4f, {0x3f80}) == 0x7f);

}  // namespace octet
