/* The threads of grids, as fibres on one thread of the host. Internal to CUDA-on-CPU.
 *
 * A fibre runs one thread after another to their ends; only a thread that waits (at a barrier, for
 * the other lanes of its warp, for another block) keeps its fibre, and another one takes over. A
 * few blocks are there at a time, as on a multiprocessor, those of several grids among them, and
 * take turns. How many is drawn anew each time. Blocks of a grid begin by their numbers, or within
 * bounds in another order. The order in which threads start, and go on after a barrier, is
 * shuffled: what depends on it without a barrier changes from run to run. Waiting that
 * cannot end, because threads are gone or wait elsewhere, ends the program with a message.
 *
 * Where a launch allows it, a grid's blocks begin once all blocks of the grid before it have said
 * that they may, or ended. So each of its threads has to wait for that grid, whatever it does
 * then. */
#ifndef CUDA_ON_CPU_FIBRES_H
#define CUDA_ON_CPU_FIBRES_H

#include <cuda_runtime.h>

#include <vector>

namespace cuda_on_cpu
{

constexpr size_t SHARED_BYTES = 48 << 10;        /* that a block can have */
constexpr size_t ASKED_SHARED_BYTES = 227 << 10; /* ... where its kernel asks for it */

struct grid {
    unsigned blocks, threads;
    size_t shared_bytes; /* of a block */
    unsigned disorder;   /* places before or after its own that a block may begin at */
    bool overlaps; /* may begin before the grid before it on its stream has ended, and waits for
                      that */
    std::function<void()> body;
};

/* Runs each grid's `body` as each thread of each of its blocks, with threadIdx and blockIdx set.
 * A stream is grids that follow one another, of which all but the first overlap; streams have
 * nothing to do with one another. At most `residents` blocks are there at a time; 0: as many as
 * are drawn. False: a thread stopped all of them, as __trap does. */
bool run_grids(const std::vector<std::vector<grid>> &streams, unsigned residents);

/* The next number of the shuffling generator, below `bound`. */
unsigned shuffled_below(unsigned bound);

} // namespace cuda_on_cpu

#endif
