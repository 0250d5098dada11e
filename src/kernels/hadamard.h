// The Walsh-Hadamard transform of keys and queries, for cache dtypes that is_hadamard.
//
// A key's numbers differ widely between dims: a few large ones set the scale of an 8-bit vector and leave few
// steps for the rest. The transform is orthogonal, so the products of transformed queries and keys, the
// scores, are what they were; but it spreads each number over all dims, and then the largest is seldom more
// than three times the root mean square.
#pragma once

namespace octet::kernels {

// Transforms each of `num_heads` vectors x [num_heads, head_dim] in place: every run of B numbers by the
// orthonormal matrix of order B (its own inverse), B being the largest power of two that divides head_dim.
// The sums are taken in a fixed order, so every build gives the same bits.
void hadamard(float* x, int num_heads, int head_dim) noexcept;

}  // namespace octet::kernels
