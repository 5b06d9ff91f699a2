/* Dropout by counter: four elements to a Philox block, sixteen blocks at a time. */
#include "kernels/cpu/kernels.h"
#include "kernels/philox.h"

#include <math.h>

/* Blocks side by side, so that the rounds of Philox are vector arithmetic. */
enum { BLOCKS = 16, GROUP = 4 * BLOCKS };

/* The word of each element of a group, which begins with the given block. */
static inline void group_words(const mt_dropout_args *args, uint64_t first_block,
                               uint32_t words[GROUP])
{
#pragma omp simd
    for (int lane = 0; lane < BLOCKS; lane++) {
        mt_philox_rounds(args->seed, first_block + (uint64_t)lane,
                         mt_dropout_sequence(*args->step, args->place),
                         words + (ptrdiff_t)4 * lane);
    }
}

typedef struct dropout_loop {
    const mt_dropout_args *args;
    uint32_t least; /* word of an element that stays */
} dropout_loop;

/* Groups are counted from the one that the first element is in. */
static void drop_groups(const void *loop, int64_t first_group, int64_t end_group)
{
    const mt_dropout_args *args = ((const dropout_loop *)loop)->args;
    int64_t skipped = args->first / GROUP;
    uint32_t least = ((const dropout_loop *)loop)->least;
    const stored *x = args->x;
    stored *y = args->y;
    real scale = (real)(1.0 / (1.0 - args->p));
    for (int64_t group = skipped + first_group; group < skipped + end_group; group++) {
        uint32_t words[GROUP];
        int64_t before = group * GROUP - args->first, rest = args->n - before;
        int begin = before < 0 ? (int)-before : 0, end = rest < GROUP ? (int)rest : GROUP;
        group_words(args, (uint64_t)(group * BLOCKS), words);
#pragma omp simd
        for (int i = begin; i < end; i++) {
            real kept = words[i] >= least ? value(x[before + i]) * scale : (real)0.0;
            y[before + i] = rounded(kept);
        }
    }
}

mt_status KERNEL(dropout)(mt_device *device, const mt_dropout_args *args)
{
    /* The least integer that is at least p 2^32; words are compared as 32 bits. */
    double threshold = ceil(args->p * 4294967296.0);
    if (threshold > 4294967295.0) {
        return KERNEL(fill)(device, args->n, 0.0, args->y);
    }
    dropout_loop loop = {args, (uint32_t)threshold};
    int64_t groups = (args->first % GROUP + args->n + GROUP - 1) / GROUP;
    mt_team_loop(args->n, groups, drop_groups, &loop);
    return MT_OK;
}
