/* Matrix products by OpenBLAS. The threads are ours: OpenBLAS comes in builds with threads of their
 * own, which wait beside OpenMP's on the same cores, and in builds on OpenMP, which take all of its
 * threads when they are called outside of a parallel region. So each of our threads lets it compute
 * a part alone. */
#include "kernels/cpu/kernels.h"

#include <cblas.h>
#include <inttypes.h>
#include <limits.h>
#include <omp.h>

#if MT_REAL == 64
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

/* Rows or columns of a part are a multiple of this: whole vectors and cache lines. */
enum { GRAIN = 32 };

/* Multiplications and additions below which a product is not worth two threads. */
static const double parallel_work = 1 << 19;

/* Rows first_row .. + rows and columns first_column .. + columns of the product. */
static void multiply_part(const mt_matmul_args *args, int64_t first_row, int64_t rows,
                          int64_t first_column, int64_t columns)
{
    int64_t M = args->M, N = args->N, K = args->K;
    const real *a = (const real *)args->a + (args->transpose_a ? first_row : first_row * K);
    const real *b = (const real *)args->b + (args->transpose_b ? first_column * K : first_column);
    real *c = (real *)args->c + first_row * N + first_column;
    GEMM(CblasRowMajor, args->transpose_a ? CblasTrans : CblasNoTrans,
         args->transpose_b ? CblasTrans : CblasNoTrans, (blasint)rows, (blasint)columns, (blasint)K,
         (real)args->alpha, a, (blasint)(args->transpose_a ? M : K), b,
         (blasint)(args->transpose_b ? K : N), (real)args->beta, c, (blasint)N);
}

/* The longer side of the product in equal parts, one for each thread. */
static void multiply(const mt_matmul_args *args)
{
    bool by_rows = args->M >= args->N;
    int64_t side = by_rows ? args->M : args->N, threads = mt_cpu_threads();
    if ((double)args->M * (double)args->N * (double)args->K < parallel_work) {
        threads = 1;
    }
    int64_t grains = (side + GRAIN - 1) / GRAIN;
    int64_t width = (grains + threads - 1) / threads * GRAIN;
    int64_t parts = (side + width - 1) / width;
    int available = omp_get_max_threads();
    omp_set_num_threads(1); /* for a part on this thread alone */
#pragma omp parallel for schedule(static) num_threads((int)parts)
    for (int64_t part = 0; part < parts; part++) {
        int64_t first = part * width;
        int64_t count = side - first < width ? side - first : width;
        if (by_rows) {
            multiply_part(args, first, count, 0, args->N);
        } else {
            multiply_part(args, 0, args->M, first, count);
        }
    }
    omp_set_num_threads(available);
}

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
    multiply(args);
    return MT_OK;
}
