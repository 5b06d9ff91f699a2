/* Rows of a table. */
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

enum { INDICES, TABLE };

typedef struct embedding_options {
    int32_t padding_index;
    mt_dtype dtype;
} embedding_options;

static mt_status embedding_shape(mt_call *call)
{
    const embedding_options *options = call->options;
    const mt_tensor *indices = call->inputs[INDICES], *table = call->inputs[TABLE];
    mt_status status = mt_expect_indices(call, INDICES, "indices");
    if (status == MT_OK) {
        status = mt_expect_rank(call, TABLE, "table", 2);
    }
    if (status == MT_OK && indices->rank == MT_MAX_RANK) {
        status = mt_fail(MT_ERROR_INVALID, "embedding: indices have %d dimensions, at most %d",
                         indices->rank, MT_MAX_RANK - 1);
    }
    if (status == MT_OK && (unsigned)options->dtype >= MT_REAL_DTYPES) {
        status = mt_fail(MT_ERROR_INVALID, "embedding: rows of type %d, which is none of reals",
                         (int)options->dtype);
    }
    if (status == MT_OK && table->dtype != mt_dtype_wide(options->dtype)) {
        status = mt_fail(MT_ERROR_INVALID, "embedding: rows of %s from a table of %s, expected %s",
                         mt_dtype_name(options->dtype), mt_dtype_name(table->dtype),
                         mt_dtype_name(mt_dtype_wide(options->dtype)));
    }
    if (status != MT_OK) {
        return status;
    }
    mt_call_set_dtype(call, options->dtype);
    int64_t shape[MT_MAX_RANK];
    for (int i = 0; i < indices->rank; i++) {
        shape[i] = indices->shape[i];
    }
    shape[indices->rank] = table->shape[1];
    mt_call_output(call, 0, indices->rank + 1, shape);
    return MT_OK;
}

static mt_status embedding_forward(mt_call *call)
{
    const mt_tensor *indices = call->inputs[INDICES], *table = call->inputs[TABLE];
    mt_embedding_forward_args args = {.N = mt_tensor_count(indices),
                                      .V = table->shape[0],
                                      .C = table->shape[1],
                                      .indices = indices->data,
                                      .table = table->data,
                                      .y = call->outputs[0]->data};
    return call->kernels->embedding_forward(call->device, &args);
}

static mt_status embedding_backward(mt_call *call)
{
    const mt_tensor *indices = call->inputs[INDICES], *table = call->inputs[TABLE];
    const embedding_options *options = call->options;
    mt_embedding_backward_args args = {.N = mt_tensor_count(indices),
                                       .V = table->shape[0],
                                       .C = table->shape[1],
                                       .padding_index = options->padding_index,
                                       .indices = indices->data,
                                       .dy = call->grad_outputs[0],
                                       .dtable = call->grad_inputs[TABLE],
                                       .zero_rows = table->zero_rows,
                                       .adds = call->grad_adds[TABLE]};
    return call->kernels->embedding_backward(call->device, &args);
}

const mt_op mt_op_embedding = {
    .name = "embedding",
    .formula = "y[n] = table[indices[n]]",
    .inputs = 2,
    .outputs = 1,
    .shape = embedding_shape,
    .forward = embedding_forward,
    .backward = embedding_backward,
    .wide = 1u << TABLE,
};

mt_tensor *mt_embedding_as(mt_tape *tape, mt_tensor *indices, mt_tensor *table,
                           int32_t padding_index, mt_dtype dtype)
{
    embedding_options options = {.padding_index = padding_index, .dtype = dtype};
    return mt_apply(tape, &mt_op_embedding, 2, (mt_tensor *[]){indices, table}, &options,
                    sizeof options);
}

mt_tensor *mt_embedding(mt_tape *tape, mt_tensor *indices, mt_tensor *table, int32_t padding_index)
{
    return mt_embedding_as(tape, indices, table, padding_index,
                           table != NULL ? table->dtype : MT_F32);
}
