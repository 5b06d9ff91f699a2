/* Dropout by counter: a Philox block, and so four elements, to a thread. */
#include "kernels/cuda/kernels.cuh"
#include "kernels/philox.h"

namespace mt_cuda
{

namespace
{

constexpr int DROPOUT_THREADS = 256;

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(DROPOUT_THREADS)
    drop(int64_t first, int64_t n, uint64_t seed, const uint64_t *step, uint64_t place,
         uint64_t least, real scale, const stored *x, stored *y)
{
    begin_kernel();
    uint64_t sequence = mt_dropout_sequence(*step, place);
    int64_t block = first / 4 + global_thread();
    for (; block * 4 < first + n; block += global_threads()) {
        uint32_t words[4];
        mt_philox_rounds(seed, static_cast<uint64_t>(block), sequence, words);
        for (int k = 0; k < 4; k++) {
            int64_t i = block * 4 + k - first;
            if (i >= 0 && i < n) {
                y[i] = words[k] >= least ? x[i] * scale : real(0);
            }
        }
    }
}

} // namespace

template <typename stored> mt_status dropout(mt_device *device, const mt_dropout_args *args)
{
    uint64_t least = static_cast<uint64_t>(ceil(args->p * 4294967296.0));
    return launch(device, "dropout", drop<stored>,
                  grid_for(device, parts_of(args->first % 4 + args->n, 4 * DROPOUT_THREADS)),
                  DROPOUT_THREADS, 0, args->first, args->n, args->seed, args->step, args->place,
                  least, static_cast<real_of<stored>>(1.0 / (1.0 - args->p)),
                  static_cast<const stored *>(args->x), static_cast<stored *>(args->y));
}

INSTANTIATE(dropout)

} // namespace mt_cuda
