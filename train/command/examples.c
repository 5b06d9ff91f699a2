#include "train/command/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXAMPLES = 3 };

static int64_t argmax(const double *values, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        best = values[i] > values[best] ? i : best;
    }
    return best;
}

static void print_labels(const char *what, const int32_t *labels, int64_t T)
{
    printf("  %-10s", what);
    for (int64_t t = 0; t < T; t++) {
        if (labels[t] == IGNORED) {
            printf("  .");
        } else {
            printf(" %2" PRId32, labels[t]);
        }
    }
    printf("\n");
}

static mt_status show_labels(const mt_batch *batch, const double *logits, int64_t V)
{
    int64_t B = batch->input->shape[0], T = batch->input->shape[1], n = B * T;
    int32_t *input = malloc((size_t)(3 * n) * sizeof *input);
    if (input == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "examples: no memory for %" PRId64 " labels", 3 * n);
    }
    int32_t *target = input + n, *prediction = target + n;
    mt_status status = mt_tensor_read(batch->input, input);
    if (status == MT_OK) {
        status = mt_tensor_read(batch->target, target);
    }
    for (int64_t b = 0; b < EXAMPLES && b < B && status == MT_OK; b++) {
        for (int64_t t = b * T; t < (b + 1) * T; t++) {
            prediction[t] = target[t] == IGNORED ? IGNORED : (int32_t)argmax(logits + t * V, V);
        }
        printf("example %" PRId64 "\n", b + 1);
        print_labels("input", input + b * T, T);
        print_labels("target", target + b * T, T);
        print_labels("prediction", prediction + b * T, T);
    }
    free(input);
    return status;
}

static mt_status show_values(const mt_batch *batch, const double *output)
{
    int64_t B = batch->input->shape[0], T = batch->input->shape[1];
    double *target = malloc((size_t)B * sizeof *target);
    if (target == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "examples: no memory for %" PRId64 " values", B);
    }
    mt_status status = mt_tensor_read_doubles(batch->target, target);
    for (int64_t b = 0; b < EXAMPLES && b < B && status == MT_OK; b++) {
        printf("example %" PRId64 "\n  target     %.4f\n  prediction %.4f\n", b + 1, target[b],
               output[(b + 1) * T - 1]);
    }
    free(target);
    return status;
}

static mt_status show(train_session *session, mt_tape *tape)
{
    mt_batch batch;
    mt_tape_reset(tape);
    mt_status status = session->task->make(&session->config, session->data, tape, VALID, 0, &batch);
    if (status != MT_OK) {
        return status;
    }
    if (batch.input == NULL) {
        return mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
    }
    int64_t B = batch.input->shape[0];
    mt_tensor *output = mt_model_decode(tape, session->model, batch.input, NULL, false);
    output = mt_slice(tape, output, 0, 0, B < EXAMPLES ? B : EXAMPLES);
    mt_tensor *logits = mt_model_head(tape, session->model, output);
    if (logits == NULL) {
        return mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
    }
    double *values = malloc((size_t)mt_tensor_count(logits) * sizeof *values);
    if (values == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "examples: no memory for the outputs");
    }
    status = mt_tensor_read_doubles(logits, values);
    if (status == MT_OK) {
        status = session->task->regression
                     ? show_values(&batch, values)
                     : show_labels(&batch, values, session->model->config.output_size);
    }
    free(values);
    return status;
}

mt_status examples_show(train_session *session, mt_tape *tape)
{
    if (session->task->language) {
        return MT_OK;
    }
    bool recording = mt_tape_set_recording(tape, false);
    mt_status status = show(session, tape);
    mt_tape_set_recording(tape, recording);
    return status;
}
