/* Matrix products: those with a short side in tiles (tiles.h), others by OpenBLAS, those of
 * bfloat16 by oneDNN. The threads are ours: those of a library would wait beside them on the same
 * cores. So each of our threads lets it compute a part alone. */
#include "kernels/cpu/blas.h"
#include "kernels/cpu/device.h"
#include "kernels/cpu/few_rows.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/tiles.h"

#include <cblas.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>

#if MT_REAL == 64
#define GEMM cblas_dgemm
#elif MT_REAL == 32
#define GEMM cblas_sgemm
#endif

/* Rows or columns of a part are a multiple of this: whole cache lines, and whole vectors, so that
 * a column of tiles is in the same place of a vector whoever computes it. */
enum { GRAIN = 32 };

/* Multiplications and additions below which a product is not worth two threads. */
static const double parallel_work = 1 << 19;

#ifdef GEMM
static void multiply_by_blas(const mt_product *of, bool transpose_a, bool transpose_b)
{
    GEMM(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
         transpose_b ? CblasTrans : CblasNoTrans, (blasint)of->M, (blasint)of->N, (blasint)of->K,
         (real)of->alpha, of->a, (blasint)(transpose_a ? of->a_column : of->a_row), of->b,
         (blasint)(transpose_b ? of->b_column : of->b_row), (real)of->beta, of->c,
         (blasint)of->c_row);
}
#endif

/* Of product number `index`: rows first_row .. + rows and columns first_column .. + columns. */
static mt_status multiply_part(const mt_matmul_args *args, int64_t index, int64_t first_row,
                               int64_t rows, int64_t first_column, int64_t columns)
{
    int64_t M = args->M, N = args->N, K = args->K;
    int64_t of_a = index * M * K + (args->transpose_a ? first_row : first_row * K);
    int64_t of_b = index * K * N + (args->transpose_b ? first_column * K : first_column);
    int64_t of_c = index * M * N + first_row * N + first_column;
    mt_product part = {.M = rows,
                       .N = columns,
                       .K = K,
                       .a = (const stored *)args->a + of_a,
                       .b = (const stored *)args->b + of_b,
                       .a_row = args->transpose_a ? 1 : K,
                       .a_column = args->transpose_a ? M : 1,
                       .b_row = args->transpose_b ? 1 : N,
                       .b_column = args->transpose_b ? K : 1,
                       .c_row = N,
                       .alpha = args->alpha,
                       .beta = args->beta,
                       .wide = args->wide};
    part.c = args->wide ? (void *)((real *)args->c + of_c) : (stored *)args->c + of_c;
#ifdef GEMM
    if (is_of_tiles(args)) {
        KERNEL(multiply_tiles)(&part);
    } else {
        multiply_by_blas(&part, args->transpose_a, args->transpose_b);
    }
    return MT_OK;
#else
    return mt_onednn_multiply(&part);
#endif
}

/* Products whose longer side is cut into parts, one for each thread; where they end does not depend
 * on who computes them. */
typedef struct parted_product {
    const mt_matmul_args *args;
    bool by_rows;
    int64_t side, width, parts;
    atomic_int *status; /* mt_status, not MT_OK where a part failed */
} parted_product;

static void multiply_parts(const void *loop, int64_t first_turn, int64_t end_turn)
{
    const parted_product *of = loop;
    int threads = mt_blas_alone();
    for (int64_t turn = first_turn; turn < end_turn; turn++) {
        int64_t index = turn / of->parts, first = turn % of->parts * of->width;
        int64_t rest = of->side - first, count = rest < of->width ? rest : of->width;
        mt_status status = of->by_rows
                               ? multiply_part(of->args, index, first, count, 0, of->args->N)
                               : multiply_part(of->args, index, 0, of->args->M, first, count);
        if (status != MT_OK) {
            atomic_store(of->status, (int)status);
        }
    }
    mt_blas_restore(threads);
}

static mt_status multiply(const mt_matmul_args *args, int64_t batch)
{
    atomic_int status = MT_OK;
    bool by_rows = args->M >= args->N;
    int64_t side = by_rows ? args->M : args->N, threads = mt_cpu_threads();
    if ((double)batch * (double)args->M * (double)args->N * (double)args->K < parallel_work) {
        threads = 1;
    }
    int64_t parts_of_one = batch < threads ? threads : 1;
    int64_t grains = (side + GRAIN - 1) / GRAIN;
    int64_t width = (grains + parts_of_one - 1) / parts_of_one * GRAIN;
    int64_t parts = (side + width - 1) / width, turns = batch * parts;
    parted_product loop = {args, by_rows, side, width, parts, &status};
    int workers = (int)(turns < threads ? turns : threads);
    mt_team_run(mt_blas_threads(workers), turns, multiply_parts, &loop);
    return status == MT_OK ? MT_OK
                           : mt_fail((mt_status)status, "cpu: a matrix product failed in oneDNN");
}

#ifndef GEMM

/* Without oneDNN the factors are widened, which loses nothing, and multiplied as float32. */
#define MULTIPLY_WIDE KERNEL_EXPAND(matmul, MT_ISA, f32)
mt_status MULTIPLY_WIDE(mt_device *device, const mt_matmul_args *args);

static mt_status multiply_widened(mt_device *device, const mt_matmul_args *args, int64_t batch)
{
    int64_t a = batch * args->M * args->K, b = batch * args->K * args->N,
            c = args->wide ? 0 : batch * args->M * args->N;
    real *memory;
    mt_status status =
        mt_cpu_workspace(device, (size_t)(a + b + c) * sizeof *memory, (void **)&memory);
    if (status != MT_OK) {
        return status;
    }
    mt_matmul_args wide = *args;
    wide.a = memory;
    wide.b = memory + a;
    wide.c = args->wide ? args->c : memory + a + b;
    KERNEL(widen)(device, a, args->a, memory);
    KERNEL(widen)(device, b, args->b, memory + a);
    if (c > 0 && args->beta != 0.0) {
        KERNEL(widen)(device, c, args->c, wide.c);
    }
    status = MULTIPLY_WIDE(device, &wide);
    return status == MT_OK && c > 0 ? KERNEL(narrow)(device, c, wide.c, args->c) : status;
}

/* Builds for lesser processors, which may be asked for, do without. */
static bool is_for_onednn(const mt_matmul_args *args)
{
#ifdef MT_MAY_USE_ONEDNN
    bool plain = args->alpha == 1.0 && (args->beta == 0.0 || args->beta == 1.0);
    return plain && args->K > 0 && mt_onednn_lacks() == NULL;
#else
    (void)args;
    return false;
#endif
}

#endif

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
    if (is_of_few_rows(args)) {
        KERNEL(multiply_few_rows)(args);
        return MT_OK;
    }
#ifndef GEMM
    if (!is_for_onednn(args)) {
        return multiply_widened(device, args, batch);
    }
#endif
    if (K == 0) {
        int64_t n = batch * M * N;
        return args->beta == 0.0 ? KERNEL(fill)(device, n, 0.0, args->c)
                                 : KERNEL(scale)(device, n, args->beta, args->c, args->c);
    }
    return multiply(args, batch);
}
