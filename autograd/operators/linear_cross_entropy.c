/* The loss of a linear map's outputs, which are held once: in backward their gradient takes their
 * place. */
#include "autograd/operators/linear_cross_entropy.h"
#include "autograd/operators/linear.h"
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

mt_status mt_linear_cross_entropy_shape(mt_call *call)
{
    mt_status status = mt_linear_check(call, MT_HEAD_BIAS);
    return status == MT_OK ? mt_cross_entropy_shape(call, MT_HEAD_TARGETS,
                                                    mt_leading_count(call->inputs[MT_HEAD_X]))
                           : status;
}

/* What forward keeps for backward, one array behind the other. */
typedef struct kept_arrays {
    void *lse;    /* (N) */
    int32_t *top; /* (N): where the largest logits are; NULL without L2Wrap */
    void *logits; /* (N, V) */
} kept_arrays;

/* Where they lie in memory that begins at `at`; returns how much they take. */
static size_t lay_out(const mt_call *call, const mt_linear_rows *all, char *at, kept_arrays *kept)
{
    size_t lse = mt_kept_bytes((size_t)all->N * mt_dtype_size(mt_dtype_wide(call->dtype)));
    size_t top = mt_kept_bytes(mt_cross_entropy_top_bytes(call, all->N));
    if (at != NULL) {
        kept->lse = at;
        kept->top = top > 0 ? (int32_t *)(void *)(at + lse) : NULL;
        kept->logits = at + lse + top;
    }
    return lse + top + (size_t)(all->N * all->out) * mt_dtype_size(call->dtype);
}

static mt_status keep_logits(mt_call *call, const mt_linear_rows *all, kept_arrays *kept)
{
    size_t bytes = lay_out(call, all, NULL, kept);
    mt_status status = mt_call_save(call, bytes);
    void *memory = call->saved;
    if (status == MT_OK && !call->recording) {
        status = mt_call_scratch(call, bytes, &memory);
    }
    if (status == MT_OK) {
        lay_out(call, all, memory, kept);
    }
    return status;
}

static mt_status linear_cross_entropy_forward(mt_call *call)
{
    mt_linear_rows all;
    kept_arrays kept = {NULL};
    mt_status status = mt_linear_rows_of(call, MT_HEAD_X, MT_HEAD_BIAS, &all);
    if (status == MT_OK) {
        status = keep_logits(call, &all, &kept);
    }
    if (status == MT_OK) {
        status = mt_linear_values(call, &all, kept.logits);
    }
    if (status != MT_OK) {
        return status;
    }
    mt_cross_entropy_forward_args args =
        mt_cross_entropy_forward_of(call, MT_HEAD_TARGETS, all.N, all.out, 0);
    args.logits = kept.logits;
    args.loss = call->outputs[MT_LOSS]->data;
    args.lse = kept.lse;
    args.top = kept.top;
    args.stats = call->outputs[MT_STATS]->data;
    return call->kernels->cross_entropy_forward(call->device, &args);
}

static mt_status linear_cross_entropy_backward(mt_call *call)
{
    mt_linear_rows all;
    mt_status status = mt_linear_rows_of(call, MT_HEAD_X, MT_HEAD_BIAS, &all);
    if (status != MT_OK) {
        return status;
    }
    kept_arrays kept = {NULL};
    lay_out(call, &all, call->saved, &kept);
    mt_cross_entropy_backward_args args =
        mt_cross_entropy_backward_of(call, MT_HEAD_TARGETS, all.N, all.out, 0);
    args.logits = args.dlogits = kept.logits;
    args.lse = kept.lse;
    args.top = kept.top;
    args.stats = call->outputs[MT_STATS]->data;
    args.dloss = call->grad_outputs[MT_LOSS];
    const mt_linear_grads grads = {call->grad_inputs[MT_HEAD_X], call->grad_inputs[MT_HEAD_WEIGHT],
                                   call->grad_inputs[MT_HEAD_BIAS]};
    status = call->kernels->cross_entropy_backward(call->device, &args);
    return status == MT_OK ? mt_linear_gradients(call, &all, kept.logits, false, &grads) : status;
}

const mt_op mt_op_linear_cross_entropy = {
    .name = "linear_cross_entropy",
    .formula = "y = mean of lse(x weight^T + bias) - (x weight^T + bias)[target]",
    .inputs = 3,
    .outputs = MT_LOSS_OUTPUTS,
    .shape = mt_linear_cross_entropy_shape,
    .forward = linear_cross_entropy_forward,
    .backward = linear_cross_entropy_backward,
    .wide = 1u << MT_HEAD_BIAS,
    .factors = 1u << MT_HEAD_WEIGHT,
    .compact = 1u << MT_HEAD_WEIGHT,
};

/* Rows of a block: so many that products are as fast as of all rows, and their logits 64 MiB of
 * float32. 0: all at once, where the logits are no more than that, or than the gradient of weight,
 * which blocks keep. */
static int64_t rows_of_a_block(bool recording, int64_t N, int64_t V, int64_t C)
{
    const int64_t most_logits = 1 << 24;
    int64_t most = most_logits / V > 0 ? most_logits / V : 1;
    int64_t blocks = (N + most - 1) / most;
    return blocks == 1 || (recording && N <= C) ? 0 : (N + blocks - 1) / blocks;
}

mt_tensor *mt_linear_cross_entropy_in_blocks(mt_tape *tape, mt_tensor *x, mt_tensor *weight,
                                             mt_tensor *bias, mt_tensor *targets,
                                             const mt_cross_entropy_options *options,
                                             mt_tensor **stats)
{
    const mt_op *op =
        options->rows > 0 ? &mt_op_linear_cross_entropy_in_blocks : &mt_op_linear_cross_entropy;
    return mt_apply_cross_entropy(tape, op, MT_HEAD_INPUTS,
                                  (mt_tensor *[]){x, weight, targets, bias}, options, stats);
}

mt_tensor *mt_linear_cross_entropy(mt_tape *tape, mt_tensor *x, mt_tensor *weight, mt_tensor *bias,
                                   mt_tensor *targets, int32_t ignore_index, double label_smoothing,
                                   mt_tensor **stats)
{
    return mt_linear_cross_entropy_l2wrap(tape, x, weight, bias, targets, ignore_index,
                                          label_smoothing, 0.0, stats);
}

mt_tensor *mt_linear_cross_entropy_l2wrap(mt_tape *tape, mt_tensor *x, mt_tensor *weight,
                                          mt_tensor *bias, mt_tensor *targets, int32_t ignore_index,
                                          double label_smoothing, double l2wrap, mt_tensor **stats)
{
    bool matrices = x != NULL && weight != NULL && weight->rank == 2;
    int64_t rows = matrices ? rows_of_a_block(mt_tape_recording(tape), mt_leading_count(x),
                                              weight->shape[0], weight->shape[1])
                            : 0;
    const mt_cross_entropy_options options = {.ignore_index = ignore_index,
                                              .label_smoothing = label_smoothing,
                                              .l2wrap = l2wrap,
                                              .rows = rows};
    return mt_linear_cross_entropy_in_blocks(tape, x, weight, bias, targets, &options, stats);
}
