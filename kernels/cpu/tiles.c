/* Tiles of a product whose sums stay in registers, while rows of a and of b go by. */
#include "kernels/cpu/tiles.h"
#include "kernels/cpu/lanes.h"

#ifdef MT_HAS_TILES

#define INLINED static inline __attribute__((always_inline))

/* A tile: so many rows, and columns as so many registers have, leave some registers for a and b. */
enum { TILE_ROWS = 6, TILE_VECTORS = 4 };

/* Rows of b that go by before sums are put into c: in order, they stay in cache for each tile. */
enum { DEPTH = 256 };

/* a x + y, rounded once: a compiler that chose for each size of tiles whether to fuse them would
 * have sums depend on how rows are shared out. */
INLINED lanes multiply_add(real a, lanes x, lanes y)
{
#if MT_REAL == 64
    return _mm512_fmadd_pd(_mm512_set1_pd(a), x, y);
#else
    return _mm512_fmadd_ps(_mm512_set1_ps(a), x, y);
#endif
}

typedef struct panel {
    int64_t depth;    /* rows of b, */
    int columns;      /* and columns, which are */
    int vectors;      /* so many registers of them, zeros behind the last, */
    real *values;     /* row by row */
    real alpha, beta; /* c = alpha sums + beta c */
} panel;

INLINED void put(lanes sums, const panel *b, real *c)
{
    lanes result = b->alpha * sums;
    if (b->beta != (real)0.0) {
        result = multiply_add(b->beta, lanes_of(c), result);
    }
    memcpy(c, &result, sizeof result);
}

/* Of the lanes no more than there are columns. */
INLINED void put_part(lanes sums, size_t columns, const panel *b, real *c)
{
    real whole[LANES] = {(real)0.0};
    memcpy(whole, c, columns * sizeof *c);
    put(sums, b, whole);
    memcpy(c, whole, columns * sizeof *c);
}

INLINED void multiply_tile(const mt_product *of, const real *a, const panel *b, real *c, int rows,
                           int vectors)
{
    lanes sums[TILE_ROWS][TILE_VECTORS];
    for (int m = 0; m < rows; m++) {
        for (int n = 0; n < vectors; n++) {
            sums[m][n] = (lanes){(real)0.0};
        }
    }
    for (int64_t k = 0; k < b->depth; k++) {
        lanes factors[TILE_VECTORS];
        for (int n = 0; n < vectors; n++) {
            factors[n] = lanes_of(b->values + (k * vectors + n) * LANES);
        }
        for (int m = 0; m < rows; m++) {
            real factor = a[m * of->a_row + k * of->a_column];
            for (int n = 0; n < vectors; n++) {
                sums[m][n] = multiply_add(factor, factors[n], sums[m][n]);
            }
        }
    }
    for (int m = 0; m < rows; m++) {
        real *row = c + m * of->c_row;
        for (int n = 0; n < vectors - 1; n++) {
            put(sums[m][n], b, row + n * LANES);
        }
        const int last = (vectors - 1) * LANES;
        if (b->columns == vectors * LANES) {
            put(sums[m][vectors - 1], b, row + last);
        } else {
            put_part(sums[m][vectors - 1], (size_t)(b->columns - last), b, row + last);
        }
    }
}

/* Of each size a function of its own, whose registers are for its tile. */
typedef void tile_function(const mt_product *of, const real *a, const panel *b, real *c);

#define TILE(rows, vectors)                                                                        \
    static __attribute__((noinline)) void tile_##rows##_##vectors(                                 \
        const mt_product *of, const real *a, const panel *b, real *c)                              \
    {                                                                                              \
        multiply_tile(of, a, b, c, rows, vectors);                                                 \
    }
#define TILES(vectors)                                                                             \
    TILE(1, vectors)                                                                               \
    TILE(2, vectors)                                                                               \
    TILE(3, vectors)                                                                               \
    TILE(4, vectors)                                                                               \
    TILE(5, vectors)                                                                               \
    TILE(6, vectors)
#define NAMES(vectors)                                                                             \
    {                                                                                              \
        tile_1_##vectors, tile_2_##vectors, tile_3_##vectors, tile_4_##vectors, tile_5_##vectors,  \
            tile_6_##vectors                                                                       \
    }

TILES(1)
TILES(2)
TILES(3)
TILES(4)

static tile_function *const tiles[TILE_VECTORS][TILE_ROWS] = {NAMES(1), NAMES(2), NAMES(3),
                                                              NAMES(4)};

static void multiply_panel(const mt_product *of, const real *a, const panel *b, real *c)
{
    for (int64_t m = 0; m < of->M; m += TILE_ROWS) {
        int64_t rows = of->M - m < TILE_ROWS ? of->M - m : TILE_ROWS;
        tiles[b->vectors - 1][rows - 1](of, a + m * of->a_row, b, c + m * of->c_row);
    }
}

/* Rows of b as they lie. */
static void copy_rows(const mt_product *of, const real *b, panel *to)
{
    const int64_t width = (int64_t)to->vectors * LANES;
    for (int64_t k = 0; k < to->depth; k++) {
        memcpy(to->values + k * width, b + k * of->b_row, (size_t)to->columns * sizeof *b);
    }
}

/* Rows of b that are columns in memory: few of these at a time, which one set of the first cache
 * holds a line of each of, and line by line. */
static void turn_columns(const mt_product *of, const real *b, panel *to)
{
    enum { FEW = 8, LINE = 64 / sizeof(real) };
    const int64_t width = (int64_t)to->vectors * LANES;
    for (int64_t n = 0; n < to->columns; n += FEW) {
        int64_t end = to->columns - n < FEW ? to->columns : n + FEW;
        for (int64_t k = 0; k < to->depth; k += LINE) {
            int64_t last = to->depth - k < LINE ? to->depth : k + LINE;
            for (int64_t row = k; row < last; row++) {
                for (int64_t column = n; column < end; column++) {
                    to->values[row * width + column] = b[column * of->b_column + row];
                }
            }
        }
    }
}

static void fill_panel(const mt_product *of, const real *b, panel *to)
{
    const int64_t width = (int64_t)to->vectors * LANES;
    if (of->b_column == 1) {
        copy_rows(of, b, to);
    } else {
        turn_columns(of, b, to);
    }
    for (int64_t k = 0; k < to->depth && to->columns < width; k++) {
        for (int64_t n = to->columns; n < width; n++) {
            to->values[k * width + n] = (real)0.0;
        }
    }
}

/* How many vectors a panel takes of those that are left: panels are as wide as each other. */
static int64_t vectors_of_next(int64_t left)
{
    int64_t panels = (left + TILE_VECTORS - 1) / TILE_VECTORS;
    return (left + panels - 1) / panels;
}

void KERNEL(multiply_tiles)(const mt_product *of)
{
    real values[DEPTH * TILE_VECTORS * LANES];
    const real *a = of->a, *b = of->b;
    real *c = of->c;
    for (int64_t k = 0; k < of->K; k += DEPTH) {
        panel next = {.depth = of->K - k < DEPTH ? of->K - k : DEPTH,
                      .values = values,
                      .alpha = (real)of->alpha,
                      .beta = k == 0 ? (real)of->beta : (real)1.0};
        for (int64_t n = 0; n < of->N; n += next.columns) {
            int64_t left = of->N - n;
            next.vectors = (int)vectors_of_next((left + LANES - 1) / LANES);
            next.columns = next.vectors * LANES < left ? next.vectors * LANES : (int)left;
            fill_panel(of, b + k * of->b_row + n * of->b_column, &next);
            multiply_panel(of, a + k * of->a_column, &next, c + n);
        }
    }
}

#endif
