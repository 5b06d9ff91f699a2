/* Kernels that work element by element: one pass, in parallel, vectorised. */
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/math.h"

mt_status KERNEL(fill)(mt_device *device, int64_t n, double value, void *y)
{
    (void)device;
    real *to = y;
    real filling = (real)value;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = filling;
    }
    return MT_OK;
}

mt_status KERNEL(add)(mt_device *device, int64_t n, const void *a, const void *b, void *y)
{
    (void)device;
    const real *left = a, *right = b;
    real *to = y;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = left[i] + right[i];
    }
    return MT_OK;
}

mt_status KERNEL(subtract)(mt_device *device, int64_t n, const void *a, const void *b, void *y)
{
    (void)device;
    const real *left = a, *right = b;
    real *to = y;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = left[i] - right[i];
    }
    return MT_OK;
}

mt_status KERNEL(multiply)(mt_device *device, int64_t n, const void *a, const void *b, void *y)
{
    (void)device;
    const real *left = a, *right = b;
    real *to = y;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = left[i] * right[i];
    }
    return MT_OK;
}

mt_status KERNEL(scale)(mt_device *device, int64_t n, double alpha, const void *x, void *y)
{
    (void)device;
    const real *from = x;
    real *to = y;
    real factor = (real)alpha;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = factor * from[i];
    }
    return MT_OK;
}

mt_status KERNEL(sigmoid_forward)(mt_device *device, int64_t n, const void *x, void *y)
{
    (void)device;
    const real *from = x;
    real *to = y;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = real_sigmoid(from[i]);
    }
    return MT_OK;
}

mt_status KERNEL(sigmoid_backward)(mt_device *device, int64_t n, const void *y, const void *dy,
                                   void *dx)
{
    (void)device;
    const real *s = y, *g = dy;
    real *to = dx;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = g[i] * s[i] * ((real)1.0 - s[i]);
    }
    return MT_OK;
}

mt_status KERNEL(negative_exp_forward)(mt_device *device, int64_t n, const void *x, void *y)
{
    (void)device;
    const real *from = x;
    real *to = y;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = -real_exp(from[i]);
    }
    return MT_OK;
}

static inline real squared_relu(real x)
{
    real positive = real_max(x, (real)0.0);
    return positive * positive;
}

mt_status KERNEL(squared_relu_forward)(mt_device *device, int64_t N, int64_t C, const void *x,
                                       const void *bias, void *y)
{
    (void)device;
    const real *from = x, *added = bias;
    real *to = y;
    if (added == NULL) {
#pragma omp parallel for simd if (N * C >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
        for (int64_t i = 0; i < N * C; i++) {
            to[i] = squared_relu(from[i]);
        }
        return MT_OK;
    }
#pragma omp parallel for if (N * C >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t n = 0; n < N; n++) {
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            to[n * C + c] = squared_relu(from[n * C + c] + added[c]);
        }
    }
    return MT_OK;
}

mt_status KERNEL(squared_relu_backward)(mt_device *device, int64_t n, const void *y, const void *dy,
                                        void *dx)
{
    (void)device;
    const real *squares = y, *g = dy;
    real *to = dx;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = (real)2.0 * real_sqrt(squares[i]) * g[i];
    }
    return MT_OK;
}

mt_status KERNEL(sigmoid_gate_forward)(mt_device *device, int64_t n, const void *r, const void *x,
                                       void *y)
{
    (void)device;
    const real *gate = r, *from = x;
    real *to = y;
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
    for (int64_t i = 0; i < n; i++) {
        to[i] = real_sigmoid(gate[i]) * from[i];
    }
    return MT_OK;
}

mt_status KERNEL(sigmoid_gate_backward)(mt_device *device, int64_t n, const void *r, const void *x,
                                        const void *dy, void *dr, void *dx)
{
    (void)device;
    const real *gate = r, *from = x, *g = dy;
    real *to_gate = dr, *to = dx;
    if (to_gate != NULL && to != NULL) {
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
        for (int64_t i = 0; i < n; i++) {
            real s = real_sigmoid(gate[i]), through = g[i] * s;
            to_gate[i] = through * from[i] * ((real)1.0 - s);
            to[i] = through;
        }
    } else if (to_gate != NULL) {
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
        for (int64_t i = 0; i < n; i++) {
            real s = real_sigmoid(gate[i]);
            to_gate[i] = g[i] * s * from[i] * ((real)1.0 - s);
        }
    } else if (to != NULL) {
#pragma omp parallel for simd if (n >= PARALLEL_ELEMENTS) num_threads(mt_cpu_threads())
        for (int64_t i = 0; i < n; i++) {
            to[i] = g[i] * real_sigmoid(gate[i]);
        }
    }
    return MT_OK;
}
