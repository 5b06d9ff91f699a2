/* Matrix products by OpenBLAS. The threads are ours: those of OpenBLAS would wait beside them on
 * the same cores. So each of our threads lets it compute a part alone. */
#include "kernels/cpu/blas.h"
#include "kernels/cpu/kernels.h"

#include <cblas.h>
#include <inttypes.h>
#include <limits.h>

#if MT_REAL == 64
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

/* Rows or columns of a part are a multiple of this: whole vectors and cache lines. */
enum { GRAIN = 32 };

/* Multiplications and additions below which a product is not worth two threads. */
static const double parallel_work = 1 << 19;

/* Of product number `index`: rows first_row .. + rows and columns first_column .. + columns. */
static void multiply_part(const mt_matmul_args *args, int64_t index, int64_t first_row,
                          int64_t rows, int64_t first_column, int64_t columns)
{
    int64_t M = args->M, N = args->N, K = args->K;
    const real *a =
        (const real *)args->a + index * M * K + (args->transpose_a ? first_row : first_row * K);
    const real *b = (const real *)args->b + index * K * N +
                    (args->transpose_b ? first_column * K : first_column);
    real *c = (real *)args->c + index * M * N + first_row * N + first_column;
    GEMM(CblasRowMajor, args->transpose_a ? CblasTrans : CblasNoTrans,
         args->transpose_b ? CblasTrans : CblasNoTrans, (blasint)rows, (blasint)columns, (blasint)K,
         (real)args->alpha, a, (blasint)(args->transpose_a ? M : K), b,
         (blasint)(args->transpose_b ? K : N), (real)args->beta, c, (blasint)N);
}

/* Products whose longer side is cut into parts, one for each thread; where they end does not depend
 * on who computes them. */
typedef struct parted_product {
    const mt_matmul_args *args;
    bool by_rows;
    int64_t side, width, parts;
} parted_product;

static void multiply_parts(const void *loop, int64_t first_turn, int64_t end_turn)
{
    const parted_product *of = loop;
    int threads = mt_blas_alone();
    for (int64_t turn = first_turn; turn < end_turn; turn++) {
        int64_t index = turn / of->parts, first = turn % of->parts * of->width;
        int64_t rest = of->side - first, count = rest < of->width ? rest : of->width;
        if (of->by_rows) {
            multiply_part(of->args, index, first, count, 0, of->args->N);
        } else {
            multiply_part(of->args, index, 0, of->args->M, first, count);
        }
    }
    mt_blas_restore(threads);
}

static void multiply(const mt_matmul_args *args, int64_t batch)
{
    bool by_rows = args->M >= args->N;
    int64_t side = by_rows ? args->M : args->N, threads = mt_cpu_threads();
    if ((double)batch * (double)args->M * (double)args->N * (double)args->K < parallel_work) {
        threads = 1;
    }
    int64_t parts_of_one = batch < threads ? threads : 1;
    int64_t grains = (side + GRAIN - 1) / GRAIN;
    int64_t width = (grains + parts_of_one - 1) / parts_of_one * GRAIN;
    int64_t parts = (side + width - 1) / width, turns = batch * parts;
    parted_product loop = {args, by_rows, side, width, parts};
    int workers = (int)(turns < threads ? turns : threads);
    mt_team_run(mt_blas_threads(workers), turns, multiply_parts, &loop);
}

mt_status KERNEL(matmul)(mt_device *device, const mt_matmul_args *args)
{
    int64_t batch = args->batch > 0 ? args->batch : 1, M = args->M, N = args->N, K = args->K;
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
        int64_t n = batch * M * N;
        return args->beta == 0.0 ? KERNEL(fill)(device, n, 0.0, args->c)
                                 : KERNEL(scale)(device, n, args->beta, args->c, args->c);
    }
    multiply(args, batch);
    return MT_OK;
}
