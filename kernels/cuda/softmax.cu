/* Softmax, a warp to a row: one pass each for the largest, the sum and the result, so that rows may
 * begin with minus infinity. */
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int SOFTMAX_THREADS = 128;

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(SOFTMAX_THREADS, ROOMY_BLOCKS)
    softmax_rows(int64_t N, int64_t V, const stored *x, stored *y)
{
    begin_kernel();
    for (int64_t n = global_warp(); n < N; n += global_warps()) {
        const stored *row = x + n * V;
        real largest = row_max(row, V);
        real share = real(1) / row_exp_sum(row, largest, V);
        for (int64_t v = lane_index(); v < V; v += WARP) {
            y[n * V + v] = share * exp(row[v] - largest);
        }
    }
}

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(SOFTMAX_THREADS)
    softmax_grads(int64_t N, int64_t V, const stored *y, const stored *dy, stored *dx)
{
    begin_kernel();
    for (int64_t n = global_warp(); n < N; n += global_warps()) {
        double sum = 0.0;
        for (int64_t v = lane_index(); v < V; v += WARP) {
            sum += static_cast<double>(y[n * V + v]) * static_cast<double>(dy[n * V + v]);
        }
        real mean = static_cast<real>(warp_sum(sum)); /* of dy, by the probabilities */
        for (int64_t v = lane_index(); v < V; v += WARP) {
            dx[n * V + v] = y[n * V + v] * (dy[n * V + v] - mean);
        }
    }
}

} // namespace

template <typename stored>
mt_status softmax_forward(mt_device *device, int64_t N, int64_t V, const void *x, void *y)
{
    return launch(device, "softmax", softmax_rows<stored>,
                  grid_for(device, parts_of(N, SOFTMAX_THREADS / WARP)), SOFTMAX_THREADS, 0, N, V,
                  static_cast<const stored *>(x), static_cast<stored *>(y));
}

template <typename stored>
mt_status softmax_backward(mt_device *device, int64_t N, int64_t V, const void *y, const void *dy,
                           void *dx)
{
    return launch(device, "softmax backward", softmax_grads<stored>,
                  grid_for(device, parts_of(N, SOFTMAX_THREADS / WARP)), SOFTMAX_THREADS, 0, N, V,
                  static_cast<const stored *>(y), static_cast<const stored *>(dy),
                  static_cast<stored *>(dx));
}

INSTANTIATE(softmax_forward)
INSTANTIATE(softmax_backward)

} // namespace mt_cuda
