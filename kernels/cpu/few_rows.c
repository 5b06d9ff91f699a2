#include "kernels/cpu/few_rows.h"
#include "kernels/cpu/lanes.h"

#define INLINED static inline __attribute__((always_inline))

/* Rows of weights that are read side by side; the numbers of each that are read before the next
 * rows of x, so that they stay in cache for all of them; and the rows of x that do so for the
 * weights behind. Weights are asked for from memory AHEAD bytes or more before they are read: the
 * hardware looks ahead along a row, but rows of 8-bit integers end before it does. */
enum { SIDE_BY_SIDE = 8, PIECE = 1024, TILE = 64, AHEAD = 6 << 10, CACHE_LINE = 64 };

/* How weights are stored: as the table's type is, or more compactly. */
typedef enum weight_type { OWN, BF16, I8 } weight_type;

static const int64_t weight_bytes[] = {[OWN] = sizeof(stored), [BF16] = 2, [I8] = 1};

#ifdef MT_LANES_OF_I8
enum { READS_COMPACT = 1 };
#else
enum { READS_COMPACT = 0 }; /* but widens them first */
#endif

typedef struct rows_product {
    int64_t M, N, K;
    const stored *x;
    const char *weights;
    weight_type of;
    const float *scales; /* (N), or NULL: 1 */
    real alpha, beta;
    void *y;
    bool wide;
} rows_product;

/* Rows of weights, from some column on, or their values in cache. */
typedef struct weight_rows {
    const char *at;
    int64_t stride, ahead; /* bytes to the next row, and to what is wanted next */
    weight_type of;
} weight_rows;

/* ---- sums ---- */

INLINED lanes weights_at(const char *at, weight_type of)
{
#ifdef MT_LANES_OF_I8
    if (of == BF16) {
        return lanes_of_bf16((const mt_bf16 *)(const void *)at);
    }
    if (of == I8) {
        return lanes_of_i8((const int8_t *)at);
    }
#endif
    (void)of;
    return lanes_of((const stored *)(const void *)at);
}

/* Adds the products of `count` numbers of row m of x, whole lanes, with row n of the weights to
 * sums[m SIDE_BY_SIDE + n]. Each sum is the same whichever are made beside it. */
INLINED void add(const stored *x, int64_t K, int rows, weight_rows w, int columns, weight_type of,
                 int64_t count, real *sums)
{
    const int64_t size = weight_bytes[of];
    lanes parts[2][SIDE_BY_SIDE];
    for (int m = 0; m < rows; m++) {
        for (int n = 0; n < columns; n++) {
            parts[m][n] = (lanes){(real)0.0};
        }
    }
    for (int64_t k = 0; k < count; k += LANES) {
        const char *at = w.at + k * size;
        if (k * size % CACHE_LINE == 0) {
            for (int n = 0; n < columns; n++) {
                __builtin_prefetch(at + n * w.stride + w.ahead);
            }
        }
        for (int n = 0; n < columns; n++) {
            lanes weights = weights_at(at + n * w.stride, of);
            for (int m = 0; m < rows; m++) {
                parts[m][n] += lanes_of(x + m * K + k) * weights;
            }
        }
    }
    for (int m = 0; m < rows; m++) {
        for (int n = 0; n < columns; n++) {
            sums[m * SIDE_BY_SIDE + n] += lanes_sum(parts[m][n]);
        }
    }
}

/* The same for any number of rows and columns, where the compiler knows the type. Two rows of x go
 * with half of the columns, whose sums fill the registers of most processors. */
INLINED void add_of(const stored *x, int64_t K, int64_t rows, weight_rows w, int columns,
                    weight_type of, int64_t count, real *sums)
{
    enum { HALF = SIDE_BY_SIDE / 2 };
    bool whole = columns == SIDE_BY_SIDE;
    int64_t m = 0;
    weight_rows other = w;
    other.at += HALF * w.stride;
    for (; whole && m + 2 <= rows; m += 2) {
        add(x + m * K, K, 2, w, HALF, of, count, sums + m * SIDE_BY_SIDE);
        add(x + m * K, K, 2, other, HALF, of, count, sums + m * SIDE_BY_SIDE + HALF);
    }
    for (; m < rows; m++) {
        if (whole) {
            add(x + m * K, K, 1, w, SIDE_BY_SIDE, of, count, sums + m * SIDE_BY_SIDE);
        }
        for (int n = 0; !whole && n < columns; n++) {
            weight_rows row = w;
            row.at += n * w.stride;
            add(x + m * K, K, 1, row, 1, of, count, sums + m * SIDE_BY_SIDE + n);
        }
    }
}

static real weight_at(const char *at, weight_type of)
{
    mt_bf16 half;
    stored own;
    if (of == I8) {
        return (real) * (const int8_t *)at;
    }
    if (of == BF16) {
        memcpy(&half, at, sizeof half);
        return (real)mt_bf16_value(half);
    }
    memcpy(&own, at, sizeof own);
    return value(own);
}

/* The numbers first .. count - 1, which are no whole lanes: zeros fill these up. */
static void add_rest(const stored *x, int64_t K, int64_t rows, const weight_rows *w, int columns,
                     int64_t first, int64_t count, real *sums)
{
    stored factors[LANES] = {rounded((real)0.0)}, weights[LANES] = {rounded((real)0.0)};
    for (int n = 0; n < columns && first < count; n++) {
        for (int64_t k = first; k < count; k++) {
            const char *at = w->at + n * w->stride + k * weight_bytes[w->of];
            weights[k - first] = rounded(weight_at(at, w->of));
        }
        for (int64_t m = 0; m < rows; m++) {
            memcpy(factors, x + m * K + first, (size_t)(count - first) * sizeof *factors);
            sums[m * SIDE_BY_SIDE + n] += lanes_sum(lanes_of(factors) * lanes_of(weights));
        }
    }
}

static void add_any(const stored *x, int64_t K, int64_t rows, weight_rows w, int columns,
                    int64_t count, real *sums)
{
    const int64_t whole = count - count % LANES;
    if (READS_COMPACT && w.of == I8) {
        add_of(x, K, rows, w, columns, I8, whole, sums);
    } else if (READS_COMPACT && w.of == BF16) {
        add_of(x, K, rows, w, columns, BF16, whole, sums);
    } else {
        add_of(x, K, rows, w, columns, OWN, whole, sums);
    }
    add_rest(x, K, rows, &w, columns, whole, count, sums);
}

/* ---- weights that are used often, as the table's type, which loses nothing ---- */

static void widen(const weight_rows *w, int columns, int64_t count, stored (*wide)[PIECE])
{
    for (int n = 0; n < columns; n++) {
        const char *at = w->at + n * w->stride;
        stored *row = wide[n];
        for (int64_t byte = 0; byte < count * weight_bytes[w->of]; byte += CACHE_LINE) {
            __builtin_prefetch(at + byte + w->ahead);
        }
        if (w->of == I8) {
            const int8_t *integers = (const int8_t *)at;
#pragma omp simd
            for (int64_t k = 0; k < count; k++) {
                row[k] = rounded((real)integers[k]);
            }
        } else {
            const mt_bf16 *halves = (const mt_bf16 *)(const void *)at;
#pragma omp simd
            for (int64_t k = 0; k < count; k++) {
                row[k] = rounded((real)mt_bf16_value(halves[k]));
            }
        }
    }
}

static void put(const rows_product *of, int64_t m, int64_t n, real sum)
{
    int64_t at = m * of->N + n;
    real scale = of->scales != NULL ? (real)of->scales[n] : (real)1.0;
    real result = of->alpha * scale * sum;
    real *wide = of->y;
    stored *narrow = of->y;
    if (of->wide) {
        wide[at] = of->beta != (real)0.0 ? result + of->beta * wide[at] : result;
    } else {
        narrow[at] =
            rounded(of->beta != (real)0.0 ? result + of->beta * value(narrow[at]) : result);
    }
}

/* Some columns of some rows of the result. Which are computed together depends on M and N alone, so
 * no result depends on the number of threads. */
static void multiply_group(const rows_product *of, int64_t first_row, int64_t rows, int64_t first,
                           int columns)
{
    const int64_t K = of->K, size = weight_bytes[of->of], group = SIDE_BY_SIDE * K * size;
    const bool widens = of->of != OWN && (rows > FEW_ROWS || !READS_COMPACT);
    real sums[TILE * SIDE_BY_SIDE];
    stored wide[SIDE_BY_SIDE][PIECE];
    memset(sums, 0, (size_t)rows * SIDE_BY_SIDE * sizeof *sums);
    for (int64_t k = 0; k < K; k += PIECE) {
        int64_t count = K - k < PIECE ? K - k : PIECE;
        weight_rows w = {.at = of->weights + (first * K + k) * size,
                         .stride = K * size,
                         .ahead = (AHEAD + group - 1) / group * group,
                         .of = of->of};
        if (widens) {
            widen(&w, columns, count, wide);
            w = (weight_rows){.at = (const char *)wide, .stride = sizeof *wide, .of = OWN};
        }
        add_any(of->x + first_row * K + k, K, rows, w, columns, count, sums);
    }
    for (int64_t m = 0; m < rows; m++) {
        for (int n = 0; n < columns; n++) {
            put(of, first_row + m, first + n, sums[m * SIDE_BY_SIDE + n]);
        }
    }
}

static void multiply_groups(const void *loop, int64_t first_group, int64_t end_group)
{
    const rows_product *of = loop;
    for (int64_t row = 0; row < of->M; row += TILE) {
        int64_t rows = of->M - row < TILE ? of->M - row : TILE;
        for (int64_t group = first_group; group < end_group; group++) {
            int64_t first = group * SIDE_BY_SIDE, rest = of->N - first;
            multiply_group(of, row, rows, first, rest < SIDE_BY_SIDE ? (int)rest : SIDE_BY_SIDE);
        }
    }
}

static void multiply_rows(const rows_product *of)
{
    mt_team_loop(of->N * of->K, (of->N + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE, multiply_groups, of);
}

void KERNEL(multiply_few_rows)(const mt_matmul_args *args)
{
    rows_product of = {.M = args->M,
                       .N = args->N,
                       .K = args->K,
                       .x = args->a,
                       .weights = args->b,
                       .of = OWN,
                       .alpha = (real)args->alpha,
                       .beta = (real)args->beta,
                       .y = args->c,
                       .wide = args->wide};
    multiply_rows(&of);
}

mt_status KERNEL(matmul_compact)(mt_device *device, const mt_matmul_compact_args *args)
{
    bool integers = args->type == MT_I8;
    weight_type halves = MT_REAL == 16 ? OWN : BF16;
    (void)device;
    rows_product of = {.M = args->M,
                       .N = args->N,
                       .K = args->K,
                       .x = args->x,
                       .weights = args->weights,
                       .of = integers ? I8 : halves,
                       .scales = integers ? args->scales : NULL,
                       .alpha = (real)1.0,
                       .beta = (real)args->beta,
                       .y = args->y};
    multiply_rows(&of);
    return MT_OK;
}
