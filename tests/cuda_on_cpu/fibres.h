/* The threads of a block, as fibres on one thread of the host. Internal to CUDA-on-CPU.
 *
 * A fibre runs one thread after another to their ends; only a thread that waits (at a barrier, for
 * the other lanes of its warp) keeps its fibre, and another one takes over. The order in which
 * threads start, and go on after a barrier, is shuffled: what depends on it without a barrier
 * changes from run to run. Waiting that cannot end, because threads are gone or wait elsewhere, ends
 * the program with a message. */
#ifndef CUDA_ON_CPU_FIBRES_H
#define CUDA_ON_CPU_FIBRES_H

#include <cuda_runtime.h>

namespace cuda_on_cpu
{

/* Runs `body` as each of the block's threads, with threadIdx set. */
void run_block(unsigned threads, const std::function<void()> &body);

/* The next number of the shuffling generator, below `bound`. */
unsigned shuffled_below(unsigned bound);

} // namespace cuda_on_cpu

#endif
