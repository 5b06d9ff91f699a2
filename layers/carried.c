/* A model's state as one tensor, a row for each row of a batch. */
#include <mixtape/carried.h>
#include <mixtape/extend.h>
#include <mixtape/operators.h>
#include <mixtape/wkv.h>

#include "autograd/tape_internal.h"
#include "kernels/null.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- a row ---- */

static int64_t block_width(const mt_model_config *config)
{
    return 2 * config->block_size + 3 * config->attention_size;
}

/* Zeros, but for the exponents of empty sums. */
static void fill_empty(const mt_model_config *config, mt_carried *carried)
{
    int64_t S = config->block_size, A = config->attention_size, max = S + 2 * A;
    for (int64_t i = 0; i < carried->width; i++) {
        int64_t at = i % block_width(config);
        double value = at >= max && at < max + A ? MT_WKV_EMPTY_MAX : 0.0;
        if (carried->dtype == MT_F64) {
            ((double *)carried->empty)[i] = value;
        } else {
            ((float *)carried->empty)[i] = (float)value;
        }
    }
}

mt_status mt_carried_of_model(const mt_model *model, int64_t rows, mt_carried *carried)
{
    *carried = (mt_carried){.width = 0};
    if (model == NULL) {
        return mt_fail_null(__func__);
    }
    mt_carried made = {.rows = rows,
                       .width = model->config.num_blocks * block_width(&model->config),
                       .dtype = model->parameters->dtype};
    size_t bytes = (size_t)made.width * mt_dtype_size(made.dtype);
    made.empty = malloc(bytes);
    if (made.empty == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "carried: no memory for a row of %zu bytes", bytes);
    }
    fill_empty(&model->config, &made);
    *carried = made;
    return MT_OK;
}

void mt_carried_free(mt_carried *carried)
{
    free(carried->empty);
    *carried = (mt_carried){.width = 0};
}

/* ---- cut into parts ---- */

typedef struct split_options {
    int count;
    int64_t widths[MT_OP_OUTPUTS];
} split_options;

static mt_status split_shape(mt_call *call)
{
    const split_options *options = call->options;
    call->output_count = options->count;
    for (int i = 0; i < options->count; i++) {
        mt_call_output(call, i, 2, (int64_t[]){call->inputs[0]->shape[0], options->widths[i]});
    }
    return MT_OK;
}

/* Copies the parts of rows, or of their gradient, either way; what is NULL is left out. */
static mt_status copy_parts(const mt_call *call, bool into_whole, char *whole)
{
    const split_options *options = call->options;
    const mt_tensor *x = call->inputs[0];
    mt_status status = MT_OK;
    for (int i = 0; i < options->count && status == MT_OK; i++) {
        int64_t width = options->widths[i];
        const void *grad = into_whole ? call->grad_outputs[i] : NULL;
        if (!into_whole) {
            status = call->kernels->copy_rows(call->device, x->shape[0], width, whole, x->shape[1],
                                              call->outputs[i]->data, width);
        } else if (grad != NULL) {
            status = call->kernels->copy_rows(call->device, x->shape[0], width, grad, width, whole,
                                              x->shape[1]);
        }
        whole += (size_t)width * mt_dtype_size(call->dtype);
    }
    return status;
}

static mt_status split_forward(mt_call *call)
{
    return copy_parts(call, false, call->inputs[0]->data);
}

static mt_status split_backward(mt_call *call)
{
    void *dx = call->grad_inputs[0];
    mt_status status = call->device->zero(call->device, dx, mt_tensor_bytes(call->inputs[0]));
    return status == MT_OK ? copy_parts(call, true, dx) : status;
}

/* One gradient for all parts, where slices would have one each, of the size of the whole. */
static const mt_op split_op = {
    .name = "split",
    .formula = "y_i = x[:, start_i : start_i + width_i]",
    .inputs = 1,
    .outputs = MT_OP_OUTPUTS,
    .shape = split_shape,
    .forward = split_forward,
    .backward = split_backward,
};

/* ---- a state ---- */

/* Parts of rows are those of two blocks at most, or of up to MOST_GROUPS groups of blocks. */
enum { PARTS = 3, LEAF = 2, MOST_GROUPS = MT_OP_OUTPUTS };

/* Blocks of each group. */
static int64_t group_size(int64_t blocks)
{
    int64_t size = (blocks + MOST_GROUPS - 1) / MOST_GROUPS;
    return size < LEAF ? LEAF : size;
}

/* (B, 3 A), num, den and max of a row behind one another, to (3, B, A), and back. */
static mt_tensor *to_planes(mt_tape *tape, mt_tensor *x, int64_t A)
{
    int64_t B = x != NULL ? x->shape[0] : 0;
    return mt_transpose(tape, mt_view(tape, x, 3, (int64_t[]){B, 3, A}), 0, 1);
}

static mt_tensor *from_planes(mt_tape *tape, mt_tensor *wkv, int64_t A)
{
    int64_t B = wkv != NULL ? wkv->shape[1] : 0;
    return mt_view(tape, mt_transpose(tape, wkv, 0, 1), 2, (int64_t[]){B, 3 * A});
}

static void unpack_leaf(mt_tape *tape, const mt_model_config *config, mt_tensor *x, int64_t count,
                        mt_block_state *blocks)
{
    int64_t S = config->block_size, A = config->attention_size;
    const split_options options = {.count = (int)(PARTS * count),
                                   .widths = {S, 3 * A, S, S, 3 * A, S}};
    mt_tensor *parts[MT_OP_OUTPUTS] = {NULL};
    mt_apply_many(tape, &split_op, 1, &x, &options, sizeof options, parts);
    for (int64_t i = 0; i < count; i++) {
        mt_tensor *const *of = parts + PARTS * i;
        blocks[i] =
            (mt_block_state){.att = {.x = of[0], .wkv = to_planes(tape, of[1], A)}, .ffn = of[2]};
    }
}

static void unpack(mt_tape *tape, const mt_model_config *config, mt_tensor *x, int64_t count,
                   mt_block_state *blocks)
{
    if (count <= LEAF) {
        unpack_leaf(tape, config, x, count, blocks);
        return;
    }
    int64_t size = group_size(count);
    split_options options = {.count = 0};
    mt_tensor *groups[MT_OP_OUTPUTS] = {NULL};
    for (int64_t first = 0; first < count; first += size) {
        int64_t of = count - first < size ? count - first : size;
        options.widths[options.count++] = of * block_width(config);
    }
    mt_apply_many(tape, &split_op, 1, &x, &options, sizeof options, groups);
    for (int i = 0; i < options.count; i++) {
        unpack(tape, config, groups[i], options.widths[i] / block_width(config), blocks + i * size);
    }
}

static mt_tensor *pack(mt_tape *tape, const mt_model_config *config, int64_t count,
                       const mt_block_state *blocks)
{
    mt_tensor *parts[MT_OP_INPUTS];
    int parts_count = 0;
    int64_t size = count <= LEAF ? 1 : group_size(count);
    for (int64_t first = 0; first < count; first += size) {
        const mt_block_state *block = blocks + first;
        if (count > LEAF) {
            int64_t of = count - first < size ? count - first : size;
            parts[parts_count++] = pack(tape, config, of, block);
        } else {
            parts[parts_count++] = block->att.x;
            parts[parts_count++] = from_planes(tape, block->att.wkv, config->attention_size);
            parts[parts_count++] = block->ffn;
        }
    }
    return mt_concatenate(tape, 1, parts_count, parts);
}

static mt_status check_carried(const mt_model *model, const mt_tensor *input,
                               const mt_tensor *carried)
{
    int64_t width = model->config.num_blocks * block_width(&model->config);
    char shape[96];
    return carried->rank == 2 && carried->shape[0] == input->shape[0] && carried->shape[1] == width
               ? MT_OK
               : mt_fail(
                     MT_ERROR_INVALID,
                     "decode: what is carried has shape %s, expected (%" PRId64 ", %" PRId64 ")",
                     mt_tensor_shape_text(carried, shape, sizeof shape), input->shape[0], width);
}

mt_tensor *mt_model_decode_carried(mt_tape *tape, mt_model *model, mt_tensor *input,
                                   mt_tensor **carried, bool training)
{
    if (model == NULL || tape == NULL || mt_tape_status(tape) != MT_OK) {
        return NULL;
    }
    if (input == NULL || carried == NULL || *carried == NULL) {
        return mt_tape_fail(tape, mt_fail_null(__func__));
    }
    mt_model_state state = {.num_blocks = model->config.num_blocks};
    mt_status status = check_carried(model, input, *carried);
    if (status == MT_OK) {
        status = mt_arena_allocate(&tape->records, (size_t)state.num_blocks * sizeof *state.blocks,
                                   (void **)&state.blocks);
    }
    if (status != MT_OK) {
        return mt_tape_fail(tape, status);
    }
    unpack(tape, &model->config, *carried, state.num_blocks, state.blocks);
    mt_tensor *output = mt_model_decode(tape, model, input, &state, training);
    *carried = pack(tape, &model->config, state.num_blocks, state.blocks);
    return output;
}
