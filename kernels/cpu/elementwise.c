/* Kernels that work element by element: one pass, in parallel, most of them vectorised. */
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/math.h"

/* What a kernel of this file reads and writes; each uses some of them. */
typedef struct elements {
    const stored *a, *b, *g;
    stored *y, *z;
    const real *bias;
    real number;
    int64_t columns;
} elements;

/* Defines a stretch of a kernel's loop, which does `assignments` for every element i: in vectors,
 * or one by one where they call the C library. */
#define STRETCH(name, pragma, assignments)                                                         \
    static void name(const void *loop, int64_t first, int64_t end)                                 \
    {                                                                                              \
        const elements of = *(const elements *)loop;                                               \
        pragma for (int64_t i = first; i < end; i++)                                               \
        {                                                                                          \
            assignments;                                                                           \
        }                                                                                          \
    }
#define ELEMENTWISE(name, assignments) STRETCH(name, _Pragma("omp simd"), assignments)
#define ONE_BY_ONE(name, assignments)  STRETCH(name, , assignments)

/* Define a kernel y = f(x), or y = f(a, b), from its stretch; the list has the names that its
 * arrays have there. */
#define KERNEL_OF_ONE(name)                                                                        \
    mt_status KERNEL(name)(mt_device * device, int64_t n, const void *one, void *result)           \
    {                                                                                              \
        (void)device;                                                                              \
        mt_team_loop(n, n, name##_elements, &(elements){.a = one, .y = result});                   \
        return MT_OK;                                                                              \
    }
#define KERNEL_OF_TWO(name)                                                                        \
    mt_status KERNEL(name)(mt_device * device, int64_t n, const void *one, const void *other,      \
                           void *result)                                                           \
    {                                                                                              \
        (void)device;                                                                              \
        mt_team_loop(n, n, name##_elements, &(elements){.a = one, .b = other, .y = result});       \
        return MT_OK;                                                                              \
    }

/* ... or from the expression of an element, of x, or of a and b. */
#define MAP_ONE(name, expression)                                                                  \
    ELEMENTWISE(name##_elements, real x = value(of.a[i]); of.y[i] = rounded(expression))           \
    KERNEL_OF_ONE(name)
#define MAP_TWO(name, expression)                                                                  \
    ELEMENTWISE(name##_elements, real a = value(of.a[i]); real b = value(of.b[i]);                 \
                of.y[i] = rounded(expression))                                                     \
    KERNEL_OF_TWO(name)

ELEMENTWISE(fill_elements, of.y[i] = rounded(of.number))
ELEMENTWISE(scale_elements, of.y[i] = rounded(of.number * value(of.a[i])))

mt_status KERNEL(fill)(mt_device *device, int64_t n, double value, void *y)
{
    (void)device;
    mt_team_loop(n, n, fill_elements, &(elements){.number = (real)value, .y = y});
    return MT_OK;
}

mt_status KERNEL(scale)(mt_device *device, int64_t n, double alpha, const void *x, void *y)
{
    (void)device;
    mt_team_loop(n, n, scale_elements, &(elements){.number = (real)alpha, .a = x, .y = y});
    return MT_OK;
}

mt_status KERNEL(scale_by)(mt_device *device, int64_t n, const void *alpha, const void *x, void *y)
{
    (void)device;
    mt_team_loop(n, n, scale_elements, &(elements){.number = *(const real *)alpha, .a = x, .y = y});
    return MT_OK;
}

MAP_TWO(add, a + b)
MAP_TWO(subtract, a - b)
MAP_TWO(multiply, a *b)
MAP_TWO(divide, a / b)
MAP_ONE(exp_forward, real_exp(x))
MAP_ONE(negative_exp_forward, -real_exp(x))
MAP_ONE(sigmoid_forward, real_sigmoid(x))
MAP_ONE(tanh_forward, real_tanh(x))
MAP_ONE(relu_forward, x <= (real)0.0 ? (real)0.0 : x)
MAP_TWO(sigmoid_gate_forward, real_sigmoid(a) * b)

/* Of a, the output, and its gradient b. */
MAP_TWO(sigmoid_backward, b *a *((real)1.0 - a))
MAP_TWO(tanh_backward, b *((real)1.0 - a * a))
MAP_TWO(relu_backward, a > (real)0.0 ? b : (real)0.0)
MAP_TWO(squared_relu_backward, (real)2.0 * real_sqrt(a) * b)

ONE_BY_ONE(log_forward_elements, of.y[i] = rounded(real_log(value(of.a[i]))))
KERNEL_OF_ONE(log_forward)

ONE_BY_ONE(gelu_forward_elements, real x = value(of.a[i]);
           of.y[i] = rounded(x * real_normal_cdf(x)))
KERNEL_OF_ONE(gelu_forward)

ONE_BY_ONE(gelu_backward_elements, real x = value(of.a[i]); real dy = value(of.b[i]);
           of.y[i] = rounded(dy * (real_normal_cdf(x) + x * real_normal_pdf(x))))
KERNEL_OF_TWO(gelu_backward)

static inline real squared_relu(real x)
{
    real positive = real_max(x, (real)0.0);
    return positive * positive;
}

ELEMENTWISE(squared_relus, of.y[i] = rounded(squared_relu(value(of.a[i]))))

/* Rows, with a bias added to each. */
static void biased_squared_relus(const void *loop, int64_t first, int64_t end)
{
    const elements of = *(const elements *)loop;
    int64_t C = of.columns;
    for (int64_t n = first; n < end; n++) {
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            of.y[n * C + c] = rounded(squared_relu(value(of.a[n * C + c]) + of.bias[c]));
        }
    }
}

mt_status KERNEL(squared_relu_forward)(mt_device *device, int64_t N, int64_t C, const void *x,
                                       const void *bias, void *y)
{
    (void)device;
    elements loop = {.a = x, .bias = bias, .y = y, .columns = C};
    if (bias == NULL) {
        mt_team_loop(N * C, N * C, squared_relus, &loop);
    } else {
        mt_team_loop(N * C, N, biased_squared_relus, &loop);
    }
    return MT_OK;
}

/* Of y = sigmoid(a) b: its gradient by a is y here, and that by b is z. */
ELEMENTWISE(gate_grads, real s = real_sigmoid(value(of.a[i]));
            of.y[i] = rounded(value(of.g[i]) * s * value(of.b[i]) * ((real)1.0 - s)))
ELEMENTWISE(gated_grads, of.z[i] = rounded(value(of.g[i]) * real_sigmoid(value(of.a[i]))))
ELEMENTWISE(both_gate_grads, real s = real_sigmoid(value(of.a[i]));
            real through = value(of.g[i]) * s;
            of.y[i] = rounded(through * value(of.b[i]) * ((real)1.0 - s));
            of.z[i] = rounded(through))

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
