/* Matrix products by OpenBLAS. */
#include "kernels/cpu/kernels.h"

#include <cblas.h>
#include <inttypes.h>
#include <limits.h>

#if MT_REAL == 64
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

mt_status KERNEL(matmul)(mt_device *device, const mt_matmul_args *args)
{
    int64_t M = args->M, N = args->N, K = args->K;
    if (M > INT_MAX || N > INT_MAX || K > INT_MAX) {
        return mt_fail(MT_ERROR_INVALID,
                       "matmul: (%" PRId64 ", %" PRId64 ") by (%" PRId64 ", %" PRId64
                       "): a dimension exceeds %d",
                       M, K, K, N, INT_MAX);
    }
    if (M == 0 || N == 0) {
        return MT_OK;
    }
    if (K == 0) {
        return args->beta == 0.0 ? KERNEL(fill)(device, M * N, 0.0, args->c)
                                 : KERNEL(scale)(device, M * N, args->beta, args->c, args->c);
    }
    GEMM(CblasRowMajor, args->transpose_a ? CblasTrans : CblasNoTrans,
         args->transpose_b ? CblasTrans : CblasNoTrans, (blasint)M, (blasint)N, (blasint)K,
         (real)args->alpha, args->a, (blasint)(args->transpose_a ? M : K), args->b,
         (blasint)(args->transpose_b ? K : N), (real)args->beta, args->c, (blasint)N);
    return MT_OK;
}
