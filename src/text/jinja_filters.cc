#include "text/jinja_filters.h"

namespace octet::text::jinja {

FilterFunction find_filter(std::string_view name) {
  for (const auto find : {find_text_filter, find_sequence_filter, find_selecting_filter, find_number_filter}) {
    if (const FilterFunction function = find(name)) return function;
  }
  return nullptr;
}

}  // namespace octet::text::jinja
