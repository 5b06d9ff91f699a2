/* The choices by which WKV's CUDA kernels are tuned. Each can be given to the compiler instead
 * (-DMT_WKV_WARPS=8): bench/gpu_sweep.py builds the kernels so, checks them and times them on the
 * machine that it runs on. Results differ in rounding alone: by WARPS, STEPS and GROUP_CHUNKS,
 * which decide what is summed with what.
 *
 * None of these values has been chosen by a measurement on a GPU yet. They come from counts of
 * instructions, registers, shared memory and bytes on their way (docs/performance.md). Internal to
 * wkv.cu. */
#ifndef MT_KERNELS_CUDA_WKV_TUNING_CUH
#define MT_KERNELS_CUDA_WKV_TUNING_CUH

/* The most warps of a block, a power of 2 from 2 to 16. More make chunks longer and what a chunk
 * costs (the chain, the saved state) rarer, but leave fewer blocks to fill a device with. Chosen by
 * counts: 4 warps have one each on a multiprocessor's four schedulers. */
#ifndef MT_WKV_WARPS
#define MT_WKV_WARPS 4
#endif

/* Steps of a warp, 4 to 32, in float32; half of them in float64. Their inputs are registers, all
 * loaded at once. Chosen by counts: 16 are the most with which the registers of all blocks below
 * fit. */
#ifndef MT_WKV_STEPS
#define MT_WKV_STEPS 16
#endif

/* Chunks of a group, a multiple of WARPS. A block composes up to as many summaries, and the chain
 * has a link for each group. Chosen by counts: a link takes about as long as the summaries. */
#ifndef MT_WKV_GROUP_CHUNKS
#define MT_WKV_GROUP_CHUNKS 16
#endif

/* Blocks that a multiprocessor shall hold at once by their registers, in float32; two thirds of
 * them in float64. While some wait for memory, others compute. Chosen by counts: the most without
 * spills on sm_80 and sm_90. */
#ifndef MT_WKV_FORWARD_BLOCKS
#define MT_WKV_FORWARD_BLOCKS 6
#endif
#ifndef MT_WKV_BACKWARD_BLOCKS
#define MT_WKV_BACKWARD_BLOCKS 5
#endif

/* 1: the two factors by which numbers are scaled are found where they are needed, by an exponential
 * and a comparison. 0: out of one number that has the exponential's value and the comparison's
 * outcome as its sign, which backward keeps in either case. The bits are the same. Chosen by
 * counts: forward has a twentieth fewer instructions. */
#ifndef MT_WKV_DIRECT_FACTORS
#define MT_WKV_DIRECT_FACTORS 1
#endif

/* 1: blocks take their work by tickets, in the order in which they begin, so that a block only
 * waits for blocks that run already. It costs a block one atomic addition, which it has to wait
 * for. 0: by their numbers. CUDA does not promise that blocks begin in the order of their numbers;
 * were one to begin before a block that it waits for, and keep that from beginning, the kernel
 * would end by a trap. A launch with one chunk has no chain, and takes no tickets. Chosen because
 * it is right whatever a device does; its cost has not been measured. */
#ifndef MT_WKV_TICKETS
#define MT_WKV_TICKETS 1
#endif

/* How often a thread looks for a number that another block shall publish: should blocks wait for
 * one another in vain, the kernel fails instead of standing still. About 3 seconds of waiting if a
 * look takes 0.7 microseconds (an estimate, by the latency of the second-level cache), thousands of
 * times the longest that can be. */
#ifndef MT_WKV_MOST_POLLS
#define MT_WKV_MOST_POLLS (1 << 22)
#endif

/* The share of a multiprocessor's memory, in per cent, that backward asks for as shared memory
 * rather than cache; -1 leaves it to the driver. Chosen by counts: the blocks above take 224 of the
 * 228 KiB that sm_90 has, and with the next smaller share one less has room. */
#ifndef MT_WKV_CARVEOUT
#define MT_WKV_CARVEOUT 100
#endif

#include "kernels/cuda/cuda.cuh"

namespace mt_cuda
{

constexpr int WARPS = MT_WKV_WARPS, THREADS = WARPS * WARP;
constexpr int LEAST_WARPS = 2; /* for the two sums of backward */
template <typename real>
constexpr int STEPS = MT_WKV_STEPS *static_cast<int>(sizeof(float)) /
                      static_cast<int>(sizeof(real));
constexpr int GROUP_CHUNKS = MT_WKV_GROUP_CHUNKS;
constexpr unsigned MOST_POLLS = MT_WKV_MOST_POLLS;
constexpr bool DIRECT_FACTORS = MT_WKV_DIRECT_FACTORS, TICKETS = MT_WKV_TICKETS;

constexpr int blocks_for(int in_float32, size_t size)
{
    int blocks = size == sizeof(float) ? in_float32 : in_float32 * 2 / 3;
    return blocks > 0 ? blocks : 1;
}

template <typename real>
constexpr int FORWARD_BLOCKS = blocks_for(MT_WKV_FORWARD_BLOCKS, sizeof(real));
template <typename real>
constexpr int BACKWARD_BLOCKS = blocks_for(MT_WKV_BACKWARD_BLOCKS, sizeof(real));

static_assert(WARPS >= LEAST_WARPS && WARPS <= 16 && (WARPS & (WARPS - 1)) == 0,
              "a block's warps are halved where time is short");
static_assert(STEPS<double> >= 2 && STEPS<double> * 2 == STEPS<float>, "half as many in float64");
static_assert(GROUP_CHUNKS % WARPS == 0, "each warp gathers its share of a group");

} // namespace mt_cuda

#endif
