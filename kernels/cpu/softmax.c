/* Softmax, a row to a thread. */
#include "kernels/cpu/softmax.h"
#include "kernels/cpu/kernels.h"

typedef struct rows {
    int64_t V;
    const stored *x, *g;
    stored *y;
} rows;

static void softmax_rows(const void *loop, int64_t first, int64_t end)
{
    const rows of = *(const rows *)loop;
    for (int64_t n = first; n < end; n++) {
        const stored *x = of.x + n * of.V;
        stored *y = of.y + n * of.V;
        real largest = row_max(x, of.V);
        real share = (real)(1.0 / row_exp_sum(x, largest, of.V));
#pragma omp simd
        for (int64_t v = 0; v < of.V; v++) {
            y[v] = rounded(share * real_exp(value(x[v]) - largest)); /* 0 for minus infinity */
        }
    }
}

mt_status KERNEL(softmax_forward)(mt_device *device, int64_t N, int64_t V, const void *x, void *y)
{
    (void)device;
    mt_team_loop(N * V, N, softmax_rows, &(rows){.V = V, .x = x, .y = y});
    return MT_OK;
}

static void softmax_grads(const void *loop, int64_t first, int64_t end)
{
    const rows of = *(const rows *)loop;
    for (int64_t n = first; n < end; n++) {
        const stored *y = of.x + n * of.V, *dy = of.g + n * of.V;
        stored *dx = of.y + n * of.V;
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t v = 0; v < of.V; v++) {
            sum += (double)value(y[v]) * (double)value(dy[v]);
        }
        real mean = (real)sum; /* of dy, by the probabilities */
#pragma omp simd
        for (int64_t v = 0; v < of.V; v++) {
            dx[v] = rounded(value(y[v]) * (value(dy[v]) - mean));
        }
    }
}

mt_status KERNEL(softmax_backward)(mt_device *device, int64_t N, int64_t V, const void *y,
                                   const void *dy, void *dx)
{
    (void)device;
    mt_team_loop(N * V, N, softmax_grads, &(rows){.V = V, .x = y, .g = dy, .y = dx});
    return MT_OK;
}
