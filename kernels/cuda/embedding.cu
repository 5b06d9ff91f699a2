/* Rows of a table. An index out of range gives a row of NaN and a finding for the host. */
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int EMBED_THREADS = 128;

/* A warp to a row. */
template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(EMBED_THREADS)
    gather_rows(int64_t N, int64_t V, int64_t C, const int32_t *indices, const real *table,
                stored *y, findings to)
{
    begin_kernel();
    for (int64_t n = global_warp(); n < N; n += global_warps()) {
        int64_t index = indices[n];
        bool known = index >= 0 && index < V;
        if (!known && lane_index() == 0) {
            report(to, WRONG_INDEX, index, n, V);
        }
        for (int64_t c = lane_index(); c < C; c += WARP) {
            y[n * C + c] = known ? table[index * C + c] : not_a_number<real>();
        }
    }
}

/* A block to a row of the table: it looks for the row's uses, a stretch of EMBED_THREADS indices
 * at a time, and adds them in their order. */
template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(EMBED_THREADS) scatter_rows(mt_embedding_backward_args args)
{
    begin_kernel();
    int64_t N = args.N, V = args.V, C = args.C;
    const stored *dy = static_cast<const stored *>(args.dy);
    real *dtable = static_cast<real *>(args.dtable);
    unsigned *found = reinterpret_cast<unsigned *>(mt_shared); /* (warps): a bit to an index */
    for (int64_t v = blockIdx.x; v < V; v += gridDim.x) {
        bool is_zero = args.zero_rows != nullptr && args.zero_rows[v] != 0, is_used = false;
        for (int64_t c = threadIdx.x; c < C && !args.adds && !is_zero; c += EMBED_THREADS) {
            dtable[v * C + c] = real(0);
        }
        __syncthreads(); /* all know what the first will write over */
        for (int64_t first = 0; first < N && v != args.padding_index; first += EMBED_THREADS) {
            int64_t n = first + threadIdx.x;
            unsigned uses = __ballot_sync(ALL_LANES, n < N && args.indices[n] == v);
            if (lane_index() == 0) {
                found[warp_index()] = uses;
            }
            __syncthreads();
            for (int warp = 0; warp < EMBED_THREADS / WARP; warp++) {
                is_used = is_used || found[warp] != 0;
                for (unsigned rest = found[warp]; rest != 0; rest &= rest - 1) {
                    const stored *from =
                        dy + (first + warp * WARP + __ffs(static_cast<int>(rest)) - 1) * C;
                    for (int64_t c = threadIdx.x; c < C; c += EMBED_THREADS) {
                        dtable[v * C + c] += from[c];
                    }
                }
            }
            __syncthreads();
        }
        if (args.zero_rows != nullptr && threadIdx.x == 0) {
            args.zero_rows[v] = !is_used && (is_zero || !args.adds) ? 1 : 0;
        }
    }
}

} // namespace

template <typename stored>
mt_status embedding_forward(mt_device *device, const mt_embedding_forward_args *args)
{
    return launch(device, "embedding", gather_rows<stored>,
                  grid_for(device, parts_of(args->N, EMBED_THREADS / WARP)), EMBED_THREADS, 0,
                  args->N, args->V, args->C, args->indices,
                  static_cast<const real_of<stored> *>(args->table), static_cast<stored *>(args->y),
                  of(device)->findings);
}

template <typename stored>
mt_status embedding_backward(mt_device *device, const mt_embedding_backward_args *args)
{
    return launch(device, "embedding backward", scatter_rows<stored>, grid_for(device, args->V),
                  EMBED_THREADS, EMBED_THREADS / WARP * sizeof(unsigned), *args);
}

INSTANTIATE(embedding_forward)
INSTANTIATE(embedding_backward)

} // namespace mt_cuda
