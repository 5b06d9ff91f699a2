/* The transducer loss on the tape. */
#include <mixtape/transducer.h>

#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

#include <math.h>

enum { LOGITS, FRAMES, LABEL_LENGTHS, LABELS, INPUTS };

typedef struct transducer_options {
    int32_t blank;
    double fastemit_lambda;
} transducer_options;

static const int32_t *indices_of(const mt_call *call, int index)
{
    return call->inputs[index] != NULL ? call->inputs[index]->data : NULL;
}

/* An input of int32 numbers, `count` of them. */
static mt_status expect_numbers(const mt_call *call, int index, const char *name, int64_t count)
{
    mt_status status = mt_expect_indices(call, index, name);
    return status == MT_OK ? mt_expect_count(call, index, name, count) : status;
}

static mt_status check_labels(const mt_call *call, int64_t B, int64_t U)
{
    if (call->inputs[LABELS] == NULL && U > 0) {
        return mt_fail(MT_ERROR_INVALID, "%s: labels is NULL, expected %lld for each row",
                       call->op->name, (long long)U);
    }
    return call->inputs[LABELS] != NULL ? expect_numbers(call, LABELS, "labels", B * U) : MT_OK;
}

static mt_status transducer_shape(mt_call *call)
{
    const transducer_options *options = call->options;
    mt_status status = mt_expect_rank(call, LOGITS, "logits", 4);
    if (status != MT_OK) {
        return status;
    }
    const int64_t *shape = call->inputs[LOGITS]->shape;
    if (options->blank < 0 || options->blank >= shape[3]) {
        return mt_fail(MT_ERROR_INVALID, "%s: blank %d, not in 0 .. %lld", call->op->name,
                       options->blank, (long long)shape[3] - 1);
    }
    if (!(options->fastemit_lambda >= 0.0 && isfinite(options->fastemit_lambda))) {
        return mt_fail(MT_ERROR_INVALID, "%s: fastemit_lambda %g, expected a number from 0 on",
                       call->op->name, options->fastemit_lambda);
    }
    status = check_labels(call, shape[0], shape[2] - 1);
    if (status == MT_OK) {
        status = expect_numbers(call, FRAMES, "frames", shape[0]);
    }
    if (status == MT_OK) {
        status = expect_numbers(call, LABEL_LENGTHS, "label_lengths", shape[0]);
    }
    mt_call_output_wide(call, 0, 1, shape);
    return status;
}

static mt_status transducer_forward(mt_call *call)
{
    const transducer_options *options = call->options;
    const int64_t *shape = call->inputs[LOGITS]->shape;
    size_t nodes = (size_t)mt_leading_count(call->inputs[LOGITS]);
    mt_transducer_forward_args args = {.B = shape[0],
                                       .T = shape[1],
                                       .U = shape[2] - 1,
                                       .V = shape[3],
                                       .blank = options->blank,
                                       .logits = call->inputs[LOGITS]->data,
                                       .labels = indices_of(call, LABELS),
                                       .frames = indices_of(call, FRAMES),
                                       .label_lengths = indices_of(call, LABEL_LENGTHS),
                                       .losses = call->outputs[0]->data};
    size_t bytes = nodes * sizeof(double);
    void *of_nodes = NULL, *betas = NULL;
    mt_status status = mt_call_save(call, 2 * bytes);
    if (status == MT_OK) {
        status = mt_call_scratch(call, nodes * sizeof *args.nodes, &of_nodes);
    }
    if (status == MT_OK && !call->recording) {
        status = mt_call_scratch(call, bytes, &betas);
    }
    args.nodes = of_nodes;
    args.betas = call->recording ? call->saved : betas;
    args.alphas = call->recording ? args.betas + nodes : NULL;
    return status == MT_OK ? call->kernels->transducer_forward(call->device, &args) : status;
}

static mt_status transducer_backward(mt_call *call)
{
    const transducer_options *options = call->options;
    const int64_t *shape = call->inputs[LOGITS]->shape;
    int64_t nodes = mt_leading_count(call->inputs[LOGITS]);
    mt_transducer_backward_args args = {.B = shape[0],
                                        .T = shape[1],
                                        .U = shape[2] - 1,
                                        .V = shape[3],
                                        .blank = options->blank,
                                        .fastemit_lambda = options->fastemit_lambda,
                                        .logits = call->inputs[LOGITS]->data,
                                        .labels = indices_of(call, LABELS),
                                        .frames = indices_of(call, FRAMES),
                                        .label_lengths = indices_of(call, LABEL_LENGTHS),
                                        .betas = call->saved,
                                        .alphas = (const double *)call->saved + nodes,
                                        .dlosses = call->grad_outputs[0],
                                        .dlogits = call->grad_inputs[LOGITS]};
    return call->kernels->transducer_backward(call->device, &args);
}

const mt_op mt_op_transducer_loss = {
    .name = "transducer_loss",
    .formula = "y[b] = -log of the sum over alignments of p(labels[b])",
    .inputs = 3,
    .outputs = 1,
    .shape = transducer_shape,
    .forward = transducer_forward,
    .backward = transducer_backward,
};

mt_tensor *mt_transducer_loss(mt_tape *tape, mt_tensor *logits, mt_tensor *labels,
                              mt_tensor *frames, mt_tensor *label_lengths, int32_t blank,
                              double fastemit_lambda)
{
    transducer_options options = {.blank = blank, .fastemit_lambda = fastemit_lambda};
    mt_tensor *inputs[INPUTS] = {logits, frames, label_lengths, labels};
    return mt_apply(tape, &mt_op_transducer_loss, INPUTS, inputs, &options, sizeof options);
}
