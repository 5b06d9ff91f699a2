#include "kernels/cpu/few_rows.h"

/* Rows of weights that are read side by side, and the numbers of each that are read before the next
 * row of x: these stay in cache for all of them. */
enum { SIDE_BY_SIDE = 4, PIECE = 1024 };

/* sums[i] += the products of K numbers of x with row i of W. */
static inline void add_four(const stored *restrict x, const stored *restrict w, int64_t stride,
                            int64_t K, real *sums)
{
    const stored *restrict w1 = w + stride, *restrict w2 = w1 + stride, *restrict w3 = w2 + stride;
    real s0 = (real)0.0, s1 = (real)0.0, s2 = (real)0.0, s3 = (real)0.0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (int64_t k = 0; k < K; k++) {
        real factor = value(x[k]);
        s0 += factor * value(w[k]);
        s1 += factor * value(w1[k]);
        s2 += factor * value(w2[k]);
        s3 += factor * value(w3[k]);
    }
    sums[0] += s0;
    sums[1] += s1;
    sums[2] += s2;
    sums[3] += s3;
}

static inline void add_one(const stored *restrict x, const stored *restrict w, int64_t K, real *sum)
{
    real s = (real)0.0;
#pragma omp simd reduction(+ : s)
    for (int64_t k = 0; k < K; k++) {
        s += value(x[k]) * value(w[k]);
    }
    *sum += s;
}

static void put(const mt_matmul_args *args, int64_t at, real sum)
{
    real result = (real)args->alpha * sum;
    real *wide = args->c;
    stored *narrow = args->c;
    if (args->wide) {
        wide[at] = args->beta != 0.0 ? result + (real)args->beta * wide[at] : result;
    } else {
        narrow[at] =
            rounded(args->beta != 0.0 ? result + (real)args->beta * value(narrow[at]) : result);
    }
}

/* Columns first .. first + count - 1 of the result. Which are computed together depends on N alone,
 * so no result depends on the number of threads. */
static void multiply_group(const mt_matmul_args *args, int64_t first, int count)
{
    int64_t K = args->K;
    const stored *x = args->a, *w = (const stored *)args->b + first * K;
    real sums[FEW_ROWS][SIDE_BY_SIDE] = {{(real)0.0}};
    for (int64_t k = 0; k < K; k += PIECE) {
        int64_t length = K - k < PIECE ? K - k : PIECE;
        for (int64_t m = 0; m < args->M; m++) {
            if (count == SIDE_BY_SIDE) {
                add_four(x + m * K + k, w + k, K, length, sums[m]);
            }
            for (int i = 0; i < count && count < SIDE_BY_SIDE; i++) {
                add_one(x + m * K + k, w + i * K + k, length, &sums[m][i]);
            }
        }
    }
    for (int64_t m = 0; m < args->M; m++) {
        for (int i = 0; i < count; i++) {
            put(args, m * args->N + first + i, sums[m][i]);
        }
    }
}

static void multiply_groups(const void *loop, int64_t first_group, int64_t end_group)
{
    const mt_matmul_args *args = loop;
    for (int64_t group = first_group; group < end_group; group++) {
        int64_t first = group * SIDE_BY_SIDE, rest = args->N - first;
        multiply_group(args, first, rest < SIDE_BY_SIDE ? (int)rest : SIDE_BY_SIDE);
    }
}

void KERNEL(multiply_few_rows)(const mt_matmul_args *args)
{
    mt_team_loop(args->N * args->K, (args->N + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE, multiply_groups,
                 args);
}
