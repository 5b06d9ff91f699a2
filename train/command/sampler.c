#include "train/command/sampler.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

mt_status sampler_open(text_sampler *sampler, train_session *session, double temperature,
                       int64_t top_k, int64_t seed)
{
    size_t V = (size_t)session->model->config.output_size;
    memset(sampler, 0, sizeof *sampler);
    sampler->session = session;
    sampler->temperature = temperature;
    sampler->top_k = top_k;
    sampler->fresh = true;
    sampler->random = mt_random_make((uint64_t)seed, 0);
    sampler->carried = malloc(mt_model_state_bytes(session->model, 1));
    sampler->logits = malloc(V * sizeof *sampler->logits);
    sampler->order = malloc(V * sizeof *sampler->order);
    if (sampler->carried == NULL || sampler->logits == NULL || sampler->order == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "generate: no memory for the model's state");
    }
    return mt_model_state_create(session->model, &sampler->state);
}

void sampler_close(text_sampler *sampler)
{
    mt_model_state_destroy(&sampler->state);
    free(sampler->carried);
    free(sampler->logits);
    free(sampler->order);
}

static mt_status check_finite(const text_sampler *sampler)
{
    for (int64_t i = 0; i < sampler->session->model->config.output_size; i++) {
        if (!isfinite(sampler->logits[i])) {
            return mt_fail(MT_ERROR_NUMERIC, "the model's logit of symbol %" PRId64 " is %g", i,
                           sampler->logits[i]);
        }
    }
    return MT_OK;
}

mt_status sampler_feed(text_sampler *sampler, int32_t symbol)
{
    mt_tape *tape = sampler->session->tape;
    mt_model *model = sampler->session->model;
    mt_tape_reset(tape);
    memset(sampler->state.blocks, 0,
           (size_t)sampler->state.num_blocks * sizeof *sampler->state.blocks);
    mt_status status = MT_OK;
    if (!sampler->fresh) {
        status = mt_model_state_load(model, tape, 1, sampler->carried, &sampler->state);
    }
    if (status != MT_OK) {
        return status;
    }
    mt_tensor *label = mt_tape_input(tape, MT_I32, 2, (int64_t[]){1, 1}, &symbol, false);
    mt_tensor *output = mt_model_decode(tape, model, label, &sampler->state, false);
    mt_tensor *logits = mt_model_head(tape, model, output);
    if (logits == NULL) {
        return mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
    }
    status = mt_model_state_save(model, &sampler->state, 1, sampler->carried);
    sampler->fresh = false;
    if (status == MT_OK) {
        status = mt_tensor_read_doubles(logits, sampler->logits);
    }
    return status == MT_OK ? check_finite(sampler) : status;
}

static int by_logit(const void *a, const void *b, void *context)
{
    const double *logits = context;
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return logits[left] != logits[right] ? (logits[left] < logits[right] ? 1 : -1) : left - right;
}

int32_t sampler_draw(text_sampler *sampler)
{
    int64_t V = sampler->session->model->config.output_size;
    int64_t kept = sampler->top_k > 0 && sampler->top_k < V ? sampler->top_k : V;
    double temperature = sampler->temperature;
    for (int32_t i = 0; i < V; i++) {
        sampler->order[i] = i;
    }
    qsort_r(sampler->order, (size_t)V, sizeof *sampler->order, by_logit, sampler->logits);
    if (temperature == 0.0) {
        return sampler->order[0];
    }
    double largest = sampler->logits[sampler->order[0]], sum = 0.0;
    for (int64_t i = 0; i < kept; i++) {
        sum += exp((sampler->logits[sampler->order[i]] - largest) / temperature);
    }
    double left = mt_random_uniform(&sampler->random) * sum;
    int64_t i = 0;
    for (; i < kept - 1; i++) {
        left -= exp((sampler->logits[sampler->order[i]] - largest) / temperature);
        if (left < 0.0) {
            break;
        }
    }
    return sampler->order[i];
}
