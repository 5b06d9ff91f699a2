/* The two operators of mt_linear_cross_entropy: all rows at once, and blocks of rows. Internal. */
#ifndef MT_AUTOGRAD_OPERATORS_LINEAR_CROSS_ENTROPY_H
#define MT_AUTOGRAD_OPERATORS_LINEAR_CROSS_ENTROPY_H

#include "autograd/operators/cross_entropy.h"

enum { MT_HEAD_X, MT_HEAD_WEIGHT, MT_HEAD_TARGETS, MT_HEAD_BIAS, MT_HEAD_INPUTS };

enum { MT_KEPT_ALIGNMENT = 64 }; /* of each array that forward keeps */

static inline size_t mt_kept_bytes(size_t bytes)
{
    return (bytes + MT_KEPT_ALIGNMENT - 1) / MT_KEPT_ALIGNMENT * MT_KEPT_ALIGNMENT;
}

mt_status mt_linear_cross_entropy_shape(mt_call *call);

/* mt_linear_cross_entropy_l2wrap in blocks of options->rows rows, of which the last may be shorter;
 * 0: all at once. */
mt_tensor *mt_linear_cross_entropy_in_blocks(mt_tape *tape, mt_tensor *x, mt_tensor *weight,
                                             mt_tensor *bias, mt_tensor *targets,
                                             const mt_cross_entropy_options *options,
                                             mt_tensor **stats);

#endif
