// What decode attention is made of whatever the arithmetic: the walk over the block table, a chunk of positions
// at a time, and the scales of the slots.
#pragma once

#include "kernels/isa/vec_avx2.h"
#include "kernels/kernel_table.h"

namespace octet::kernels {
namespace {

// Positions a chunk: few enough that a chunk of keys and values and the next one, which is on its way, stay in
// the nearest caches together. 32 and 128 measured no faster on Zen 3.
inline constexpr int kChunk = 64;

// The keys and values of k_tile consecutive positions.
struct CacheTile {
  const std::byte* k;        // [head_dim, k_tile]
  const std::byte* v;        // [k_tile, head_dim]
  const std::byte* k_scale;  // [k_tile] bfloat16, where the dtype is_per_token_head
  const std::byte* v_scale;
};

// Keys and values of one KV head lie in runs of one block, too short for the hardware to see a stream, so
// each step asks for as many bytes of the next chunk as it reads of this one.
struct Chunk {
  CacheTile tiles[kChunk / 8];  // those behind num_tiles repeat the last
  const CacheTile* ahead;       // the next chunk's tiles; where there is none, this chunk's
  int num_tiles;
  int tile;   // positions a tile: k_tile
  int begin;  // the positions of the chunk that count, from its first tile's first slot
  int end;
};

// The chunks of one call in turn: of each chunk of positions those of every KV head, so that the pool is read
// in the order that it lies in. Walks the block table a tile at a time, one chunk ahead.
class ChunkStream {
 public:
  explicit ChunkStream(const DecodeAttentionArgs& args)
      : block_table_(args.block_table),
        begin_(args.begin),
        end_(args.end),
        tile_(args.kv->k_tile),
        tiles_a_block_(args.kv->block_size / args.kv->k_tile),
        position_(args.begin - args.begin % args.kv->k_tile),
        block_(position_ / args.kv->block_size),
        tile_in_block_(position_ % args.kv->block_size / args.kv->k_tile),
        num_heads_(args.num_kv_heads),
        k_(k_head(*args.kv, 0, args.kv_head), args.kv->k_dtype, *args.kv),
        v_(v_head(*args.kv, 0, args.kv_head), args.kv->v_dtype, *args.kv) {
    fill(chunks_[0]);
    // Nothing has asked for the first chunk yet: all of it at once.
    for (int t = 0; t < chunks_[0].num_tiles; ++t) k_.ask_for(chunks_[0].tiles[t].k);
    for (int t = 0; t < chunks_[0].num_tiles; ++t) v_.ask_for(chunks_[0].tiles[t].v);
  }
  ChunkStream(const ChunkStream&) = delete;
  ChunkStream& operator=(const ChunkStream&) = delete;

  // Makes the next chunk current; false where there is none.
  bool advance() {
    if (!more_) return false;
    current_ = next_;
    head_ = next_head_;
    if (next_head_ + 1 < num_heads_) {
      ++next_head_;
      next_ ^= 1;
      fill_next_head(chunks_[next_], chunks_[current_]);
    } else if (more_ = position_ < end_; more_) {
      next_head_ = 0;
      next_ ^= 1;
      fill(chunks_[next_]);
    }
    chunks_[current_].ahead = chunks_[next_].tiles;
    return true;
  }
  const Chunk& chunk() const { return chunks_[current_]; }
  // The KV head, from the first of the call on, whose chunk it is.
  int head() const { return head_; }

 private:
  // Where one head's tiles lie in the pool, of keys or of values.
  struct Strides {
    const std::byte* head;     // in block 0
    std::int64_t next_head;    // bytes from one head to the next in a block
    std::int64_t block;        // bytes from one block to the next
    std::int64_t tile;         // bytes of a tile's numbers
    std::int64_t scales;       // from the head's part of a block to its scales
    std::int64_t tile_scales;  // bytes of a tile's scales
    Strides(std::byte* first, KvDtype dtype, const KvView& kv)
        : head(first),
          next_head(head_block_bytes(dtype, kv.block_size, kv.head_dim)),
          block(kv.num_kv_heads * next_head),
          tile(head_numbers_bytes(dtype, kv.k_tile, kv.head_dim)),
          scales(head_numbers_bytes(dtype, kv.block_size, kv.head_dim)),
          tile_scales(kv.k_tile * static_cast<std::int64_t>(vector_scale_bytes(dtype))) {}
    void ask_for(const std::byte* numbers) const {
      for (std::int64_t i = 0; i < tile; i += 64)
        _mm_prefetch(reinterpret_cast<const char*>(numbers + i), _MM_HINT_T1);
    }
  };

  void fill(Chunk& chunk) {
    chunk.tile = tile_;
    chunk.begin = begin_ > position_ ? begin_ - position_ : 0;
    chunk.end = end_ - position_ < kChunk ? end_ - position_ : kChunk;
    int tiles = 0;
    for (int first = 0; first < chunk.end; first += tile_) {
      const std::int64_t block = block_table_[block_];
      const std::byte* k = k_.head + block * k_.block;
      const std::byte* v = v_.head + block * v_.block;
      const CacheTile tile{k + tile_in_block_ * k_.tile, v + tile_in_block_ * v_.tile,
                           k + k_.scales + tile_in_block_ * k_.tile_scales,
                           v + v_.scales + tile_in_block_ * v_.tile_scales};
      // The first bytes of each tile are asked for a chunk before the rest, so that where they lie is in the
      // TLB.
      _mm_prefetch(reinterpret_cast<const char*>(tile.k), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(tile.v), _MM_HINT_T1);
      chunk.tiles[tiles++] = tile;
      if (++tile_in_block_ == tiles_a_block_) {
        tile_in_block_ = 0;
        ++block_;
      }
    }
    chunk.num_tiles = tiles;
    for (; tiles < kChunk / 8; ++tiles) chunk.tiles[tiles] = chunk.tiles[chunk.num_tiles - 1];
    position_ += kChunk;
  }

  void fill_next_head(Chunk& chunk, const Chunk& before) {
    chunk = before;
    for (CacheTile& tile : chunk.tiles) {
      tile.k += k_.next_head;
      tile.v += v_.next_head;
      tile.k_scale += k_.next_head;
      tile.v_scale += v_.next_head;
      _mm_prefetch(reinterpret_cast<const char*>(tile.k), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(tile.v), _MM_HINT_T1);
    }
  }

  const std::int32_t* block_table_;
  int begin_, end_;
  int tile_, tiles_a_block_;
  int position_;  // of the next tile; a multiple of the tile
  int block_;     // its index in the block table
  int tile_in_block_;
  int num_heads_;
  int head_ = 0, next_head_ = 0;
  Strides k_, v_;
  int current_ = 0, next_ = 0;
  bool more_ = true;
  Chunk chunks_[2];
};

// Asks for `bytes` from p on, into the second-level cache: there are more requests on their way at once than to
// the first, which makes it half as fast again where memory is what is waited for (Zen 4).
template <int Bytes>
OCTET_INLINE void prefetch(const std::byte* p) {
  for (int i = 0; i < Bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T1);
}

template <class V>
OCTET_INLINE float scalar_exp(float x) {
  float lanes[V::width];
  exp(V::broadcast(x)).store(lanes);
  return lanes[0];
}

template <class V>
OCTET_INLINE void scale_row(float* row, float factor, int size) {
  for (int i = 0; i < size; i += V::width) (V::load(row + i) * V::broadcast(factor)).store(row + i);
}

// The scales of a chunk's slots as floats, where keys or values have their own.
struct SlotScales {
  alignas(64) float k[kChunk];
  alignas(64) float v[kChunk];
};

template <class V>
void load_scales(const Chunk& chunk, const std::byte* CacheTile::*which, float* scales) {
  for (int t = 0; t < chunk.num_tiles; ++t) {
    _mm_prefetch(reinterpret_cast<const char*>(chunk.ahead[t].*which), _MM_HINT_T0);
    for (int i = 0; i < chunk.tile; i += V::width)
      V::template load_raw<Dtype::bfloat16>(chunk.tiles[t].*which + 2 * i).store(scales + t * chunk.tile + i);
  }
}

// Query heads that one pass over a chunk takes at most.
inline constexpr int kHeadTile = 6;

// For one stored type and 1..kHeadTile heads: scores[h * kChunk + p] = q[h] · k[p] / factor, for every position
// of the chunk's tiles.
struct KeyProduct {
  void (*of_heads[kHeadTile])(const Chunk&, const float* q, int head_dim, float* scores);
  float factor;
};

// out[h] += sum over the chunk's positions of weights[h * kChunk + p] * v[p] / factor.
struct ValueProduct {
  void (*of_heads[kHeadTile])(const Chunk&, const float* weights, int head_dim, float* out);
  float factor;
  bool split;  // of every 16 dims, `out` holds those at even places first, then those at odd ones
};

template <class V, int Tile, Dtype D>
extern const KeyProduct kKeyProduct;
template <class V, Dtype D>
extern const ValueProduct kValueProduct;

}  // namespace
}  // namespace octet::kernels
