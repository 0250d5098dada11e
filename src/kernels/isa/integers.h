// What the bodies count with, in place of <algorithm>'s: see vec_avx2.h for what may be included here.
#pragma once

namespace octet::kernels {
namespace {

constexpr int smaller(int a, int b) { return a < b ? a : b; }
constexpr int larger(int a, int b) { return a > b ? a : b; }
constexpr int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace
}  // namespace octet::kernels
