#include "train/command/sampler.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

mt_status sampler_open(text_sampler *sampler, mt_model *model, double temperature, int64_t top_k,
                       int64_t seed)
{
    size_t V = (size_t)model->config.output_size;
    *sampler = (text_sampler){.model = model,
                              .temperature = temperature,
                              .top_k = top_k,
                              .logits = malloc(V * sizeof *sampler->logits),
                              .order = malloc(V * sizeof *sampler->order),
                              .random = mt_random_make((uint64_t)seed, 0)};
    if (sampler->logits == NULL || sampler->order == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "generate: no memory for %zu logits", V);
    }
    return mt_stream_create(model, 1, &sampler->stream);
}

void sampler_close(text_sampler *sampler)
{
    mt_stream_destroy(sampler->stream);
    free(sampler->logits);
    free(sampler->order);
}

static mt_status check_finite(const text_sampler *sampler)
{
    for (int64_t i = 0; i < sampler->model->config.output_size; i++) {
        if (!isfinite(sampler->logits[i])) {
            return mt_fail(MT_ERROR_NUMERIC, "the model's logit of symbol %" PRId64 " is %g", i,
                           sampler->logits[i]);
        }
    }
    return MT_OK;
}

mt_status sampler_feed(text_sampler *sampler, int32_t symbol)
{
    const mt_model *model = sampler->model;
    mt_status status = mt_stream_feed(sampler->stream, 1, &symbol, 1, sampler->logits);
    if (status != MT_OK) {
        return status;
    }
    mt_reals_widen(model->parameters->dtype, model->config.output_size, sampler->logits);
    return check_finite(sampler);
}

static int by_logit(const void *a, const void *b, void *context)
{
    const double *logits = context;
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return logits[left] != logits[right] ? (logits[left] < logits[right] ? 1 : -1) : left - right;
}

int32_t sampler_draw(text_sampler *sampler)
{
    int64_t V = sampler->model->config.output_size;
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
