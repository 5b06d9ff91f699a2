/* Kernels that move numbers: rows, and axes. */
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int MOVE_THREADS = 256, TILE = 32, TILE_ROWS = MOVE_THREADS / TILE;

/* dst[r][c] = src[r][c], an element to a thread, so that it does not matter which of the two there
 * are more of. A thread keeps its place in the row, to divide once. */
template <typename from, typename to>
__global__ void __launch_bounds__(MOVE_THREADS)
    copy_rows_kernel(int64_t rows, int64_t columns, const from *src, int64_t src_stride, to *dst,
                     int64_t dst_stride)
{
    begin_kernel();
    int64_t row = global_thread() / columns, column = global_thread() % columns;
    int64_t rows_on = global_threads() / columns, columns_on = global_threads() % columns;
    while (row < rows) {
        dst[row * dst_stride + column] = src[row * src_stride + column];
        row += rows_on;
        column += columns_on;
        if (column >= columns) {
            column -= columns;
            row++;
        }
    }
}

/* y (A, Q, M, P, N) from x (A, P, M, Q, N), in order of y. */
template <typename stored>
__global__ void __launch_bounds__(MOVE_THREADS)
    swap_axes_kernel(int64_t A, int64_t P, int64_t M, int64_t Q, int64_t N, const stored *x,
                     stored *y)
{
    begin_kernel();
    for (int64_t i = global_thread(); i < A * P * M * Q * N; i += global_threads()) {
        int64_t n = i % N, rest = i / N;
        int64_t p = rest % P, m = rest / P % M, q = rest / P / M % Q, a = rest / P / M / Q;
        y[i] = x[(((a * P + p) * M + m) * Q + q) * N + n];
    }
}

/* The same for N = 1, where neighbours in x are far apart in y: a block turns one tile after the
 * other in shared memory, whose rows are one longer so that a column of it lies in all banks. */
template <typename stored>
__global__ void __launch_bounds__(MOVE_THREADS)
    transpose_kernel(int64_t A, int64_t P, int64_t M, int64_t Q, const stored *x, stored *y)
{
    begin_kernel();
    auto tile = reinterpret_cast<stored(*)[TILE + 1]>(mt_shared);
    int64_t p_tiles = (P + TILE - 1) / TILE, q_tiles = (Q + TILE - 1) / TILE;
    int row = static_cast<int>(threadIdx.x) / TILE, lane = static_cast<int>(threadIdx.x) % TILE;
    for (int64_t turn = blockIdx.x; turn < A * M * p_tiles * q_tiles; turn += gridDim.x) {
        int64_t first_q = turn % q_tiles * TILE, rest = turn / q_tiles;
        int64_t first_p = rest % p_tiles * TILE, m = rest / p_tiles % M, a = rest / p_tiles / M;
        for (int k = row; k < TILE; k += TILE_ROWS) {
            if (first_p + k < P && first_q + lane < Q) {
                tile[k][lane] = x[((a * P + first_p + k) * M + m) * Q + first_q + lane];
            }
        }
        __syncthreads();
        for (int k = row; k < TILE; k += TILE_ROWS) {
            if (first_q + k < Q && first_p + lane < P) {
                y[((a * Q + first_q + k) * M + m) * P + first_p + lane] = tile[lane][k];
            }
        }
        __syncthreads();
    }
}

template <typename real>
__global__ void __launch_bounds__(MOVE_THREADS)
    commit_kernel(int64_t n, const double *halt, const real *x, real *y)
{
    begin_kernel();
    if (isnan(*halt)) {
        return;
    }
    for (int64_t i = global_thread(); i < n; i += global_threads()) {
        y[i] = x[i];
    }
}

template <typename from, typename to>
mt_status copy_rows_of(mt_device *device, int64_t rows, int64_t columns, const void *src,
                       int64_t src_stride, void *dst, int64_t dst_stride)
{
    return launch(device, "copy rows", copy_rows_kernel<from, to>,
                  grid_for(device, parts_of(rows * columns, MOVE_THREADS)), MOVE_THREADS, 0, rows,
                  columns, static_cast<const from *>(src), src_stride, static_cast<to *>(dst),
                  dst_stride);
}

} // namespace

template <typename stored>
mt_status copy_rows(mt_device *device, int64_t rows, int64_t columns, const void *src,
                    int64_t src_stride, void *dst, int64_t dst_stride)
{
    return copy_rows_of<stored, stored>(device, rows, columns, src, src_stride, dst, dst_stride);
}

template <typename stored>
mt_status broadcast_rows(mt_device *device, int64_t N, int64_t C, const void *x, void *y)
{
    return copy_rows_of<real_of<stored>, stored>(device, N, C, x, 0, y, C);
}

template <typename stored>
mt_status swap_axes(mt_device *device, int64_t A, int64_t P, int64_t M, int64_t Q, int64_t N,
                    const void *x, void *y)
{
    const stored *from = static_cast<const stored *>(x);
    stored *to = static_cast<stored *>(y);
    return N == 1 ? launch(device, "transpose", transpose_kernel<stored>,
                           grid_for(device, A * M * parts_of(P, TILE) * parts_of(Q, TILE)),
                           MOVE_THREADS, TILE * (TILE + 1) * sizeof(stored), A, P, M, Q, from, to)
                  : launch(device, "swap axes", swap_axes_kernel<stored>,
                           grid_for(device, parts_of(A * P * M * Q * N, MOVE_THREADS)),
                           MOVE_THREADS, 0, A, P, M, Q, N, from, to);
}

template <typename stored>
mt_status commit(mt_device *device, int64_t n, const double *halt, const void *x, void *y)
{
    typedef real_of<stored> real;
    return launch(device, "commit", commit_kernel<real>,
                  grid_for(device, parts_of(n, MOVE_THREADS)), MOVE_THREADS, 0, n, halt,
                  static_cast<const real *>(x), static_cast<real *>(y));
}

INSTANTIATE(copy_rows)
INSTANTIATE(broadcast_rows)
INSTANTIATE(swap_axes)
INSTANTIATE(commit)

} // namespace mt_cuda
