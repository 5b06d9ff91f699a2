/* Sums over the rows of a matrix (N, C), for each column: the gradients of biases, norms and mixes.
 * Rows are cut into chunks; a block sums one chunk of 32 columns, and a second launch sums the
 * chunks. Internal. */
#ifndef MT_KERNELS_CUDA_COLUMNS_CUH
#define MT_KERNELS_CUDA_COLUMNS_CUH

#include "kernels/cuda/cuda.cuh"

namespace mt_cuda
{

constexpr int COLUMN_WARPS = 8, COLUMN_THREADS = COLUMN_WARPS * WARP;

/* Rows of one chunk: the number of chunks stays below 256. */
inline int64_t chunk_rows(int64_t N)
{
    const int64_t least = 64, most_chunks = 256;
    int64_t rows = parts_of(N, most_chunks);
    return rows > least ? rows : least;
}

/* The sum of a number of each warp over the block's warps, in lane's column, in every thread of
 * warp 0. Takes COLUMN_THREADS T of shared memory. */
template <typename T> __device__ inline T sum_over_warps(T value)
{
    T *values = reinterpret_cast<T *>(mt_shared), total = T(0);
    values[threadIdx.x] = value;
    __syncthreads();
    if (warp_index() == 0) {
        for (int warp = 0; warp < COLUMN_WARPS; warp++) {
            total += values[warp * WARP + lane_index()];
        }
    }
    __syncthreads();
    return total;
}

/* partials (chunks, COUNT, C): of the COUNT sums that f(row, column, sums) adds to. */
template <int COUNT, typename real, typename function>
__global__ void __launch_bounds__(COLUMN_THREADS)
    column_partials(int64_t N, int64_t C, int64_t rows, function f, real *partials)
{
    int64_t tiles = (C + WARP - 1) / WARP, chunk = blockIdx.x / tiles;
    int64_t column = (blockIdx.x % tiles) * WARP + lane_index();
    int64_t end = (chunk + 1) * rows < N ? (chunk + 1) * rows : N;
    real sums[COUNT] = {};
    for (int64_t row = chunk * rows + warp_index(); row < end && column < C; row += COLUMN_WARPS) {
        f(row, column, sums);
    }
    for (int i = 0; i < COUNT; i++) {
        real total = sum_over_warps(sums[i]);
        if (warp_index() == 0 && column < C) {
            partials[(chunk * COUNT + i) * C + column] = total;
        }
    }
}

/* The arrays that COUNT sums of each column go to, each (C), or NULL. */
template <typename real, int COUNT> struct column_outputs {
    real *of[COUNT];
};

/* y.of[i][c] = sum of partials[., i, c], (parts, COUNT, C), in double. */
template <int COUNT, typename real>
__global__ void __launch_bounds__(COLUMN_THREADS)
    column_totals(int64_t parts, int64_t C, const real *partials, column_outputs<real, COUNT> y)
{
    int64_t column = static_cast<int64_t>(blockIdx.x) * WARP + lane_index(), columns = COUNT * C;
    double sum = 0.0;
#pragma unroll 8
    for (int64_t part = warp_index(); part < parts && column < columns; part += COLUMN_WARPS) {
        sum += static_cast<double>(partials[part * columns + column]);
    }
    sum = sum_over_warps(sum);
    if (warp_index() == 0) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            if (y.of[i] != nullptr && column / C == i) {
                y.of[i][column % C] = static_cast<real>(sum);
            }
        }
    }
}

/* Adds up partials (parts, COUNT, C) to y (each (C), or NULL). */
template <int COUNT, typename real>
mt_status add_columns(mt_device *device, const char *name, int64_t parts, int64_t C,
                      const real *partials, void *const *y)
{
    column_outputs<real, COUNT> outputs;
    for (int i = 0; i < COUNT; i++) {
        outputs.of[i] = static_cast<real *>(y[i]);
    }
    return launch(device, name, column_totals<COUNT, real>, parts_of(COUNT * C, WARP),
                  COLUMN_THREADS, COLUMN_THREADS * sizeof(double), parts, C, partials, outputs);
}

/* Runs f over all (row, column), and writes the COUNT sums to y (each (C), or NULL). Its second
 * launch has a name of its own. */
template <int COUNT, typename real, typename function>
mt_status sum_columns(mt_device *device, const char *name, const char *totals_name, int64_t N,
                      int64_t C, function f, void *const *y)
{
    int64_t rows = chunk_rows(N), chunks = parts_of(N, rows);
    void *memory;
    mt_status status =
        workspace(device, static_cast<size_t>(chunks * COUNT * C) * sizeof(real), &memory);
    real *partials = static_cast<real *>(memory);
    if (status == MT_OK) {
        status =
            launch(device, name, column_partials<COUNT, real, function>, chunks * parts_of(C, WARP),
                   COLUMN_THREADS, COLUMN_THREADS * sizeof(real), N, C, rows, f, partials);
    }
    return status == MT_OK ? add_columns<COUNT>(device, totals_name, chunks, C, partials, y)
                           : status;
}

} // namespace mt_cuda

#endif
