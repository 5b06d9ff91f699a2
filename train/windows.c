#include "train/windows.h"

#include "kernels/device.h"
#include "train/objective.h"

#include <mixtape/operators.h>

#include <inttypes.h>
#include <string.h>

/* ---- what is carried ---- */

mt_status carried_check(const mt_carried *carried)
{
    int64_t rows = carried->rows, width = carried->width;
    bool fits = rows > 0 && width > 0 && rows < INT32_MAX && width < INT64_MAX / 64 / (rows + 1) &&
                carried->dtype != MT_BF16 && mt_dtype_is_real(carried->dtype);
    return width == 0 || fits
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "%" PRId64 " rows of %" PRId64 " %s are none that can be carried", rows,
                         width, mt_dtype_name(carried->dtype));
}

static mt_status fill_table(const mt_carried *carried, mt_tensor *table)
{
    mt_device *device = table->device;
    size_t bytes = (size_t)carried->width * mt_dtype_size(carried->dtype);
    mt_status status = device->zero(device, table->data, mt_tensor_bytes(table));
    for (int64_t row = 0; row < table->shape[0] && carried->empty != NULL; row++) {
        void *to = (char *)table->data + (size_t)row * bytes;
        status = status == MT_OK ? device->write(device, to, carried->empty, bytes) : status;
    }
    return status;
}

mt_status carried_table_make(mt_device *device, const mt_carried *carried, int64_t rows,
                             mt_tensor *table)
{
    *table = (mt_tensor){.name = "carried"};
    if (carried->width == 0) {
        return MT_OK;
    }
    table->device = device;
    table->dtype = carried->dtype;
    table->rank = 2;
    table->shape[0] = rows + 1;
    table->shape[1] = carried->width;
    mt_status status = device->allocate(device, mt_tensor_bytes(table), &table->data);
    if (status == MT_OK) {
        status = fill_table(carried, table);
    }
    if (status != MT_OK) {
        carried_table_free(table);
    }
    return status;
}

void carried_table_free(mt_tensor *table)
{
    if (table->data != NULL) {
        table->device->release(table->device, table->data);
        table->data = NULL;
    }
}

/* ---- batches ---- */

mt_status window_put(const mt_objective *objective, mt_tape *tape, int64_t index, window *put)
{
    put->rows = NULL;
    mt_status status = objective_put(objective, tape, index, &put->batch);
    int64_t B = status == MT_OK ? put->batch.input->shape[0] : 0, rows = objective->carried.rows;
    return status != MT_OK || objective->carried.width == 0 || B == rows
               ? status
               : mt_fail(MT_ERROR_INVALID,
                         "batch %" PRId64 " has %" PRId64 " rows, and what is carried %" PRId64,
                         index, B, rows);
}

mt_status window_put_rows(const mt_objective *objective, mt_tape *tape, int64_t first,
                          int64_t count, int32_t *scratch, window *put)
{
    if (objective->carried.width == 0) {
        return MT_OK;
    }
    for (int64_t i = 0; i < count; i++) {
        bool begins = put->batch.begins != NULL && put->batch.begins[first + i];
        scratch[i] = (int32_t)(begins ? count : i);
    }
    put->batch.begins = NULL; /* memory that need not stay */
    put->rows = mt_tape_input(tape, MT_I32, 1, &count, scratch, false);
    return put->rows != NULL ? MT_OK : mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
}

/* ---- their loss ---- */

static mt_status check_carried(const mt_tensor *rows, const mt_tensor *table,
                               const mt_tensor *after)
{
    char shape[96];
    bool fits = after != NULL && after->rank == 2 && after->shape[0] == rows->shape[0] &&
                after->shape[1] == table->shape[1] && after->dtype == table->dtype;
    return fits ? MT_OK
                : mt_fail(MT_ERROR_INVALID,
                          "what a loss carries on is %s %s, expected %s (%" PRId64 ", %" PRId64 ")",
                          after != NULL ? mt_dtype_name(after->dtype) : "NULL",
                          after != NULL ? mt_tensor_shape_text(after, shape, sizeof shape) : "",
                          mt_dtype_name(table->dtype), rows->shape[0], table->shape[1]);
}

/* The loss of one window, from the table that its rows are looked up in. */
static mt_status loss_of(const mt_objective *objective, mt_tape *tape, const window *of,
                         mt_tensor *table, mt_tensor **loss, mt_tensor **counts, mt_tensor **after)
{
    mt_batch batch = of->batch;
    *after = NULL;
    if (of->rows != NULL) {
        *after = mt_embedding(tape, of->rows, table, -1);
        batch.carried = after;
    }
    mt_status status = objective_loss(objective, tape, &batch, loss, counts);
    return status == MT_OK && of->rows != NULL ? check_carried(of->rows, table, *after) : status;
}

/* Inputs and outputs of a span. */
enum { INPUT, TARGET, OTHERS, ROWS = OTHERS + MT_BATCH_OTHERS, TABLE, INPUTS };
enum { LOSS, AFTER, COUNTS, OUTPUTS };
_Static_assert((int)INPUTS <= (int)MT_SPAN_MAX, "a span takes a window whole");

static void run_window(mt_tape *tape, void *context, mt_tensor *const *inputs, mt_tensor **outputs)
{
    windows *of = context;
    window at = {.batch = {.input = inputs[INPUT], .target = inputs[TARGET]}, .rows = inputs[ROWS]};
    mt_tensor *counts = NULL;
    memcpy(at.batch.others, inputs + OTHERS, sizeof at.batch.others);
    mt_status status =
        loss_of(of->objective, tape, &at, inputs[TABLE], &outputs[LOSS], &counts, &outputs[AFTER]);
    if (status != MT_OK) {
        mt_tape_fail(tape, status);
        return;
    }
    of->counted = counts != NULL;
    outputs[COUNTS] = of->counted ? counts : outputs[LOSS]; /* a span has no output that is NULL */
}

/* A window as a span: its inputs are what differs from one to the next. */
static void run_as_span(windows *of, mt_tape *tape, int64_t k, mt_tensor *table,
                        mt_tensor *outputs[OUTPUTS])
{
    const window *at = &of->items[k];
    mt_tensor *inputs[INPUTS] = {
        [INPUT] = at->batch.input, [TARGET] = at->batch.target, [ROWS] = at->rows, [TABLE] = table};
    memcpy(inputs + OTHERS, at->batch.others, sizeof at->batch.others);
    mt_recompute(tape, run_window, of, INPUTS, inputs, OUTPUTS, outputs);
}

static mt_tensor *as_row(mt_tape *tape, mt_tensor *scalar)
{
    return mt_view(tape, scalar, 1, (int64_t[]){1});
}

/* `so_far`, NULL at first, and one more. */
static mt_tensor *sum_with(mt_tape *tape, mt_tensor *so_far, mt_tensor *one)
{
    return so_far != NULL ? mt_add(tape, so_far, one) : one;
}

/* The sum of losses over a number of rows, which may be none: then both are 0, and so is the
 * mean. relu(1 - rows) is 1 there, and 0 where there are some. The 1 is made on the device, since a
 * recorded update takes nothing from the host. */
static mt_tensor *mean_of_rows(mt_tape *tape, mt_tensor *sum, mt_tensor *counts)
{
    mt_tensor *rows = mt_slice(tape, counts, 0, 0, 1);
    mt_tensor *one = mt_exp(tape, mt_scale(tape, rows, 0.0));
    rows = mt_add(tape, rows, mt_relu(tape, mt_subtract(tape, one, rows)));
    return mt_divide(tape, sum, rows);
}

/* Each window's loss counts as much as the rows that it counted; without counts all weigh the
 * same. */
static mt_status loss_of_all(windows *of, mt_tape *tape, mt_tensor *table, mt_tensor **loss,
                             mt_tensor **counts, mt_tensor **after)
{
    mt_tensor *sum = NULL, *rows = NULL;
    for (int64_t k = 0; k < of->count; k++) {
        mt_tensor *outputs[OUTPUTS] = {NULL};
        run_as_span(of, tape, k, table, outputs);
        mt_tensor *one = as_row(tape, outputs[LOSS]);
        if (of->counted) {
            one = mt_multiply(tape, one, mt_slice(tape, outputs[COUNTS], 0, 0, 1));
            rows = sum_with(tape, rows, outputs[COUNTS]);
        }
        sum = sum_with(tape, sum, one);
        *after = outputs[AFTER];
        table = k + 1 < of->count ? mt_concatenate(tape, 0, 2, (mt_tensor *[]){*after, &of->empty})
                                  : NULL;
        if (mt_tape_status(tape) != MT_OK) {
            return mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
        }
    }
    *loss =
        of->counted ? mean_of_rows(tape, sum, rows) : mt_scale(tape, sum, 1.0 / (double)of->count);
    *counts = of->counted ? rows : NULL;
    return *loss != NULL ? MT_OK : mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
}

mt_status windows_loss(windows *of, mt_tape *tape, mt_tensor *table, mt_tensor **loss,
                       mt_tensor **counts, mt_tensor **after)
{
    if (of->count == 1) {
        return loss_of(of->objective, tape, &of->items[0], table, loss, counts, after);
    }
    int64_t rows = table->shape[0] - 1, width = table->shape[1];
    of->empty = *table;
    of->empty.shape[0] = 1;
    of->empty.data = (char *)table->data + (size_t)(rows * width) * mt_dtype_size(table->dtype);
    return loss_of_all(of, tape, table, loss, counts, after);
}
