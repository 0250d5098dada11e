#include "text/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <optional>
#include <utility>

#include "base/error.h"
#include "text/token_model.h"
#include "text/utf8.h"

namespace octet::text {
namespace {

enum class WireType : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

// One field of a protobuf message: a varint, the bits of a number of fixed length, or bytes.
struct Field {
  std::uint64_t number = 0;
  WireType type = WireType::varint;
  std::uint64_t value = 0;
  std::string_view bytes;
};

class MessageReader {
 public:
  // `offset` is the message's place in the file, for errors.
  MessageReader(std::string_view message, std::size_t offset, const std::string& file)
      : message_(message), offset_(offset), file_(file) {}

  std::optional<Field> next() {
    if (position_ == message_.size()) return std::nullopt;
    const std::uint64_t key = varint();
    Field field;
    field.number = key >> 3;
    field.type = static_cast<WireType>(key & 7);
    switch (field.type) {
      case WireType::varint:
        field.value = varint();
        break;
      case WireType::fixed64:
        field.value = fixed(8);
        break;
      case WireType::bytes:
        field.bytes = take(varint());
        break;
      case WireType::fixed32:
        field.value = fixed(4);
        break;
      default:
        fail("wire type " + std::to_string(key & 7) + " is not one of protobuf's in use");
    }
    return field;
  }

  MessageReader inside(const Field& field) const {
    const std::string_view bytes = expect(field, WireType::bytes, "a message").bytes;
    return {bytes, offset_ + static_cast<std::size_t>(bytes.data() - message_.data()), file_};
  }
  std::string_view text(const Field& field) const { return expect(field, WireType::bytes, "bytes").bytes; }
  std::uint64_t integer(const Field& field) const {
    return expect(field, WireType::varint, "an integer").value;
  }
  float float32(const Field& field) const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(expect(field, WireType::fixed32, "a float").value));
  }

  [[noreturn]] void fail(const std::string& message) const {
    throw Error(ErrorCode::invalid_file,
                "not a SentencePiece model: at byte " + std::to_string(offset_ + position_) + ": " + message,
                file_);
  }

 private:
  const Field& expect(const Field& field, WireType type, const char* what) const {
    if (field.type == type) return field;
    fail("field " + std::to_string(field.number) + " has the wire type " +
         std::to_string(static_cast<int>(field.type)) + ", expected " + what);
  }

  std::string_view take(std::uint64_t count) {
    if (count > message_.size() - position_) fail("cut off");
    const std::string_view bytes = message_.substr(position_, static_cast<std::size_t>(count));
    position_ += bytes.size();
    return bytes;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number of more than 64 bits");
  }

  std::uint64_t fixed(std::size_t count) {
    std::uint64_t value = 0;
    unsigned shift = 0;
    for (const char byte : take(count)) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(byte)) << shift;
      shift += 8;
    }
    return value;
  }

  std::string_view message_;
  std::size_t offset_;
  const std::string& file_;
  std::size_t position_ = 0;
};

void read_piece(MessageReader reader, ScoredPieces& pieces) {
  std::string token;
  float score = 0;
  std::uint64_t type = 1;
  while (const auto field = reader.next()) {
    if (field->number == 1) token = reader.text(*field);
    if (field->number == 2) score = reader.float32(*field);
    if (field->number == 3) type = reader.integer(*field);
  }
  const std::string name = "piece " + std::to_string(pieces.tokens.size());
  if (pieces.tokens.size() > static_cast<std::size_t>(kMaxTokenId)) reader.fail("too many pieces");
  if (find_invalid_utf8(token)) reader.fail(name + " is not valid UTF-8");
  if (!std::isfinite(score)) reader.fail("the score of " + name + " is not a finite number");
  if (type < 1 || type > 6) {
    reader.fail(name + " has the type " + std::to_string(type) + ", expected one from 1 to 6");
  }
  pieces.tokens.push_back(std::move(token));
  pieces.scores.push_back(score);
  pieces.types.push_back(static_cast<PieceType>(type));
}

SentencePieceModel::Kind read_kind(const MessageReader& reader, std::uint64_t kind) {
  if (kind < 1 || kind > 4) reader.fail("model_type " + std::to_string(kind) + ", expected one from 1 to 4");
  return static_cast<SentencePieceModel::Kind>(kind);
}

void read_trainer(MessageReader reader, SentencePieceModel& model) {
  while (const auto field = reader.next()) {
    switch (field->number) {
      case 3:
        model.kind = read_kind(reader, reader.integer(*field));
        break;
      case 24:
        model.whitespace_as_suffix = reader.integer(*field) != 0;
        break;
      case 35:
        model.byte_fallback = reader.integer(*field) != 0;
        break;
      case 41:
        model.bos_id = static_cast<std::int32_t>(reader.integer(*field));
        break;
      case 42:
        model.eos_id = static_cast<std::int32_t>(reader.integer(*field));
        break;
      default:
        break;
    }
  }
}

void read_normalizer(MessageReader reader, SentencePieceModel& model) {
  while (const auto field = reader.next()) {
    if (field->number == 2) model.charsmap = reader.text(*field);
    if (field->number == 3) model.add_dummy_prefix = reader.integer(*field) != 0;
    if (field->number == 4) model.remove_extra_whitespaces = reader.integer(*field) != 0;
    if (field->number == 5) model.escape_whitespaces = reader.integer(*field) != 0;
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& file) {
  SentencePieceModel model;
  MessageReader reader(bytes, 0, file);
  while (const auto field = reader.next()) {
    if (field->number == 1) read_piece(reader.inside(*field), model.pieces);
    if (field->number == 2) read_trainer(reader.inside(*field), model);
    if (field->number == 3) read_normalizer(reader.inside(*field), model);
  }
  if (model.pieces.tokens.empty()) reader.fail("it has no pieces");
  const auto count = static_cast<std::int32_t>(model.pieces.tokens.size());
  for (const auto& [name, id] : {std::pair("bos_id", model.bos_id), std::pair("eos_id", model.eos_id)}) {
    if (id < -1 || id >= count) {
      throw Error(ErrorCode::invalid_file,
                  std::string(name) + " is " + std::to_string(id) + ", but there are " + std::to_string(count) +
                      " pieces",
                  file);
    }
  }
  return model;
}

}  // namespace octet::text
