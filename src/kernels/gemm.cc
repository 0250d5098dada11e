#include "kernels/gemm.h"

#include <dnnl.h>

// The OpenMP runtime's own two calls. <omp.h> comes with each compiler, and clang's is one more package.
extern "C" int omp_get_max_threads(void);
extern "C" void omp_set_num_threads(int);

namespace octet::kernels {

namespace {

// Debian's oneDNN runs on OpenMP, which would start a team of one thread a core for every calling thread.
// The count belongs to the calling thread, which may be our user's, so it is given back afterwards.
class OneOpenMpThread {
 public:
  OneOpenMpThread() noexcept : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneOpenMpThread() { omp_set_num_threads(before_); }
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;

 private:
  int before_;
};

}  // namespace

bool sgemm_nt(int rows_a, int rows_b, int depth, const float* a, std::int64_t a_stride, const float* b,
              std::int64_t b_stride, float* c, std::int64_t c_stride) noexcept {
  if (rows_a == 0 || rows_b == 0) return true;  // oneDNN calls that an error
  const OneOpenMpThread one;
  return dnnl_sgemm('N', 'T', rows_a, rows_b, depth, 1.0f, a, a_stride, b, b_stride, 0.0f, c, c_stride) ==
         dnnl_success;
}

}  // namespace octet::kernels
