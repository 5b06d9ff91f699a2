/* The four norms, a warp to a row: y = weight scale (x - mean). What differs is how a row's scale
 * comes about, and what of its gradient flows back through it. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/kernels.cuh"
#include "kernels/norm_formulas.h"

namespace mt_cuda
{

namespace
{

constexpr int NORM_THREADS = 256;

/* The arguments of both directions, typed. */
template <typename stored> struct norm_arrays {
    mt_norm_kind kind;
    int64_t N, C, P;
    double eps;
    const stored *x, *dy;
    const real_of<stored> *weight, *bias;
    real_of<stored> *mean, *scale;
    stored *y, *dx;
};

/* Sum of (x - offset)^POWER over the first n numbers of a row, in every lane. */
template <int POWER, typename stored, typename real = real_of<stored>>
__device__ inline double row_sum(const stored *x, real offset, int64_t n)
{
    real sum = real(0);
    for (int64_t c = lane_index(); c < n; c += WARP) {
        real difference = x[c] - offset;
        sum = POWER == 1 ? sum + difference : fma(difference, difference, sum);
    }
    return warp_sum(static_cast<double>(sum));
}

/* The row's mean (zero but for layer_norm, as x[0] plus the mean distance from it: equal values
 * have exactly their mean) and scale. */
template <typename stored, typename real = real_of<stored>>
__device__ inline void row_statistics(const norm_arrays<stored> &a, const stored *x, double *mean,
                                      double *scale)
{
    int64_t n = mt_norm_counted(a.kind, a.C, a.P);
    *mean = 0.0;
    if (a.kind == MT_LAYER_NORM) {
        real origin = x[0];
        *mean = static_cast<double>(origin) + row_sum<1>(x, origin, n) / static_cast<double>(n);
    }
    double squares = row_sum<2>(x, static_cast<real>(*mean), n);
    double eps = a.kind == MT_BASIC_NORM ? exp(static_cast<double>(a.weight[0])) : a.eps;
    *scale = mt_norm_scale(a.kind, squares, static_cast<double>(n), eps);
}

template <typename stored, typename real = real_of<stored>>
__device__ inline real weight_of(const norm_arrays<stored> &a, int64_t c)
{
    return a.kind == MT_SCALE_NORM ? a.weight[0] : a.kind == MT_BASIC_NORM ? real(1) : a.weight[c];
}

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(NORM_THREADS) norm_rows(norm_arrays<stored> a)
{
    begin_kernel();
    for (int64_t row = global_warp(); row < a.N; row += global_warps()) {
        const stored *x = a.x + row * a.C;
        double mean, scale;
        row_statistics(a, x, &mean, &scale);
        real narrow_mean = static_cast<real>(mean), narrow_scale = static_cast<real>(scale);
        for (int64_t c = lane_index(); c < a.C; c += WARP) {
            real y = (x[c] - narrow_mean) * narrow_scale * weight_of(a, c);
            a.y[row * a.C + c] = a.bias != nullptr ? y + a.bias[c] : y;
        }
        if (lane_index() == 0 && a.mean != nullptr) {
            a.mean[row] = narrow_mean;
        }
        if (lane_index() == 0 && a.scale != nullptr) {
            a.scale[row] = narrow_scale;
        }
    }
}

/* dx, and in `dots`, or NULL, each row's sum of dy x. */
template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(NORM_THREADS)
    norm_rows_backward(norm_arrays<stored> a, double *dots)
{
    begin_kernel();
    for (int64_t row = global_warp(); row < a.N; row += global_warps()) {
        const stored *x = a.x + row * a.C, *dy = a.dy + row * a.C;
        real mean = a.kind == MT_LAYER_NORM ? a.mean[row] : real(0), scale = a.scale[row];
        real g_sum = real(0), gx_sum = real(0), dot = real(0);
        for (int64_t c = lane_index(); c < a.C; c += WARP) {
            real g = dy[c] * weight_of(a, c);
            g_sum += g;
            gx_sum = fma(g, x[c] - mean, gx_sum);
            dot = fma(real(dy[c]), real(x[c]), dot);
        }
        double sum_g = warp_sum(static_cast<double>(g_sum));
        double sum_gx = warp_sum(static_cast<double>(gx_sum));
        double row_dot = warp_sum(static_cast<double>(dot));
        if (dots != nullptr && lane_index() == 0) {
            dots[row] = row_dot;
        }
        real slope = static_cast<real>(
            mt_norm_slope(a.kind, static_cast<double>(scale), sum_gx,
                          static_cast<double>(mt_norm_counted(a.kind, a.C, a.P)), a.eps));
        real shift =
            a.kind == MT_LAYER_NORM
                ? static_cast<real>(static_cast<double>(scale) * sum_g / static_cast<double>(a.C))
                : real(0);
        int64_t sloped = a.kind == MT_RMS_NORM ? a.P : a.C;
        for (int64_t c = lane_index(); c < a.C && a.dx != nullptr; c += WARP) {
            real through = fma(scale * dy[c], weight_of(a, c), -shift);
            a.dx[row * a.C + c] = c < sloped ? fma(-slope, x[c] - mean, through) : through;
        }
    }
}

/* An element's part of dweight and dbias: dy scale (x - mean), and dy. */
template <typename stored, typename real = real_of<stored>> struct weight_grad {
    norm_arrays<stored> a;
    __device__ void operator()(int64_t row, int64_t column, real *sums) const
    {
        real dy = a.dy[row * a.C + column];
        real mean = a.kind == MT_LAYER_NORM ? a.mean[row] : real(0);
        sums[0] = fma(dy * a.scale[row], a.x[row * a.C + column] - mean, sums[0]);
        sums[1] += dy;
    }
};

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(NORM_THREADS)
    single_weight_grad(norm_arrays<stored> a, const double *dots, real *dweight)
{
    begin_kernel();
    double sum = 0.0, eps = exp(static_cast<double>(a.weight[0]));
    for (int64_t row = threadIdx.x; row < a.N; row += NORM_THREADS) {
        sum += mt_norm_weight_grad(a.kind, dots[row], static_cast<double>(a.scale[row]), eps);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        *dweight = static_cast<real>(sum);
    }
}

int64_t row_blocks(mt_device *device, int64_t N)
{
    return grid_for(device, parts_of(N, NORM_THREADS / WARP));
}

} // namespace

template <typename stored>
mt_status norm_forward(mt_device *device, const mt_norm_forward_args *args)
{
    typedef real_of<stored> real;
    norm_arrays<stored> a = {};
    a.kind = args->kind;
    a.N = args->N;
    a.C = args->C;
    a.P = args->P;
    a.eps = args->eps;
    a.x = static_cast<const stored *>(args->x);
    a.weight = static_cast<const real *>(args->weight);
    a.bias = args->kind == MT_LAYER_NORM ? static_cast<const real *>(args->bias) : nullptr;
    a.y = static_cast<stored *>(args->y);
    a.mean = static_cast<real *>(args->mean);
    a.scale = static_cast<real *>(args->scale);
    return launch(device, "norm", norm_rows<stored>, row_blocks(device, a.N), NORM_THREADS, 0, a);
}

template <typename stored>
mt_status norm_backward(mt_device *device, const mt_norm_backward_args *args)
{
    typedef real_of<stored> real;
    norm_arrays<stored> a = {};
    a.kind = args->kind;
    a.N = args->N;
    a.C = args->C;
    a.P = args->P;
    a.eps = args->eps;
    a.x = static_cast<const stored *>(args->x);
    a.weight = static_cast<const real *>(args->weight);
    a.dy = static_cast<const stored *>(args->dy);
    a.mean = const_cast<real *>(static_cast<const real *>(args->mean));
    a.scale = const_cast<real *>(static_cast<const real *>(args->scale));
    a.dx = static_cast<stored *>(args->dx);
    bool per_channel = mt_norm_weight_per_channel(a.kind);
    void *dots = nullptr;
    mt_status status = MT_OK;
    if (!per_channel) {
        status = workspace(device, static_cast<size_t>(a.N) * sizeof(double), &dots);
    }
    if (status == MT_OK) {
        status = launch(device, "norm backward", norm_rows_backward<stored>,
                        row_blocks(device, a.N), NORM_THREADS, 0, a, static_cast<double *>(dots));
    }
    if (status != MT_OK || (args->dweight == nullptr && args->dbias == nullptr)) {
        return status;
    }
    if (per_channel) {
        void *const sums[] = {args->dweight, args->dbias};
        return sum_columns<2, real>(device, "norm weights backward", a.N, a.C,
                                    weight_grad<stored>{a}, sums);
    }
    return launch(device, "norm weight backward", single_weight_grad<stored>, 1, NORM_THREADS,
                  WARP * sizeof(double), a, static_cast<const double *>(dots),
                  static_cast<real *>(args->dweight));
}

INSTANTIATE(norm_forward)
INSTANTIATE(norm_backward)

} // namespace mt_cuda
