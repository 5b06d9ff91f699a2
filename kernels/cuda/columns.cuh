/* Sums over the rows of a matrix (N, C), for each column: the gradients of biases, norms and mixes.
 * Rows are cut into chunks; a block sums one chunk of 32 columns, and the last of the blocks that
 * have these columns sums the chunks. Internal. */
#ifndef MT_KERNELS_CUDA_COLUMNS_CUH
#define MT_KERNELS_CUDA_COLUMNS_CUH

#include "kernels/cuda/cuda.cuh"

namespace mt_cuda
{

constexpr int COLUMN_WARPS = 8, COLUMN_THREADS = COLUMN_WARPS * WARP;
constexpr size_t COLUMN_SUMS = COLUMN_THREADS * sizeof(double); /* bytes of sum_over_warps */

/* Rows of one chunk: the number of chunks stays below 256. */
inline int64_t chunk_rows(int64_t N)
{
    const int64_t least = 64, most_chunks = 256;
    int64_t rows = parts_of(N, most_chunks);
    return rows > least ? rows : least;
}

/* The sum of a number of each warp over the block's warps, in lane's column, in every thread of
 * warp 0. Takes COLUMN_SUMS bytes of shared memory at most. */
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

/* The arrays that COUNT sums of each column go to, each (C), or NULL. */
template <typename real, int COUNT> struct column_outputs {
    real *of[COUNT];
};

template <int COUNT, typename real> column_outputs<real, COUNT> make_outputs(void *const *y)
{
    column_outputs<real, COUNT> outputs;
    for (int i = 0; i < COUNT; i++) {
        outputs.of[i] = static_cast<real *>(y[i]);
    }
    return outputs;
}

/* The sum of `parts` numbers, `stride` apart, in lane's column, in every thread of warp 0. */
template <typename real>
__device__ inline double sum_parts(int64_t parts, int64_t stride, const real *first, bool inside)
{
    double sum = 0.0;
#pragma unroll 8
    for (int64_t part = warp_index(); part < parts && inside; part += COLUMN_WARPS) {
        sum += static_cast<double>(first[part * stride]);
    }
    return sum_over_warps(sum);
}

/* Tells every thread of a block if all others of `blocks` have called it before, with the same
 * counter, which is 0 again then: what those have written can be read. `before`: shared memory for
 * one number. */
__device__ inline bool is_last(unsigned *counter, unsigned blocks, unsigned *before)
{
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        *before = atomicInc(counter, blocks - 1);
    }
    __syncthreads();
    __threadfence();
    return *before == blocks - 1;
}

/* y.of[i][column] = the sum over rows of what f(row, column, sums) adds to sums[i], for `tiles`
 * times 32 columns from the first on, with partials (chunks, COUNT, C). */
template <int COUNT, typename real, typename function>
__global__ void __launch_bounds__(COLUMN_THREADS, ROOMY_BLOCKS)
    column_sums(int64_t N, int64_t C, int64_t rows, int64_t first, unsigned tiles, function f,
                real *partials, unsigned *counters, column_outputs<real, COUNT> y)
{
    begin_kernel();
    int64_t chunk = blockIdx.x / tiles, tile = blockIdx.x % tiles, chunks = gridDim.x / tiles;
    int64_t column = first + tile * WARP + lane_index();
    int64_t end = (chunk + 1) * rows < N ? (chunk + 1) * rows : N;
    bool inside = column < C;
    real sums[COUNT] = {};
    for (int64_t row = chunk * rows + warp_index(); row < end && inside; row += COLUMN_WARPS) {
        f(row, column, sums);
    }
    for (int i = 0; i < COUNT; i++) {
        real total = sum_over_warps(sums[i]);
        if (warp_index() == 0 && inside) {
            partials[(chunk * COUNT + i) * C + column] = total;
        }
    }
    unsigned *others = reinterpret_cast<unsigned *>(mt_shared + COLUMN_SUMS);
    if (!is_last(counters + tile, static_cast<unsigned>(chunks), others)) {
        return;
    }
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        double total = sum_parts(chunks, COUNT * C, partials + i * C + column, inside);
        if (y.of[i] != nullptr && warp_index() == 0 && inside) {
            y.of[i][column] = static_cast<real>(total);
        }
    }
}

/* Runs f over all (row, column), and writes the COUNT sums to y (each (C), or NULL). Of the
 * device's own stream, to which the counters belong. */
template <int COUNT, typename real, typename function>
mt_status sum_columns(mt_device *device, const char *name, int64_t N, int64_t C, function f,
                      void *const *y)
{
    int64_t rows = chunk_rows(N), chunks = parts_of(N, rows), tiles = parts_of(C, WARP);
    void *partials;
    mt_status status =
        workspace(device, static_cast<size_t>(chunks * COUNT * C) * sizeof(real), &partials);
    for (int64_t tile = 0; tile < tiles && status == MT_OK; tile += COUNTERS) {
        auto some = static_cast<unsigned>(tiles - tile < COUNTERS ? tiles - tile : COUNTERS);
        status = launch(device, name, column_sums<COUNT, real, function>, chunks * some,
                        COLUMN_THREADS, COLUMN_SUMS + sizeof(unsigned), N, C, rows, tile * WARP,
                        some, f, static_cast<real *>(partials), of(device)->counters,
                        make_outputs<COUNT, real>(y));
    }
    return status;
}

/* y.of[i][c] = sum of partials[., i, c], (parts, COUNT, C), in double. */
template <int COUNT, typename real>
__global__ void __launch_bounds__(COLUMN_THREADS)
    column_totals(int64_t parts, int64_t C, const real *partials, column_outputs<real, COUNT> y)
{
    begin_kernel();
    int64_t column = static_cast<int64_t>(blockIdx.x) * WARP + lane_index(), columns = COUNT * C;
    double total = sum_parts(parts, columns, partials + column, column < columns);
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        if (y.of[i] != nullptr && warp_index() == 0 && column / C == i) {
            y.of[i][column % C] = static_cast<real>(total);
        }
    }
}

/* Adds up partials (parts, COUNT, C) to y (each (C), or NULL), on any stream. */
template <int COUNT, typename real>
mt_status add_columns(mt_device *device, const char *name, int64_t parts, int64_t C,
                      const real *partials, void *const *y)
{
    return launch(device, name, column_totals<COUNT, real>, parts_of(COUNT * C, WARP),
                  COLUMN_THREADS, COLUMN_SUMS, parts, C, partials, make_outputs<COUNT, real>(y));
}

} // namespace mt_cuda

#endif
