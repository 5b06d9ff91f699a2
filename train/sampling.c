#include <mixtape/random.h>
#include <mixtape/sampling.h>

#include "kernels/null.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

struct mt_sampler {
    mt_sampling sampling;
    mt_random random;
    int32_t count, allowed;
    bool *forbidden;
    double *weights; /* of the draw at hand: e^((logit - largest) / temperature), or 0 */
    int32_t *order;  /* symbols by weight, where only some are kept */
};

mt_sampling mt_sampling_default(void)
{
    return (mt_sampling){.temperature = 1.0, .top_k = 0, .top_p = 1.0};
}

static mt_status check(const mt_sampling *sampling, int64_t count)
{
    if (!(sampling->temperature >= 0.0 && isfinite(sampling->temperature))) {
        return mt_fail(MT_ERROR_INVALID, "sampling: temperature %g, not 0 or more",
                       sampling->temperature);
    }
    if (sampling->top_k < 0) {
        return mt_fail(MT_ERROR_INVALID, "sampling: top_k %" PRId64 ", not 0 or more",
                       sampling->top_k);
    }
    if (!(sampling->top_p > 0.0 && sampling->top_p <= 1.0)) {
        return mt_fail(MT_ERROR_INVALID, "sampling: top_p %g, not in (0, 1]", sampling->top_p);
    }
    return count >= 1 && count <= INT32_MAX
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID, "sampling: %" PRId64 " symbols, not 1 .. %d", count,
                         INT32_MAX);
}

mt_status mt_sampler_create(const mt_sampling *sampling, int64_t count, uint64_t seed,
                            mt_sampler **sampler)
{
    *sampler = NULL;
    mt_status status = check(sampling, count);
    if (status != MT_OK) {
        return status;
    }
    mt_sampler *made = malloc(sizeof *made);
    if (made != NULL) {
        *made = (mt_sampler){.sampling = *sampling,
                             .random = mt_random_make(seed, 0),
                             .count = (int32_t)count,
                             .allowed = (int32_t)count,
                             .forbidden = calloc((size_t)count, sizeof *made->forbidden),
                             .weights = malloc((size_t)count * sizeof *made->weights),
                             .order = malloc((size_t)count * sizeof *made->order)};
    }
    if (made == NULL || made->forbidden == NULL || made->weights == NULL || made->order == NULL) {
        mt_sampler_destroy(made);
        return mt_fail(MT_ERROR_MEMORY, "sampling: no memory for %" PRId64 " symbols", count);
    }
    *sampler = made;
    return MT_OK;
}

void mt_sampler_destroy(mt_sampler *sampler)
{
    if (sampler != NULL) {
        free(sampler->forbidden);
        free(sampler->weights);
        free(sampler->order);
        free(sampler);
    }
}

mt_status mt_sampler_forbid(mt_sampler *sampler, int32_t symbol)
{
    if (sampler == NULL) {
        return mt_fail_null(__func__);
    }
    if (symbol < 0 || symbol >= sampler->count) {
        return mt_fail(MT_ERROR_INVALID, "sampling: symbol %" PRId32 ", not in 0 .. %" PRId32,
                       symbol, sampler->count - 1);
    }
    if (!sampler->forbidden[symbol]) {
        if (sampler->allowed == 1) {
            return mt_fail(MT_ERROR_INVALID,
                           "sampling: without symbol %" PRId32 " none would be left", symbol);
        }
        sampler->forbidden[symbol] = true;
        sampler->allowed--;
    }
    return MT_OK;
}

/* The logits as doubles, and the symbol of the largest that is not forbidden. */
static mt_status read_logits(mt_sampler *sampler, mt_dtype dtype, const void *logits,
                             int32_t *likeliest)
{
    double *values = sampler->weights;
    *likeliest = -1;
    for (int32_t i = 0; i < sampler->count; i++) {
        values[i] = dtype == MT_F64 ? ((const double *)logits)[i] : ((const float *)logits)[i];
        if (!isfinite(values[i])) {
            return mt_fail(MT_ERROR_NUMERIC, "the logit of symbol %" PRId32 " is %g", i, values[i]);
        }
        if (!sampler->forbidden[i] && (*likeliest < 0 || values[i] > values[*likeliest])) {
            *likeliest = i;
        }
    }
    return MT_OK;
}

/* Makes weights of logits, and returns their sum. */
static double weigh(mt_sampler *sampler, double largest)
{
    double sum = 0.0, *weights = sampler->weights;
    for (int32_t i = 0; i < sampler->count; i++) {
        weights[i] = sampler->forbidden[i]
                         ? 0.0
                         : exp((weights[i] - largest) / sampler->sampling.temperature);
        sum += weights[i];
    }
    return sum;
}

static int by_weight(const void *a, const void *b, void *context)
{
    const double *weights = context;
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return weights[left] != weights[right] ? (weights[left] < weights[right] ? 1 : -1)
                                           : left - right;
}

/* Leaves only the likeliest a weight, and returns the sum of what is left. */
static double keep_likeliest(mt_sampler *sampler)
{
    int32_t *order = sampler->order, kept = sampler->count;
    double *weights = sampler->weights, sum = 0.0, share = 0.0;
    for (int32_t i = 0; i < sampler->count; i++) {
        order[i] = i;
    }
    qsort_r(order, (size_t)sampler->count, sizeof *order, by_weight, weights);
    if (sampler->sampling.top_k > 0 && sampler->sampling.top_k < kept) {
        kept = (int32_t)sampler->sampling.top_k;
    }
    for (int32_t i = 0; i < kept; i++) {
        sum += weights[order[i]];
    }
    for (int32_t i = 0; i < sampler->count; i++) {
        if (i >= kept || share >= sampler->sampling.top_p * sum) {
            weights[order[i]] = 0.0;
        }
        share += weights[order[i]];
    }
    return share;
}

mt_status mt_sampler_draw(mt_sampler *sampler, mt_dtype dtype, const void *logits, int32_t *symbol)
{
    if (sampler == NULL) {
        return mt_fail_null(__func__);
    }
    int32_t likeliest;
    mt_status status = read_logits(sampler, dtype, logits, &likeliest);
    if (status != MT_OK) {
        return status;
    }
    *symbol = likeliest;
    if (sampler->sampling.temperature == 0.0) {
        return MT_OK;
    }
    double sum = weigh(sampler, sampler->weights[likeliest]);
    if (sampler->sampling.top_k > 0 || sampler->sampling.top_p < 1.0) {
        sum = keep_likeliest(sampler);
    }
    /* Should rounding leave a rest behind the last symbol, the likeliest has it. */
    double left = mt_random_uniform(&sampler->random) * sum;
    for (int32_t i = 0; i < sampler->count; i++) {
        left -= sampler->weights[i];
        if (left < 0.0) {
            *symbol = i;
            break;
        }
    }
    return MT_OK;
}
