#include <nanobind/stl/string.h>
#include <octet/error.h>

#include <exception>

#include "bindings.h"

namespace octet::python {

namespace nb = nanobind;

namespace {

const char* class_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "InvalidArgumentError";
    case ErrorCode::not_found:
      return "NotFoundError";
    case ErrorCode::invalid_file:
      return "InvalidFileError";
    case ErrorCode::unsupported:
      return "UnsupportedError";
    case ErrorCode::out_of_memory:
      return "OutOfMemoryError";
    case ErrorCode::io:
      return "IOFailedError";
    case ErrorCode::overloaded:
      return "OverloadedError";
    case ErrorCode::unavailable:
      return "UnavailableError";
    case ErrorCode::internal:
      return "InternalError";
  }
  return "InternalError";
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    const nb::object type = nb::module_::import_("octet.errors").attr(class_name(error.code()));
    const nb::object value = type(error.message(), error.context());
    PyErr_SetObject(type.ptr(), value.ptr());
  }
}

}  // namespace

void bind_errors(nb::module_&) { nb::register_exception_translator(translate); }

}  // namespace octet::python
