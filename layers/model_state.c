/* A model's carried state, and its way from one tape to the next through host memory. */
#include <mixtape/model.h>

#include <inttypes.h>
#include <stdlib.h>

mt_status mt_model_state_create(const mt_model *model, mt_model_state *state)
{
    state->num_blocks = model->config.num_blocks;
    state->blocks = calloc((size_t)state->num_blocks, sizeof *state->blocks);
    return state->blocks != NULL
               ? MT_OK
               : mt_fail(MT_ERROR_MEMORY, "state: no memory for %" PRId64 " blocks",
                         state->num_blocks);
}

void mt_model_state_destroy(mt_model_state *state)
{
    free(state->blocks);
    *state = (mt_model_state){NULL, 0};
}

/* The tensors of a block's state, in the order of the host layout, and their shapes. */
enum { ATT_X, ATT_WKV, FFN_X, PARTS };

static mt_tensor **part_of(mt_block_state *state, int part)
{
    return part == ATT_X ? &state->att.x : part == ATT_WKV ? &state->att.wkv : &state->ffn;
}

static int part_shape(const mt_model_config *config, int part, int64_t batch, int64_t *shape)
{
    if (part == ATT_WKV) {
        shape[0] = 3;
        shape[1] = batch;
        shape[2] = config->attention_size;
        return 3;
    }
    shape[0] = batch;
    shape[1] = config->block_size;
    return 2;
}

size_t mt_model_state_bytes(const mt_model *model, int64_t batch)
{
    const mt_model_config *config = &model->config;
    int64_t per_block = batch * (2 * config->block_size + 3 * config->attention_size);
    return (size_t)(config->num_blocks * per_block) * mt_dtype_size(model->parameters->dtype);
}

mt_status mt_model_state_save(const mt_model *model, const mt_model_state *state, int64_t batch,
                              void *host)
{
    char *to = host;
    for (int64_t i = 0; i < state->num_blocks; i++) {
        for (int part = 0; part < PARTS; part++) {
            const mt_tensor *tensor = *part_of(&state->blocks[i], part);
            int64_t shape[MT_MAX_RANK], count = 1;
            int rank = part_shape(&model->config, part, batch, shape);
            for (int d = 0; d < rank; d++) {
                count *= shape[d];
            }
            if (tensor == NULL || mt_tensor_count(tensor) != count) {
                return mt_fail(MT_ERROR_INVALID,
                               "state: block %" PRId64 " has no state for a batch of %" PRId64, i,
                               batch);
            }
            mt_status status = mt_tensor_read(tensor, to);
            if (status != MT_OK) {
                return status;
            }
            to += mt_tensor_bytes(tensor);
        }
    }
    return MT_OK;
}

mt_status mt_model_state_load(const mt_model *model, mt_tape *tape, int64_t batch, const void *host,
                              mt_model_state *state)
{
    const char *from = host;
    for (int64_t i = 0; i < state->num_blocks; i++) {
        for (int part = 0; part < PARTS; part++) {
            int64_t shape[MT_MAX_RANK];
            int rank = part_shape(&model->config, part, batch, shape);
            mt_tensor *tensor =
                mt_tape_input(tape, model->parameters->dtype, rank, shape, from, false);
            if (tensor == NULL) {
                return mt_tape_status(tape);
            }
            *part_of(&state->blocks[i], part) = tensor;
            from += mt_tensor_bytes(tensor);
        }
    }
    return MT_OK;
}
