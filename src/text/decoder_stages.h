// The stages of which a Decoder is made.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "text/decoder.h"
#include "text/text_pattern.h"

namespace octet::text {

using DecoderStage = std::shared_ptr<const Decoder::Stage>;

// A space between tokens: what happens where a file has no decoder.
DecoderStage make_join_with_spaces();
// The byte-level alphabet back to bytes; all tokens become one.
DecoderStage make_byte_level();
// <0x0A> to bytes, a run of them at a time: text where the run is UTF-8, else one U+FFFD a byte.
DecoderStage make_byte_fallback();
// Every match in a token becomes `content`.
DecoderStage make_replace(TextPattern pattern, std::string content);
// `replacement` becomes a space, or in the first token, where `drops_first`, nothing.
DecoderStage make_metaspace(char32_t replacement, bool drops_first);
// All tokens become one.
DecoderStage make_fuse();
// Takes up to `start` and `stop` times `content` from the ends of every token.
DecoderStage make_strip(char32_t content, std::size_t start, std::size_t stop);
// `suffix`, which ends words, becomes a space, or in the last token nothing.
DecoderStage make_word_end(std::string suffix);

}  // namespace octet::text
