#include <mixtape/gradcheck.h>

#include "kernels/device.h"
#include "kernels/null.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct checked_function {
    mt_tape *tape;
    mt_gradcheck_function function;
    void *context;
    mt_tensor *const *inputs;
    double value; /* at the inputs given */
} checked_function;

static mt_status check_input(const mt_tensor *input, int index)
{
    if (input->dtype != MT_F64) {
        return mt_fail(MT_ERROR_INVALID, "gradcheck: input %d is %s, expected f64", index,
                       mt_dtype_name(input->dtype));
    }
    if (!input->requires_grad || input->grad == NULL || input->base != NULL) {
        return mt_fail(MT_ERROR_INVALID,
                       "gradcheck: input %d (%s) has no gradient memory of its own", index,
                       input->name);
    }
    return MT_OK;
}

/* The scalar, without recording. */
static mt_status evaluate(const checked_function *checked, double *value)
{
    mt_tape_reset(checked->tape);
    bool recording = mt_tape_set_recording(checked->tape, false);
    mt_tensor *y = checked->function(checked->tape, checked->context, checked->inputs);
    mt_tape_set_recording(checked->tape, recording);
    if (y == NULL) {
        return mt_tape_status(checked->tape) != MT_OK
                   ? mt_tape_status(checked->tape)
                   : mt_fail(MT_ERROR_INVALID, "gradcheck: the function returned NULL");
    }
    return mt_tensor_read(y, value);
}

static mt_status poke(const mt_tensor *input, int64_t index, double value)
{
    return input->device->write(input->device, (double *)input->data + index, &value, sizeof value);
}

static mt_status central_difference(const checked_function *checked, const mt_tensor *input,
                                    int64_t index, double x, double *difference)
{
    double h = 1e-5 * fmax(1.0, fabs(x)), above = 0.0, below = 0.0;
    mt_status status = poke(input, index, x + h);
    if (status == MT_OK) {
        status = evaluate(checked, &above);
    }
    if (status == MT_OK) {
        status = poke(input, index, x - h);
    }
    if (status == MT_OK) {
        status = evaluate(checked, &below);
    }
    *difference = (above - below) / (2.0 * h);
    if (status == MT_OK) {
        return poke(input, index, x);
    }
    char message[512]; /* of the first failure, after which restoring may fail too */
    snprintf(message, sizeof message, "%s", mt_error_message());
    poke(input, index, x);
    return mt_fail(status, "%s", message);
}

/* No error exceeds one that is not a number, which itself exceeds every number. */
static bool exceeds(double error, double most)
{
    return !isnan(most) && !(error <= most);
}

/* Compares the elements of one input; values and analytic have one number for each. */
static mt_status compare(const checked_function *checked, int input_index, int64_t stride,
                         const double *values, const double *analytic, mt_gradcheck_result *result)
{
    const mt_tensor *input = checked->inputs[input_index];
    int64_t n = mt_tensor_count(input), worst = 0;
    double error2 = 0.0, analytic2 = 0.0, numeric2 = 0.0, worst_error = -1.0, worst_numeric = 0.0;
    for (int64_t i = 0; i < n; i += stride) {
        double numeric;
        mt_status status = central_difference(checked, input, i, values[i], &numeric);
        if (status != MT_OK) {
            return status;
        }
        double error = fabs(analytic[i] - numeric);
        error2 += error * error;
        analytic2 += analytic[i] * analytic[i];
        numeric2 += numeric * numeric;
        if (exceeds(error, worst_error)) {
            worst_error = error;
            worst_numeric = numeric;
            worst = i;
        }
        result->elements++;
    }
    /* The differences are rounded to some 1e-11 of the value: gradients far below it are noise. */
    double tiny = fmax(1e-3 * fabs(checked->value), 1e-8);
    double error = sqrt(error2) / fmax(fmax(sqrt(analytic2), sqrt(numeric2)), tiny);
    if (exceeds(error, result->error)) {
        result->error = error;
        result->input = input_index;
        result->index = worst;
        result->analytic = analytic[worst];
        result->numeric = worst_numeric;
    }
    return MT_OK;
}

static mt_status check_one(const checked_function *checked, int index, int64_t max_elements,
                           double *values, const double *analytic, mt_gradcheck_result *result)
{
    const mt_tensor *input = checked->inputs[index];
    int64_t n = mt_tensor_count(input);
    int64_t stride =
        max_elements > 0 && n > max_elements ? (n + max_elements - 1) / max_elements : 1;
    mt_status status = mt_tensor_read(input, values);
    return status == MT_OK ? compare(checked, index, stride, values, analytic, result) : status;
}

static mt_status analytic_gradients(checked_function *checked, int count, double *grads)
{
    for (int i = 0; i < count; i++) {
        checked->inputs[i]->has_grad = false;
    }
    mt_tape_reset(checked->tape);
    mt_tape_set_recording(checked->tape, true);
    mt_tensor *loss = checked->function(checked->tape, checked->context, checked->inputs);
    mt_status status = mt_backward(checked->tape, loss);
    if (status == MT_OK) {
        status = mt_tensor_read(loss, &checked->value);
    }
    for (int i = 0; i < count && status == MT_OK; i++) {
        status = mt_tensor_read_grad(checked->inputs[i], grads);
        grads += mt_tensor_count(checked->inputs[i]);
    }
    return status;
}

mt_status mt_gradcheck(mt_tape *tape, mt_gradcheck_function function, void *context, int count,
                       mt_tensor *const *inputs, int64_t max_elements, mt_gradcheck_result *result)
{
    if (tape == NULL) {
        return mt_fail_null(__func__);
    }
    checked_function checked = {tape, function, context, inputs, 0.0};
    *result = (mt_gradcheck_result){0};
    int64_t total = 0, largest = 0;
    for (int i = 0; i < count; i++) {
        mt_status status = check_input(inputs[i], i);
        if (status != MT_OK) {
            return status;
        }
        int64_t n = mt_tensor_count(inputs[i]);
        total += n;
        largest = n > largest ? n : largest;
    }
    double *memory = malloc((size_t)(total + largest) * sizeof *memory);
    if (memory == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "gradcheck: no host memory for %" PRId64 " numbers",
                       total + largest);
    }
    double *values = memory, *grads = memory + largest;
    mt_status status = analytic_gradients(&checked, count, grads);
    for (int i = 0; i < count && status == MT_OK; i++) {
        status = check_one(&checked, i, max_elements, values, grads, result);
        grads += mt_tensor_count(inputs[i]);
    }
    free(memory);
    return status;
}
