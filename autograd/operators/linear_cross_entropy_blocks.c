/* The loss of a linear map's outputs in blocks of rows, of which no more than one is held.
 *
 * A block's logits are made, its losses taken, and its gradients at once, while the logits are
 * there: those of the sum of the losses, since how many rows count is known at the end, and what
 * gradient the loss has in backward, which multiplies them by both. */
#include "autograd/operators/linear.h"
#include "autograd/operators/linear_cross_entropy.h"
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

/* ---- what forward keeps for backward: what share of the sum the mean is, and gradients ---- */

static size_t kept_bytes(const mt_call *call, int input)
{
    const mt_tensor *x = call->inputs[input];
    bool wanted = x != NULL && x->requires_grad;
    return wanted ? mt_kept_bytes(mt_tensor_bytes(x)) : 0;
}

/* The gradient of an input; NULL where it is not wanted. */
static void *kept_grad(const mt_call *call, int input)
{
    size_t at = MT_KEPT_ALIGNMENT; /* behind the share */
    if (call->saved == NULL || kept_bytes(call, input) == 0) {
        return NULL;
    }
    for (int before = 0; before < input; before++) {
        at += kept_bytes(call, before);
    }
    return (char *)call->saved + at;
}

static mt_status keep_grads(mt_call *call)
{
    size_t bytes = MT_KEPT_ALIGNMENT;
    for (int input = 0; input < MT_HEAD_INPUTS; input++) {
        bytes += kept_bytes(call, input);
    }
    return mt_call_save(call, bytes);
}

/* ---- blocks ---- */

/* Memory that is free again after forward. */
typedef struct block_memory {
    void *logits;               /* (rows, V), then their gradients */
    void *lse;                  /* (rows) */
    int32_t *top;               /* (rows): where the largest logits are; NULL without L2Wrap */
    void *one;                  /* (1): the gradient of a sum, and its count */
    void *dbias;                /* (V): of one block */
    mt_cross_entropy_row *rows; /* (N): of all blocks */
} block_memory;

static mt_status take_memory(mt_call *call, int64_t N, int64_t V, block_memory *memory)
{
    const mt_cross_entropy_options *options = call->options;
    size_t real = mt_dtype_size(call->dtype), wide = mt_dtype_size(mt_dtype_wide(call->dtype));
    void **arrays[] = {&memory->logits, &memory->lse,           &memory->one,
                       &memory->dbias,  (void **)&memory->rows, (void **)&memory->top};
    const size_t sizes[] = {(size_t)(options->rows * V) * real,
                            (size_t)options->rows * wide,
                            wide,
                            (size_t)V * wide,
                            (size_t)N * sizeof *memory->rows,
                            mt_cross_entropy_top_bytes(call, options->rows)};
    int count = options->l2wrap > 0.0 ? 6 : 5;
    mt_status status = MT_OK;
    for (int i = 0; i < count && status == MT_OK; i++) {
        status = mt_call_scratch(call, sizes[i], arrays[i]);
    }
    return status == MT_OK ? call->wide->fill(call->device, 1, 1.0, memory->one) : status;
}

static mt_status find_losses(mt_call *call, const block_memory *memory, const mt_linear_rows *block,
                             int64_t first)
{
    mt_cross_entropy_forward_args args =
        mt_cross_entropy_forward_of(call, MT_HEAD_TARGETS, block->N, block->out, first);
    args.logits = memory->logits;
    args.lse = memory->lse;
    args.top = memory->top;
    args.rows = memory->rows + first;
    mt_status status = mt_linear_values(call, block, memory->logits);
    return status == MT_OK ? call->kernels->cross_entropy_forward(call->device, &args) : status;
}

/* No kernel adds to a bias's gradient. */
static mt_status add_bias_grad(const mt_call *call, const block_memory *memory,
                               const mt_linear_rows *block, int64_t first)
{
    void *sum = kept_grad(call, MT_HEAD_BIAS);
    if (sum == NULL) {
        return MT_OK;
    }
    void *of_block = first > 0 ? memory->dbias : sum;
    mt_status status = call->kernels->sum_rows(call->device, 1, block->N, block->out,
                                               memory->logits, 0, of_block, 0);
    return status == MT_OK && first > 0
               ? call->wide->add(call->device, block->out, sum, of_block, sum)
               : status;
}

static mt_status find_grads(mt_call *call, const block_memory *memory, const mt_linear_rows *block,
                            int64_t first)
{
    mt_cross_entropy_backward_args args =
        mt_cross_entropy_backward_of(call, MT_HEAD_TARGETS, block->N, block->out, first);
    args.logits = args.dlogits = memory->logits;
    args.lse = memory->lse;
    args.top = memory->top;
    args.stats = args.dloss = memory->one;
    size_t row = (size_t)block->in * mt_dtype_size(call->dtype);
    char *dx = kept_grad(call, MT_HEAD_X);
    mt_linear_grads grads = {.x = dx != NULL ? dx + (size_t)first * row : NULL,
                             .weight = kept_grad(call, MT_HEAD_WEIGHT)};
    mt_status status = call->kernels->cross_entropy_backward(call->device, &args);
    if (status == MT_OK) {
        status = mt_linear_gradients(call, block, memory->logits, first > 0, &grads);
    }
    return status == MT_OK ? add_bias_grad(call, memory, block, first) : status;
}

/* ---- the operator ---- */

static mt_status blocks_forward(mt_call *call)
{
    const mt_cross_entropy_options *options = call->options;
    mt_linear_rows all;
    block_memory memory = {NULL};
    mt_status status = mt_linear_rows_of(call, MT_HEAD_X, MT_HEAD_BIAS, &all);
    if (status == MT_OK) {
        status = keep_grads(call);
    }
    if (status == MT_OK) {
        status = take_memory(call, all.N, all.out, &memory);
    }
    size_t row = (size_t)all.in * mt_dtype_size(call->dtype);
    for (int64_t first = 0; first < all.N && status == MT_OK; first += options->rows) {
        mt_linear_rows block = all;
        block.x = (const char *)all.x + (size_t)first * row;
        block.N = all.N - first < options->rows ? all.N - first : options->rows;
        status = find_losses(call, &memory, &block, first);
        if (status == MT_OK && call->recording) {
            status = find_grads(call, &memory, &block, first);
        }
    }
    const mt_cross_entropy_total_args total = {.N = all.N,
                                               .rows = memory.rows,
                                               .loss = call->outputs[MT_LOSS]->data,
                                               .stats = call->outputs[MT_STATS]->data,
                                               .share = call->saved};
    return status == MT_OK ? call->kernels->cross_entropy_total(call->device, &total) : status;
}

static mt_status blocks_backward(mt_call *call)
{
    void *factor;
    mt_status status = mt_call_scratch(call, mt_dtype_size(mt_dtype_wide(call->dtype)), &factor);
    if (status == MT_OK) {
        status =
            call->wide->multiply(call->device, 1, call->grad_outputs[MT_LOSS], call->saved, factor);
    }
    for (int input = 0; input < MT_HEAD_INPUTS && status == MT_OK; input++) {
        if (call->grad_inputs[input] != NULL) {
            const mt_tensor *x = call->inputs[input];
            status = call->device->kernels[x->dtype]->scale_by(call->device, mt_tensor_count(x),
                                                               factor, kept_grad(call, input),
                                                               call->grad_inputs[input]);
        }
    }
    return status;
}

const mt_op mt_op_linear_cross_entropy_in_blocks = {
    .name = "linear_cross_entropy_in_blocks",
    .formula = "y = mean of lse(x weight^T + bias) - (x weight^T + bias)[target]",
    .inputs = 3,
    .outputs = MT_LOSS_OUTPUTS,
    .shape = mt_linear_cross_entropy_shape,
    .forward = blocks_forward,
    .backward = blocks_backward,
    .wide = 1u << MT_HEAD_BIAS,
    .factors = 1u << MT_HEAD_WEIGHT,
    .compact = 1u << MT_HEAD_WEIGHT,
};
