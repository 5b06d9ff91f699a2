/* Orthogonal matrices, drawn uniformly (Haar).
 *
 * What PyTorch's orthogonal_ finds by the QR factorisation of a Gaussian matrix is drawn without
 * one (Stewart 1980, "The efficient generation of random orthogonal matrices"): the reflections
 * that would factorise such a matrix are made of Gaussian vectors of their own, and their product
 * is the answer. Column j is H[0] ... H[j - 1] x[j] / |x[j]| = H[0] ... H[j] s e[j], where x[j] is
 * Gaussian from element j on and zero before, e[j] the unit vector, s minus the sign of x[j][j],
 * and
 *
 *     H[j] = I - tau v v^T,    v = x[j] - s |x[j]| e[j],    tau = 2 / |v|^2
 *
 * The vectors lie where the columns come to be. Reflections are applied in panels of many at once,
 * H[a] ... H[b - 1] = I - V T V^T with V their vectors and T upper triangular (Schreiber and Van
 * Loan 1989), so that the work is products of matrices: half of what a factorisation takes. Each
 * sum has an order of its own, and nothing is fused: neither threads nor the processor change what
 * comes out. */
#include "layers/layer.h"

#include "kernels/cpu/team.h"

#include <math.h>
#include <string.h>

/* Reflections of a panel; columns, and elements of them, that are at work at once; and results of a
 * product in registers. */
enum { PANEL = 32, PIECE = 64, TILE = 4 };

/* A few elements of a few columns: piece[element][column], or what is multiplied with one. */
typedef double piece[PIECE];

/* `count` columns of `length` elements each, in a matrix that has them as rows or as columns. */
typedef struct columns {
    double *values;
    int64_t count, length;
    int64_t step, stride; /* from element to element, and from column to column */
    double gain;
} columns;

typedef struct panel {
    const columns *of;
    int64_t first, count; /* its reflections, whose vectors are zero before element `first` */
    double t[PANEL][PANEL];
} panel;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static double *element(const columns *of, int64_t column, int64_t i)
{
    return of->values + column * of->stride + i * of->step;
}

/* Elements from `from` on of columns from `first` on; zero where there are none. */
static void gather(const columns *of, int64_t first, int64_t count, int64_t from, piece into[PIECE])
{
    int64_t elements = least(PIECE, of->length - from);
    memset(into, 0, PIECE * sizeof *into);
    for (int64_t i = 0; i < elements; i++) {
        for (int64_t c = 0; c < count; c++) {
            into[i][c] = *element(of, first + c, from + i);
        }
    }
}

static void scatter(const columns *of, int64_t first, int64_t count, int64_t from,
                    piece piece_of[PIECE])
{
    int64_t elements = least(PIECE, of->length - from);
    for (int64_t i = 0; i < elements; i++) {
        for (int64_t c = 0; c < count; c++) {
            *element(of, first + c, from + i) = piece_of[i][c];
        }
    }
}

/* c[m][n] += sum over k of a[k][m] b[k][n], for m < rows, n < width and k < steps in order; rows
 * and width are multiples of TILE. */
static void add_product(int rows, int width, int steps, piece *a, piece *b, piece *c)
{
    for (int m = 0; m < rows; m += TILE) {
        for (int n = 0; n < width; n += TILE) {
            double sum[TILE][TILE];
            for (int i = 0; i < TILE; i++) {
                memcpy(sum[i], &c[m + i][n], sizeof sum[i]);
            }
            for (int k = 0; k < steps; k++) {
                for (int i = 0; i < TILE; i++) {
                    for (int j = 0; j < TILE; j++) {
                        sum[i][j] += a[k][m + i] * b[k][n + j];
                    }
                }
            }
            for (int i = 0; i < TILE; i++) {
                memcpy(&c[m + i][n], sum[i], sizeof sum[i]);
            }
        }
    }
}

/* ---- a panel of reflections ---- */

/* v from x: all but one element of it are x's. */
static void make_vectors(const columns *of, int64_t first, int64_t count)
{
    double squares[PANEL] = {0.0};
    for (int64_t from = first; from < of->length; from += PIECE) {
        piece x[PIECE];
        gather(of, first, count, from, x);
        for (int i = 0; i < PIECE; i++) {
            for (int c = 0; c < PANEL; c++) {
                squares[c] += x[i][c] * x[i][c];
            }
        }
    }
    for (int64_t c = 0; c < count; c++) {
        double *at = element(of, first + c, first + c);
        *at += copysign(sqrt(squares[c]), *at);
    }
}

/* T from the products of the vectors: T[c][c] = tau, and above it
 * T[0 .. c - 1][c] = -tau T[0 .. c - 1][0 .. c - 1] V[0 .. c - 1] v[c]. */
static void make_t(const columns *of, panel *made)
{
    piece products[PANEL] = {{0.0}};
    for (int64_t from = made->first; from < of->length; from += PIECE) {
        piece v[PIECE];
        gather(of, made->first, made->count, from, v);
        add_product(PANEL, PANEL, PIECE, v, v, products);
    }
    memset(made->t, 0, sizeof made->t);
    for (int c = 0; c < made->count; c++) {
        double tau = 2.0 / products[c][c];
        for (int row = 0; row < c; row++) {
            double sum = 0.0;
            for (int k = row; k < c; k++) {
                sum += made->t[row][k] * products[k][c];
            }
            made->t[row][c] = -tau * sum;
        }
        made->t[c][c] = tau;
    }
}

/* -T w, of w[PANEL][PIECE]. */
static void multiply_by_t(const panel *by, piece *w, piece *product)
{
    piece transposed[PANEL];
    for (int row = 0; row < PANEL; row++) {
        for (int c = 0; c < PANEL; c++) {
            transposed[c][row] = -by->t[row][c];
        }
    }
    memset(product, 0, PANEL * sizeof *product);
    add_product(PANEL, PIECE, PANEL, transposed, w, product);
}

/* Adds V product to elements from `from` on. */
static void add_vectors(const panel *by, int64_t from, piece *product, piece *to)
{
    piece v[PIECE], transposed[PANEL];
    gather(by->of, by->first, by->count, from, v);
    for (int i = 0; i < PIECE; i++) {
        for (int c = 0; c < PANEL; c++) {
            transposed[c][i] = v[i][c];
        }
    }
    add_product(PIECE, PIECE, PANEL, transposed, product, to);
}

/* The panel's reflections of columns behind it, by their numbers among those in pieces. */
static void reflect(const void *loop, int64_t begin, int64_t end)
{
    const panel *by = loop;
    const columns *of = by->of;
    for (int64_t turn = begin; turn < end; turn++) {
        int64_t first = by->first + by->count + turn * PIECE,
                count = least(PIECE, of->count - first);
        piece w[PANEL] = {{0.0}}, product[PANEL], x[PIECE], v[PIECE];
        for (int64_t from = by->first; from < of->length; from += PIECE) {
            gather(of, by->first, by->count, from, v);
            gather(of, first, count, from, x);
            add_product(PANEL, PIECE, PIECE, v, x, w);
        }
        multiply_by_t(by, w, product);
        for (int64_t from = by->first; from < of->length; from += PIECE) {
            gather(of, first, count, from, x);
            add_vectors(by, from, product, x);
            scatter(of, first, count, from, x);
        }
    }
}

/* The panel's own columns, from unit vectors that are of the gain's length: over its vectors. */
static void finish(const panel *by)
{
    const columns *of = by->of;
    piece w[PANEL] = {{0.0}}, product[PANEL], v[PIECE];
    double unit[PANEL] = {0.0};
    gather(of, by->first, by->count, by->first, v);
    for (int c = 0; c < by->count; c++) {
        unit[c] = -copysign(of->gain, v[c][c]);
        for (int row = 0; row < by->count; row++) {
            w[row][c] = unit[c] * v[c][row];
        }
    }
    multiply_by_t(by, w, product);
    for (int64_t from = by->first; from < of->length; from += PIECE) {
        piece made[PIECE] = {{0.0}};
        for (int c = 0; c < by->count && from == by->first; c++) {
            made[c][c] = unit[c];
        }
        add_vectors(by, from, product, made);
        scatter(of, by->first, by->count, from, made);
    }
}

/* ---- the matrix ---- */

static void fill_orthogonal(const mt_initial *initial, mt_random *random, int64_t n, double *values)
{
    int64_t width = (int64_t)initial->b, height = n / width;
    bool is_tall = height >= width;
    const columns all = {.values = values,
                         .count = is_tall ? width : height,
                         .length = is_tall ? height : width,
                         .step = is_tall ? width : 1,
                         .stride = is_tall ? 1 : width,
                         .gain = initial->a};
    for (int64_t row = 0; row < height; row++) {
        for (int64_t column = 0; column < width; column++) {
            bool is_drawn = is_tall ? row >= column : column >= row;
            values[row * width + column] = is_drawn ? mt_random_normal(random) : 0.0;
        }
    }
    for (int64_t first = (all.count - 1) / PANEL * PANEL; first >= 0; first -= PANEL) {
        panel of_all = {.of = &all, .first = first, .count = least(PANEL, all.count - first)};
        make_vectors(&all, first, of_all.count);
        make_t(&all, &of_all);
        int64_t rest = all.count - first - of_all.count;
        mt_team_loop(n, (rest + PIECE - 1) / PIECE, reflect, &of_all);
        finish(&of_all);
    }
}

mt_initial mt_initial_orthogonal(int64_t width, double gain)
{
    return (mt_initial){.fill = fill_orthogonal, .a = gain, .b = (double)width};
}
