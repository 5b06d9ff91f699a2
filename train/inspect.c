#include "train/inspect.h"

#include "autograd/observe.h"
#include "io/arrays.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first element of a tensor, or of its gradient, that is not finite; -1 where all are. */
static int64_t first_bad(inspection *inspected, const mt_tensor *tensor, bool gradient,
                         double *value)
{
    int64_t n = mt_tensor_count(tensor);
    size_t bytes = (size_t)n * sizeof(double);
    double *host = malloc(bytes);
    if (host == NULL) {
        inspected->status = mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes", bytes);
        return -1;
    }
    inspected->status = gradient ? mt_tensor_read_grad(tensor, host) : mt_tensor_read(tensor, host);
    int64_t at = -1;
    if (inspected->status == MT_OK) {
        mt_reals_widen(tensor->dtype, n, host);
        at = mt_first_not_finite(MT_F64, host, n, value);
    }
    free(host);
    return at;
}

static bool is_over(const inspection *inspected)
{
    return inspected->found || inspected->status != MT_OK;
}

/* Looks at a tensor, unless something was found before: `what` and `where` are put around its
 * shape. */
static void look(inspection *inspected, const mt_tensor *tensor, bool gradient, const char *what,
                 const char *where)
{
    double value;
    char shape[96];
    if (is_over(inspected) || tensor == NULL || tensor->dtype == MT_I32) {
        return;
    }
    int64_t at = first_bad(inspected, tensor, gradient, &value);
    if (at >= 0) {
        value = isnan(value) ? (double)NAN : value; /* whose sign says nothing */
        inspected->found = true;
        snprintf(inspected->text, sizeof inspected->text, "%selement %" PRId64 " of %s %s is %g%s",
                 where[0] == '\0' ? ""
                 : gradient       ? "backward: "
                                  : "forward: ",
                 at, what, mt_tensor_shape_text(tensor, shape, sizeof shape), value, where);
    }
}

mt_status inspect_parameters(inspection *inspected)
{
    for (int i = 0; i < inspected->parameters->count && !is_over(inspected); i++) {
        const mt_tensor *tensor = &inspected->parameters->items[i]->tensor;
        look(inspected, tensor, false, tensor->name, "");
    }
    return inspected->status;
}

static void look_at_batch(inspection *inspected, const mt_batch *batch)
{
    look(inspected, batch->input, false, "the batch's input", "");
    look(inspected, batch->target, false, "the batch's target", "");
    for (int i = 0; i < MT_BATCH_OTHERS; i++) {
        char what[32];
        snprintf(what, sizeof what, "the batch's tensor %d", i);
        look(inspected, batch->others[i], false, what, "");
    }
}

/* ---- operators ---- */

enum { PLACE = 32 + MT_NAME_MAX };

static bool is_parameter(const inspection *inspected, const mt_tensor *tensor)
{
    bool found = false;
    for (const mt_parameters *set = inspected->parameters; set != NULL && !found;
         set = set->beside) {
        const mt_parameter *parameter = mt_parameters_find(set, tensor->name);
        found = parameter != NULL && &parameter->tensor == tensor;
    }
    return found;
}

/* Inputs of a call, up to an end, that make the same outputs: all of them, or a group
 * (mt_op.group). */
typedef struct call_part {
    int first_input, end_input, first_output, end_output;
} call_part;

static int parts_of(const mt_call *call)
{
    return call->op->group > 0 ? call->input_count / call->op->group : 1;
}

static call_part part_of(const mt_call *call, int part)
{
    int group = call->op->group;
    return group > 0 ? (call_part){part * group, (part + 1) * group, part, part + 1}
                     : (call_part){0, call->input_count, 0, call->output_count};
}

/* Notes the layer of a part's parameters: their name without what comes behind the last dot. Tells
 * if it has any. */
static bool note_layer(inspection *inspected, const mt_call *call, call_part part)
{
    for (int i = part.first_input; i < part.end_input; i++) {
        const mt_tensor *input = call->inputs[i];
        if (input != NULL && is_parameter(inspected, input)) {
            const char *dot = strrchr(input->name, '.');
            snprintf(inspected->layer, MT_NAME_MAX, "%.*s",
                     (int)(dot != NULL ? dot - input->name : (ptrdiff_t)strlen(input->name)),
                     input->name);
            return true;
        }
    }
    return false;
}

/* "(layer att.proj_key)", "(after layer ...)" for an operator that has no parameter. */
static void name_place(inspection *inspected, const mt_call *call, call_part part, bool backward,
                       char place[PLACE])
{
    if (backward != inspected->backward) {
        inspected->backward = backward;
        inspected->layer[0] = '\0';
    }
    bool of_layer = note_layer(inspected, call, part);
    const char *side = backward ? "before " : "after ";
    if (inspected->layer[0] != '\0') {
        snprintf(place, PLACE, " (%slayer %s)", of_layer ? "" : side, inspected->layer);
    } else {
        snprintf(place, PLACE, " (%s)", backward ? "after every layer" : "before every layer");
    }
}

static void look_at_part(inspection *inspected, const mt_call *call, call_part part, bool backward)
{
    char what[64 + MT_NAME_MAX], where[PLACE];
    name_place(inspected, call, part, backward, where);
    for (int i = part.first_output; i < part.end_output && !backward; i++) {
        snprintf(what, sizeof what, "the output of %s", call->op->name);
        look(inspected, call->outputs[i], false, what, where);
    }
    for (int i = part.first_input; i < part.end_input && backward; i++) {
        const mt_tensor *input = call->inputs[i];
        if (input != NULL && mt_tensor_grad(input) != NULL) {
            snprintf(what, sizeof what, "the gradient of %s%s",
                     is_parameter(inspected, input) ? "" : "an input of ",
                     is_parameter(inspected, input) ? input->name : call->op->name);
            look(inspected, input, true, what, where);
        }
    }
}

/* The parts in the order in which operators of their own would be: backward goes the other way. */
static void observe(void *context, const mt_call *call, bool backward)
{
    inspection *inspected = context;
    int parts = parts_of(call);
    for (int i = 0; i < parts && !is_over(inspected); i++) {
        look_at_part(inspected, call, part_of(call, backward ? parts - 1 - i : i), backward);
    }
}

mt_status inspect_step(inspection *inspected, mt_tape *tape, windows *of, mt_tensor *table,
                       double *loss, mt_tensor **carried_on)
{
    mt_tensor *value, *counts;
    for (int64_t k = 0; k < of->count; k++) {
        look_at_batch(inspected, &of->items[k].batch);
    }
    look(inspected, table, false, "what is carried to the batch", "");
    mt_tape_observe(tape, observe, inspected);
    mt_status status = windows_loss(of, tape, table, &value, &counts, carried_on);
    if (status == MT_OK) {
        status = mt_backward(tape, value);
    }
    mt_tape_observe(tape, NULL, NULL);
    if (status == MT_OK) {
        status = mt_tensor_read_doubles(value, loss);
    }
    return status == MT_OK ? inspected->status : status;
}
