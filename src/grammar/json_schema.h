// Which JSON schemas can be enforced: those of keywords that the grammar of a schema takes into account.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace octet::grammar {

// The limits of one schema: what its grammar takes to make stays within seconds.
inline constexpr std::size_t kMostSchemaBytes = 64 * 1024;
inline constexpr int kMostSchemaDepth = 32;
inline constexpr int kMostSubschemas = 1000;
inline constexpr int kMostPatternSize = 1024;   // of all patterns: grammar/regex_size.h
inline constexpr int kMostRepetitions = 10000;  // minLength, maxLength, minItems, maxItems

struct SchemaPattern {
  std::string path;
  std::string pattern;
};

// The patterns of the schema. Throws Error{invalid_argument} with the path of what is wrong, such as
// "json.properties.age.minimum" where `field` is "json": no JSON, a wrong type, a limit above, and every
// keyword that would restrict the answer but is not enforced, alone or beside another one. Annotations (title,
// description, default, …) may stand anywhere. Source: JSON Schema 2020-12; what xgrammar 0.2.8 makes of it.
std::vector<SchemaPattern> check_json_schema(std::string_view schema, const std::string& field);

}  // namespace octet::grammar
