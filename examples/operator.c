/* An operator of one's own, the mean over time, and with it a layer of one's own: a classifier of
 * whole sequences. The gradients of both are checked against central differences. */
#include <mixtape/extend.h>
#include <mixtape/mixtape.h>

#include <stdio.h>

enum { B = 2, T = 5, S = 4, A = 16, CLASSES = 3 };

/* ---- the operator: y[b][c] = mean over t of x[b][t][c];  x (B, T, C), y (B, C) ---- */

static mt_status mean_over_time_shape(mt_call *call)
{
    const mt_tensor *x = call->inputs[0];
    if (x->rank != 3) {
        return mt_fail(MT_ERROR_INVALID, "x has rank %d, not 3", x->rank);
    }
    const int64_t shape[] = {x->shape[0], x->shape[2]};
    mt_call_output(call, 0, 2, shape);
    return MT_OK;
}

/* The rows of one batch element lie side by side. Kernels are the device's own, so the operator
 * runs wherever the tape is. */
static mt_status mean_over_time_forward(mt_call *call)
{
    const mt_tensor *x = call->inputs[0];
    int64_t steps = x->shape[1], channels = x->shape[2];
    void *y = call->outputs[0]->data;
    mt_status status =
        call->kernels->sum_rows(call->device, x->shape[0], steps, channels, x->data, 0, y, 0);
    return status == MT_OK ? call->kernels->scale(call->device, x->shape[0] * channels,
                                                  1.0 / (double)steps, y, y)
                           : status;
}

/* dx[b][t][c] = dy[b][c] / T */
static mt_status mean_over_time_backward(mt_call *call)
{
    const mt_tensor *x = call->inputs[0];
    int64_t steps = x->shape[1], channels = x->shape[2];
    size_t size = mt_dtype_size(call->dtype);
    const char *dy = call->grad_outputs[0];
    char *dx = call->grad_inputs[0];
    mt_status status = MT_OK;
    for (int64_t b = 0; b < x->shape[0] && status == MT_OK; b++) {
        status = call->kernels->broadcast_rows(call->device, steps, channels,
                                               dy + (size_t)(b * channels) * size,
                                               dx + (size_t)(b * steps * channels) * size);
    }
    return status == MT_OK
               ? call->kernels->scale(call->device, mt_tensor_count(x), 1.0 / (double)steps, dx, dx)
               : status;
}

static mt_tensor *mean_over_time(mt_tape *tape, mt_tensor *x)
{
    static const mt_op op = {
        .name = "mean_over_time",
        .formula = "y[b][c] = mean over t of x[b][t][c]",
        .inputs = 1,
        .outputs = 1,
        .shape = mean_over_time_shape,
        .forward = mean_over_time_forward,
        .backward = mean_over_time_backward,
    };
    return mt_apply(tape, &op, 1, &x, NULL, 0);
}

/* ---- the layer: logits = output(mean over time of attention(x)) ---- */

typedef struct classifier {
    mt_self_attention attention;
    mt_linear_layer output;
} classifier;

static void classifier_init(classifier *layer, mt_parameters *parameters)
{
    mt_self_attention_config config = mt_self_attention_config_default(S, T);
    config.attention_size = A;
    mt_self_attention_init(&layer->attention, parameters, "attention.", &config);
    mt_linear_init(&layer->output, parameters, "output.", S, CLASSES, true);
}

static mt_tensor *classifier_forward(mt_tape *tape, const classifier *layer, mt_tensor *x)
{
    mt_tensor *y = mt_self_attention_forward(tape, &layer->attention, x, NULL);
    return mt_linear_forward(tape, &layer->output, mean_over_time(tape, y));
}

/* ---- the check ---- */

/* inputs[0] is x, the others are the parameters: the layer knows them. */
static mt_tensor *loss(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    const int32_t classes[B] = {0, 2};
    const int64_t shape[] = {B};
    mt_tensor *logits = classifier_forward(tape, context, inputs[0]);
    mt_tensor *target = mt_tape_input(tape, MT_I32, 1, shape, classes, false);
    return mt_cross_entropy(tape, logits, target, -1, 0.0, NULL);
}

int main(void)
{
    mt_device *device;
    mt_tape *tape, *values; /* one is reset by every evaluation; x lives on the other */
    mt_parameters *parameters;
    classifier layer;
    if (mt_device_open("cpu", &device) != MT_OK || mt_tape_create(device, &tape) != MT_OK ||
        mt_tape_create(device, &values) != MT_OK ||
        mt_parameters_create(device, MT_F64, &parameters) != MT_OK) {
        fprintf(stderr, "%s\n", mt_error_message());
        return 1;
    }
    classifier_init(&layer, parameters); /* a failure is told by allocate */
    mt_tensor *checked[32];              /* of which the layer has 15 */
    double x[B * T * S];
    const int64_t shape[] = {B, T, S};
    mt_random random = mt_random_make(1, 0);
    for (int i = 0; i < B * T * S; i++) {
        x[i] = mt_random_uniform(&random);
    }
    mt_gradcheck_result result;
    mt_status status = mt_parameters_allocate(parameters, 1);
    checked[0] = mt_tape_input(values, MT_F64, 3, shape, x, true);
    for (int i = 0; i < parameters->count; i++) {
        checked[i + 1] = &parameters->items[i]->tensor;
    }
    if (status == MT_OK) {
        status = mt_gradcheck(tape, loss, &layer, 1 + parameters->count, checked, 0, &result);
    }
    if (status != MT_OK) {
        fprintf(stderr, "%s\n", mt_error_message());
        return 1;
    }
    printf("%d derivatives, largest relative error %.1e\n", (int)result.elements, result.error);
    mt_parameters_destroy(parameters);
    mt_tape_destroy(values);
    mt_tape_destroy(tape);
    mt_device_close(device);
    return result.error <= 1e-6 ? 0 : 1;
}
