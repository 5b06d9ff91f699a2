/* Products with weights in fewer bits: a warp to a row of weights and a few rows of x, each weight
 * read once for these. Plain, made for the few rows of generating. */
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int COMPACT_THREADS = 128, COMPACT_ROWS = 4;

template <typename real> __device__ inline real weight_of(int8_t weight)
{
    return static_cast<real>(weight);
}

template <typename real> __device__ inline real weight_of(mt_bf16 weight)
{
    return static_cast<real>(mt_bf16_value(weight));
}

template <typename stored, typename weight, typename real = real_of<stored>>
__global__ void __launch_bounds__(COMPACT_THREADS, ROOMY_BLOCKS)
    compact_products(int64_t M, int64_t N, int64_t K, real beta, const stored *x,
                     const weight *weights, const float *scales, stored *y)
{
    begin_kernel();
    for (int64_t i = global_warp(); i < N * ((M + COMPACT_ROWS - 1) / COMPACT_ROWS);
         i += global_warps()) {
        const int64_t n = i % N, first = i / N * COMPACT_ROWS;
        const int rows = static_cast<int>(M - first < COMPACT_ROWS ? M - first : COMPACT_ROWS);
        const weight *row = weights + n * K;
        const stored *few = x + first * K;
        real sums[COMPACT_ROWS] = {};
        for (int64_t k = lane_index(); k < K; k += WARP) {
            const real factor = weight_of<real>(row[k]);
            for (int m = 0; m < rows; m++) {
                sums[m] = fma(real(few[m * K + k]), factor, sums[m]);
            }
        }
        const real scale = scales != nullptr ? real(scales[n]) : real(1);
        for (int m = 0; m < rows; m++) {
            const real sum = scale * warp_sum(sums[m]);
            if (lane_index() == 0) {
                stored &to = y[(first + m) * N + n];
                to = beta != real(0) ? sum + beta * real(to) : sum;
            }
        }
    }
}

template <typename stored, typename weight>
mt_status multiply(mt_device *device, const mt_matmul_compact_args &args, const float *scales)
{
    const int64_t warps = args.N * parts_of(args.M, COMPACT_ROWS);
    return launch(device, "product a b^T, compact", compact_products<stored, weight>,
                  grid_for(device, parts_of(warps, COMPACT_THREADS / WARP)), COMPACT_THREADS, 0,
                  args.M, args.N, args.K, args.beta, static_cast<const stored *>(args.x),
                  static_cast<const weight *>(args.weights), scales, static_cast<stored *>(args.y));
}

} // namespace

template <typename stored>
mt_status matmul_compact(mt_device *device, const mt_matmul_compact_args *args)
{
    return args->type == MT_I8 ? multiply<stored, int8_t>(device, *args, args->scales)
                               : multiply<stored, mt_bf16>(device, *args, nullptr);
}

INSTANTIATE(matmul_compact)

} // namespace mt_cuda
