/* Sums. Every sum is made of parts whose borders depend on the size alone. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int SUM_THREADS = 256;

/* The function of a and b that is summed. */
enum term { PLAIN, PRODUCT, SQUARED_DIFFERENCE };

template <term TERM, typename stored> __device__ inline double term_of(stored a, stored b)
{
    double x = static_cast<double>(a), y = static_cast<double>(b);
    return TERM == PLAIN ? x : TERM == PRODUCT ? x * y : (x - y) * (x - y);
}

template <term TERM, typename stored>
__global__ void __launch_bounds__(SUM_THREADS)
    sum_parts(int64_t n, const stored *a, const stored *b, double *parts)
{
    begin_kernel();
    double sum = 0.0;
    for (int64_t i = global_thread(); i < n; i += global_threads()) {
        sum += term_of<TERM>(a[i], b[i]);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = sum;
    }
}

template <typename result>
__global__ void __launch_bounds__(SUM_THREADS)
    sum_of_parts(int count, const double *parts, double factor, result *y)
{
    begin_kernel();
    double sum = 0.0;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += SUM_THREADS) {
        sum += parts[i];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        *y = static_cast<result>(factor * sum);
    }
}

template <term TERM, typename stored, typename result>
mt_status sum_terms(mt_device *device, const char *name, const char *total_name, int64_t n,
                    const void *a, const void *b, double factor, result *y)
{
    const int64_t per_thread = 8, most_parts = 1024;
    int64_t count = parts_of(n, SUM_THREADS * per_thread);
    count = count < most_parts ? count : most_parts;
    void *parts;
    size_t shared = WARP * sizeof(double);
    mt_status status = workspace(device, static_cast<size_t>(count) * sizeof(double), &parts);
    if (status == MT_OK) {
        status = launch(device, name, sum_parts<TERM, stored>, count, SUM_THREADS, shared, n,
                        static_cast<const stored *>(a), static_cast<const stored *>(b),
                        static_cast<double *>(parts));
    }
    return status != MT_OK ? status
                           : launch(device, total_name, sum_of_parts<result>, 1, SUM_THREADS,
                                    shared, count, static_cast<const double *>(parts), factor, y);
}

/* The elements of one place in each of COUNT matrices. */
template <int COUNT, typename stored, typename real = real_of<stored>> struct elements {
    const stored *x;
    int64_t step, C;
    __device__ void operator()(int64_t row, int64_t column, real *sums) const
    {
        for (int i = 0; i < COUNT; i++) {
            sums[i] += x[i * step + row * C + column];
        }
    }
};

template <int COUNT, typename stored>
mt_status sum_matrices(mt_device *device, int64_t N, int64_t C, const void *x, int64_t x_step,
                       void *y, int64_t y_step)
{
    void *sums[COUNT];
    for (int i = 0; i < COUNT; i++) {
        sums[i] = static_cast<real_of<stored> *>(y) + i * y_step;
    }
    return sum_columns<COUNT, real_of<stored>>(
        device, "sum rows", N, C,
        elements<COUNT, stored>{static_cast<const stored *>(x), x_step, C}, sums);
}

template <typename real> __global__ void watch_one(double most, const real *x, double *halt)
{
    begin_kernel();
    double value = static_cast<double>(*x);
    if (!(value >= -most && value <= most)) {
        *halt = not_a_number<double>();
    }
}

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(SUM_THREADS)
    mean_square_grad(int64_t n, const stored *a, const stored *b, const real *dy, stored *da)
{
    begin_kernel();
    real factor = *dy * static_cast<real>(2.0 / static_cast<double>(n));
    for (int64_t i = global_thread(); i < n; i += global_threads()) {
        da[i] = factor * (a[i] - b[i]);
    }
}

} // namespace

template <typename stored>
mt_status sum_rows(mt_device *device, int64_t batch, int64_t N, int64_t C, const void *x,
                   int64_t x_step, void *y, int64_t y_step)
{
    static constexpr decltype(&sum_matrices<1, stored>) sums[] = {
        sum_matrices<1, stored>, sum_matrices<2, stored>, sum_matrices<3, stored>};
    constexpr int64_t MOST = sizeof sums / sizeof *sums;
    const stored *from = static_cast<const stored *>(x);
    real_of<stored> *to = static_cast<real_of<stored> *>(y);
    mt_status status = MT_OK;
    x_step = x_step > 0 ? x_step : N * C;
    y_step = y_step > 0 ? y_step : C;
    for (int64_t b = 0; b < batch && status == MT_OK; b += MOST) {
        int64_t count = batch - b < MOST ? batch - b : MOST;
        status = sums[count - 1](device, N, C, from + b * x_step, x_step, to + b * y_step, y_step);
    }
    return status;
}

template <typename stored>
mt_status sum(mt_device *device, int64_t n, double alpha, const void *x, void *y)
{
    return sum_terms<PLAIN, stored>(device, "sum", "sum total", n, x, x, alpha,
                                    static_cast<real_of<stored> *>(y));
}

template <typename stored>
mt_status sum_squares(mt_device *device, int64_t n, const void *x, double *y)
{
    return sum_terms<PRODUCT, stored>(device, "sum of squares", "sum of squares total", n, x, x,
                                      1.0, y);
}

template <typename stored>
mt_status watch(mt_device *device, double most, const void *x, double *halt)
{
    typedef real_of<stored> real;
    return launch(device, "watch", watch_one<real>, 1, 1, 0, most, static_cast<const real *>(x),
                  halt);
}

template <typename stored>
mt_status mean_square_forward(mt_device *device, int64_t n, const void *a, const void *b, void *y)
{
    return sum_terms<SQUARED_DIFFERENCE, stored>(device, "mean square", "mean square total", n, a,
                                                 b, 1.0 / static_cast<double>(n),
                                                 static_cast<real_of<stored> *>(y));
}

template <typename stored>
mt_status mean_square_backward(mt_device *device, int64_t n, const void *a, const void *b,
                               const void *dy, void *da)
{
    return launch(device, "mean square backward", mean_square_grad<stored>,
                  grid_for(device, parts_of(n, SUM_THREADS)), SUM_THREADS, 0, n,
                  static_cast<const stored *>(a), static_cast<const stored *>(b),
                  static_cast<const real_of<stored> *>(dy), static_cast<stored *>(da));
}

INSTANTIATE(sum_rows)
INSTANTIATE(sum)
INSTANTIATE(sum_squares)
INSTANTIATE(watch)
INSTANTIATE(mean_square_forward)
INSTANTIATE(mean_square_backward)

} // namespace mt_cuda
