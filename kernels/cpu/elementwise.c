/* Kernels that work element by element: one pass, in parallel, vectorised. */
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/math.h"

/* What a kernel of this file reads and writes; each uses some of them. */
typedef struct elements {
    const real *a, *b, *g;
    real *y, *z;
    real number;
    int64_t columns;
} elements;

/* Defines a stretch of a kernel's loop, which does `assignments` for every element i. */
#define ELEMENTWISE(name, assignments)                                                             \
    static void name(const void *loop, int64_t first, int64_t end)                                 \
    {                                                                                              \
        const elements of = *(const elements *)loop;                                               \
        _Pragma("omp simd") for (int64_t i = first; i < end; i++)                                  \
        {                                                                                          \
            assignments;                                                                           \
        }                                                                                          \
    }

ELEMENTWISE(fill_elements, of.y[i] = of.number)
ELEMENTWISE(add_elements, of.y[i] = of.a[i] + of.b[i])
ELEMENTWISE(subtract_elements, of.y[i] = of.a[i] - of.b[i])
ELEMENTWISE(multiply_elements, of.y[i] = of.a[i] * of.b[i])
ELEMENTWISE(scale_elements, of.y[i] = of.number * of.a[i])

mt_status KERNEL(fill)(mt_device *device, int64_t n, double value, void *y)
{
    (void)device;
    mt_team_loop(n, n, fill_elements, &(elements){.number = (real)value, .y = y});
    return MT_OK;
}

mt_status KERNEL(add)(mt_device *device, int64_t n, const void *a, const void *b, void *y)
{
    (void)device;
    mt_team_loop(n, n, add_elements, &(elements){.a = a, .b = b, .y = y});
    return MT_OK;
}

mt_status KERNEL(subtract)(mt_device *device, int64_t n, const void *a, const void *b, void *y)
{
    (void)device;
    mt_team_loop(n, n, subtract_elements, &(elements){.a = a, .b = b, .y = y});
    return MT_OK;
}

mt_status KERNEL(multiply)(mt_device *device, int64_t n, const void *a, const void *b, void *y)
{
    (void)device;
    mt_team_loop(n, n, multiply_elements, &(elements){.a = a, .b = b, .y = y});
    return MT_OK;
}

mt_status KERNEL(scale)(mt_device *device, int64_t n, double alpha, const void *x, void *y)
{
    (void)device;
    mt_team_loop(n, n, scale_elements, &(elements){.number = (real)alpha, .a = x, .y = y});
    return MT_OK;
}

ELEMENTWISE(sigmoid_elements, of.y[i] = real_sigmoid(of.a[i]))
ELEMENTWISE(sigmoid_grads, of.y[i] = of.g[i] * of.a[i] * ((real)1.0 - of.a[i]))
ELEMENTWISE(negative_exp_elements, of.y[i] = -real_exp(of.a[i]))

mt_status KERNEL(sigmoid_forward)(mt_device *device, int64_t n, const void *x, void *y)
{
    (void)device;
    mt_team_loop(n, n, sigmoid_elements, &(elements){.a = x, .y = y});
    return MT_OK;
}

mt_status KERNEL(sigmoid_backward)(mt_device *device, int64_t n, const void *y, const void *dy,
                                   void *dx)
{
    (void)device;
    mt_team_loop(n, n, sigmoid_grads, &(elements){.a = y, .g = dy, .y = dx});
    return MT_OK;
}

mt_status KERNEL(negative_exp_forward)(mt_device *device, int64_t n, const void *x, void *y)
{
    (void)device;
    mt_team_loop(n, n, negative_exp_elements, &(elements){.a = x, .y = y});
    return MT_OK;
}

static inline real squared_relu(real x)
{
    real positive = real_max(x, (real)0.0);
    return positive * positive;
}

ELEMENTWISE(squared_relus, of.y[i] = squared_relu(of.a[i]))
ELEMENTWISE(squared_relu_grads, of.y[i] = (real)2.0 * real_sqrt(of.a[i]) * of.g[i])

/* Rows, with a bias added to each. */
static void biased_squared_relus(const void *loop, int64_t first, int64_t end)
{
    const elements of = *(const elements *)loop;
    int64_t C = of.columns;
    for (int64_t n = first; n < end; n++) {
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            of.y[n * C + c] = squared_relu(of.a[n * C + c] + of.b[c]);
        }
    }
}

mt_status KERNEL(squared_relu_forward)(mt_device *device, int64_t N, int64_t C, const void *x,
                                       const void *bias, void *y)
{
    (void)device;
    elements loop = {.a = x, .b = bias, .y = y, .columns = C};
    if (bias == NULL) {
        mt_team_loop(N * C, N * C, squared_relus, &loop);
    } else {
        mt_team_loop(N * C, N, biased_squared_relus, &loop);
    }
    return MT_OK;
}

mt_status KERNEL(squared_relu_backward)(mt_device *device, int64_t n, const void *y, const void *dy,
                                        void *dx)
{
    (void)device;
    mt_team_loop(n, n, squared_relu_grads, &(elements){.a = y, .g = dy, .y = dx});
    return MT_OK;
}

/* Of y = sigmoid(a) b: its gradient by a is y here, and that by b is z. */
ELEMENTWISE(sigmoid_gates, of.y[i] = real_sigmoid(of.a[i]) * of.b[i])
ELEMENTWISE(gate_grads, real s = real_sigmoid(of.a[i]);
            of.y[i] = of.g[i] * s * of.b[i] * ((real)1.0 - s))
ELEMENTWISE(gated_grads, of.z[i] = of.g[i] * real_sigmoid(of.a[i]))
ELEMENTWISE(both_gate_grads, real s = real_sigmoid(of.a[i]); real through = of.g[i] * s;
            of.y[i] = through * of.b[i] * ((real)1.0 - s); of.z[i] = through)

mt_status KERNEL(sigmoid_gate_forward)(mt_device *device, int64_t n, const void *r, const void *x,
                                       void *y)
{
    (void)device;
    mt_team_loop(n, n, sigmoid_gates, &(elements){.a = r, .b = x, .y = y});
    return MT_OK;
}

mt_status KERNEL(sigmoid_gate_backward)(mt_device *device, int64_t n, const void *r, const void *x,
                                        const void *dy, void *dr, void *dx)
{
    (void)device;
    elements loop = {.a = r, .b = x, .g = dy, .y = dr, .z = dx};
    if (dr != NULL && dx != NULL) {
        mt_team_loop(n, n, both_gate_grads, &loop);
    } else if (dr != NULL) {
        mt_team_loop(n, n, gate_grads, &loop);
    } else if (dx != NULL) {
        mt_team_loop(n, n, gated_grads, &loop);
    }
    return MT_OK;
}
