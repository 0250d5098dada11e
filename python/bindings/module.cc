#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <octet/kv_cache_options.h>
#include <octet/version.h>

#include "bindings.h"

NB_MODULE(_octet, m) {
  using namespace octet::python;
  m.doc() = "The C++ library behind the package octet; use that.";
  m.attr("__version__") = octet::version();
  m.attr("KV_CACHE_DTYPES") = nanobind::cast(octet::kv_cache_dtype_names());
  bind_errors(m);
  bind_options(m);
  bind_outputs(m);
  bind_engine(m);
  bind_arrays(m);
  bind_calibration(m);
  bind_evaluation(m);
  bind_checkpoint(m);
  bind_fp8(m);
}
