/* What the operators of the cross-entropy share. Internal. */
#ifndef MT_AUTOGRAD_OPERATORS_CROSS_ENTROPY_H
#define MT_AUTOGRAD_OPERATORS_CROSS_ENTROPY_H

#include <mixtape/extend.h>
#include <mixtape/operators.h>

enum { MT_LOSS, MT_STATS, MT_LOSS_OUTPUTS };

typedef struct mt_cross_entropy_options {
    int32_t ignore_index;
    double label_smoothing;
    double l2wrap;
    int64_t rows; /* of a block, where the logits are made in blocks */
} mt_cross_entropy_options;

/* Checks the targets, which are the call's input `targets`, of N rows, and the options; and gives
 * the outputs their shapes. */
mt_status mt_cross_entropy_shape(mt_call *call, int targets, int64_t N);

/* Arguments of the kernels for N rows of V logits, with the call's options and its targets from
 * `first_row` on; arrays are the caller's to fill in. */
mt_cross_entropy_forward_args mt_cross_entropy_forward_of(const mt_call *call, int targets,
                                                          int64_t N, int64_t V, int64_t first_row);
mt_cross_entropy_backward_args mt_cross_entropy_backward_of(const mt_call *call, int targets,
                                                            int64_t N, int64_t V,
                                                            int64_t first_row);

/* Memory for where N rows have their largest logits, if l2wrap asks for it. */
size_t mt_cross_entropy_top_bytes(const mt_call *call, int64_t N);

/* Applies one of the operators; arguments as mt_cross_entropy's. */
mt_tensor *mt_apply_cross_entropy(mt_tape *tape, const mt_op *op, int input_count,
                                  mt_tensor *const *inputs, const mt_cross_entropy_options *options,
                                  mt_tensor **stats);

#endif
