/* Matrix products: those with a short side in tiles (tiles.h), others by OpenBLAS, those of
 * bfloat16 by oneDNN. The threads are ours: those of a library would wait beside them on the same
 * cores. So each of our threads lets it compute a part alone. */
#include "kernels/cpu/blas.h"
#include "kernels/cpu/device.h"
#include "kernels/cpu/few_rows.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/tiles.h"
#include "kernels/matmul_steps.h"

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

/* An element of c, which may be wide. */
static void *result_at(const mt_matmul_args *args, int64_t at)
{
    return args->wide ? (void *)((real *)args->c + at) : (stored *)args->c + at;
}

/* Of product number `index`: rows first_row .. + rows and columns first_column .. + columns. */
typedef struct product_part {
    int64_t index, first_row, rows, first_column, columns;
} product_part;

/* Lets rows of c begin as the bias. They are often short: a call of memcpy for each would be a good
 * part of the work. */
static void put_bias(const mt_matmul_args *args, const product_part *part)
{
    const int64_t columns = part->columns;
    const real *restrict from =
        (const real *)args->bias + part->index * args->bias_step + part->first_column;
    for (int64_t row = part->first_row; row < part->first_row + part->rows; row++) {
        void *to = result_at(args, part->index * args->c_step + row * args->N + part->first_column);
        real *restrict wide = to;
        stored *restrict narrow = to;
        if (args->wide) {
#pragma omp simd
            for (int64_t n = 0; n < columns; n++) {
                wide[n] = from[n];
            }
        } else {
#pragma omp simd
            for (int64_t n = 0; n < columns; n++) {
                narrow[n] = rounded(from[n]);
            }
        }
    }
}

static void put_bias_of(const void *loop, int64_t first_row, int64_t end_row)
{
    const mt_matmul_args *args = loop;
    for (int64_t row = first_row; row < end_row; row++) {
        put_bias(args, &(product_part){row / args->M, row % args->M, 1, 0, args->N});
    }
}

/* The same for all rows, for products that are not made part by part. */
static void put_biases(mt_matmul_args *args)
{
    int64_t rows = args->batch * args->M;
    if (args->bias != NULL) {
        mt_team_loop(rows * args->N, rows, put_bias_of, args);
        args->bias = NULL;
    }
}

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

static mt_status multiply_part(const mt_matmul_args *args, const product_part *part)
{
    int64_t M = args->M, N = args->N, K = args->K, row = part->first_row,
            column = part->first_column;
    int64_t of_a = part->index * args->a_step + (args->transpose_a ? row : row * K);
    int64_t of_b = part->index * args->b_step + (args->transpose_b ? column * K : column);
    mt_product product = {.M = part->rows,
                          .N = part->columns,
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
                          .c = result_at(args, part->index * args->c_step + row * N + column),
                          .wide = args->wide};
    if (args->bias != NULL) {
        put_bias(args, part);
    }
#ifdef GEMM
    if (is_of_tiles(args)) {
        KERNEL(multiply_tiles)(&product);
    } else {
        multiply_by_blas(&product, args->transpose_a, args->transpose_b);
    }
    return MT_OK;
#else
    return mt_onednn_multiply(&product);
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
        product_part rows = {index, first, count, 0, of->args->N},
                     columns = {index, 0, of->args->M, first, count};
        mt_status status = multiply_part(of->args, of->by_rows ? &rows : &columns);
        if (status != MT_OK) {
            atomic_store(of->status, (int)status);
        }
    }
    mt_blas_restore(threads);
}

static mt_status multiply(const mt_matmul_args *args)
{
    atomic_int status = MT_OK;
    bool by_rows = args->M >= args->N;
    int64_t batch = args->batch, side = by_rows ? args->M : args->N, threads = mt_cpu_threads();
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

/* Matrices of n numbers, widened, which lie without gaps then. */
static void widen_matrices(mt_device *device, int64_t batch, int64_t n, const void *from,
                           int64_t step, real *to)
{
    for (int64_t i = 0; i < batch; i++) {
        KERNEL(widen)(device, n, (const stored *)from + i * step, to + i * n);
    }
}

static mt_status multiply_widened(mt_device *device, mt_matmul_args *args)
{
    int64_t batch = args->batch, a = args->M * args->K, b = args->K * args->N,
            c = args->wide ? 0 : args->M * args->N;
    real *memory;
    mt_status status = mt_cpu_workspace(device, (size_t)mt_matmul_widened(args) * sizeof *memory,
                                        (void **)&memory);
    if (status != MT_OK) {
        return status;
    }
    put_biases(args); /* rounded, as what the product is added to is */
    mt_matmul_args wide = *args;
    real *wide_c = memory + batch * (a + b);
    wide.a = memory;
    wide.b = memory + batch * a;
    wide.a_step = wide.b_step = 0;
    widen_matrices(device, batch, a, args->a, args->a_step, memory);
    widen_matrices(device, batch, b, args->b, args->b_step, memory + batch * a);
    if (c > 0) {
        wide.c = wide_c;
        wide.c_step = 0;
    }
    if (c > 0 && args->beta != 0.0) {
        widen_matrices(device, batch, c, args->c, args->c_step, wide_c);
    }
    status = MULTIPLY_WIDE(device, &wide);
    for (int64_t i = 0; i < batch && c > 0 && status == MT_OK; i++) {
        status = KERNEL(narrow)(device, c, wide_c + i * c, result_at(args, i * args->c_step));
    }
    return status;
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

/* Sums of nothing. */
static mt_status scale_results(mt_device *device, const mt_matmul_args *args)
{
    int64_t n = args->M * args->N;
    mt_status status = MT_OK;
    for (int64_t i = 0; i < args->batch && status == MT_OK; i++) {
        void *c = result_at(args, i * args->c_step);
        status = args->beta == 0.0 ? KERNEL(fill)(device, n, 0.0, c)
                                   : KERNEL(scale)(device, n, args->beta, c, c);
    }
    return status;
}

mt_status KERNEL(matmul)(mt_device *device, const mt_matmul_args *given)
{
    mt_matmul_args args = mt_matmul_spelled_out(given);
    int64_t M = args.M, N = args.N, K = args.K;
    if (M > INT_MAX || N > INT_MAX || K > INT_MAX) {
        return mt_fail(MT_ERROR_INVALID,
                       "matmul: (%" PRId64 ", %" PRId64 ") by (%" PRId64 ", %" PRId64
                       "): a dimension exceeds %d",
                       M, K, K, N, INT_MAX);
    }
    if (M == 0 || N == 0) {
        return MT_OK;
    }
    if (is_of_few_rows(&args)) {
        put_biases(&args);
        KERNEL(multiply_few_rows)(&args);
        return MT_OK;
    }
#ifndef GEMM
    if (!is_for_onednn(&args)) {
        return multiply_widened(device, &args);
    }
#endif
    if (K == 0) {
        put_biases(&args);
        return scale_results(device, &args);
    }
    return multiply(&args);
}
