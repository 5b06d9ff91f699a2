#include <mixtape/random.h>
#include <mixtape/sampling.h>

#include "kernels/bfloat16.h"
#include "kernels/null.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct mt_sampler {
    mt_sampling sampling;
    mt_random random;
    int32_t count, allowed;
    bool *forbidden;
    double *logits;        /* of the draw at hand; minus infinity for what is forbidden */
    int32_t *order, taken; /* the symbols by likelihood, as far as they were looked at */
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
                             .logits = malloc((size_t)count * sizeof *made->logits),
                             .order = malloc((size_t)count * sizeof *made->order)};
    }
    if (made == NULL || made->forbidden == NULL || made->logits == NULL || made->order == NULL) {
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
        free(sampler->logits);
        free(sampler->order);
        free(sampler);
    }
}

mt_status mt_sampler_copy(const mt_sampler *sampler, mt_sampler **copy)
{
    *copy = NULL;
    if (sampler == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_sampler_create(&sampler->sampling, sampler->count, 0, copy);
    if (status == MT_OK) {
        (*copy)->random = sampler->random;
        (*copy)->allowed = sampler->allowed;
        memcpy((*copy)->forbidden, sampler->forbidden,
               (size_t)sampler->count * sizeof *sampler->forbidden);
    }
    return status;
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

static double logit_at(mt_dtype dtype, const void *logits, int32_t i)
{
    return dtype == MT_F64   ? ((const double *)logits)[i]
           : dtype == MT_F32 ? (double)((const float *)logits)[i]
                             : (double)mt_bf16_value(((const mt_bf16 *)logits)[i]);
}

static mt_status read_logits(mt_sampler *sampler, mt_dtype dtype, const void *logits)
{
    if (!mt_dtype_is_real(dtype)) {
        return mt_fail(MT_ERROR_INVALID, "logits are of type %d, which is not real", (int)dtype);
    }
    for (int32_t i = 0; i < sampler->count; i++) {
        double logit = logit_at(dtype, logits, i);
        if (!isfinite(logit)) {
            return mt_fail(MT_ERROR_NUMERIC, "the logit of symbol %" PRId32 " is %g", i,
                           isnan(logit) ? (double)NAN : logit);
        }
        sampler->logits[i] = sampler->forbidden[i] ? -HUGE_VAL : logit;
    }
    return MT_OK;
}

static int32_t likeliest(const mt_sampler *sampler)
{
    int32_t best = 0;
    for (int32_t i = 1; i < sampler->count; i++) {
        best = sampler->logits[i] > sampler->logits[best] ? i : best;
    }
    return best;
}

/* ---- the likeliest, one after the other ----
 *
 * A draw mostly ends among the first few, so the symbols are a heap, and no more of them are put in
 * order than are looked at: each of `order` comes before the two at twice its place, + 1 and + 2.
 * Those that were taken stand behind the heap, from the end on. Where a draw has not ended with
 * one in PARTED_FROM of all, what is left of the heap is parted. */

enum { PARTED_FROM = 32 };

static bool comes_before(const double *logits, int32_t a, int32_t b)
{
    double of_a = logits[a], of_b = logits[b];
    return of_a > of_b || (of_a == of_b && a < b);
}

static void sink(const mt_sampler *sampler, int32_t place, int32_t count)
{
    const double *logits = sampler->logits;
    int32_t *order = sampler->order, symbol = order[place];
    for (int32_t child; place < count / 2; place = child) {
        child = 2 * place + 1;
        child += child + 1 < count && comes_before(logits, order[child + 1], order[child]);
        if (comes_before(logits, symbol, order[child])) {
            break;
        }
        order[place] = order[child];
    }
    order[place] = symbol;
}

static void make_heap(mt_sampler *sampler)
{
    for (int32_t i = 0; i < sampler->count; i++) {
        sampler->order[i] = i;
    }
    for (int32_t i = sampler->count / 2; i-- > 0;) {
        sink(sampler, i, sampler->count);
    }
    sampler->taken = 0;
}

/* The symbol of this place in the order of likelihood, from 0. */
static int32_t symbol_at(mt_sampler *sampler, int32_t place)
{
    int32_t *order = sampler->order;
    while (sampler->taken <= place) {
        int32_t last = sampler->count - ++sampler->taken, first = order[0];
        order[0] = order[last];
        order[last] = first;
        sink(sampler, 0, last);
    }
    return order[sampler->count - 1 - place];
}

/* e^((logit - largest) / temperature) */
static double weight_of(const mt_sampler *sampler, int32_t symbol, double largest)
{
    return exp((sampler->logits[symbol] - largest) / sampler->sampling.temperature);
}

static double weight(mt_sampler *sampler, int32_t place)
{
    return weight_of(sampler, symbol_at(sampler, place), sampler->logits[symbol_at(sampler, 0)]);
}

/* The sum of the weights of so many of the likeliest. Of all it needs no order. */
static double sum_weights(mt_sampler *sampler, int32_t kept)
{
    double sum = 0.0, largest = sampler->logits[symbol_at(sampler, 0)];
    for (int32_t i = 0; i < kept && kept < sampler->allowed; i++) {
        sum += weight(sampler, i);
    }
    for (int32_t i = 0; i < sampler->count && kept == sampler->allowed; i++) {
        sum += weight_of(sampler, i, largest); /* 0 of what is forbidden */
    }
    return sum;
}

/* How many of the likeliest are kept, and the sum of their weights. */
static int32_t count_kept(mt_sampler *sampler, double *sum)
{
    mt_sampling sampling = sampler->sampling;
    int32_t kept = sampling.top_k > 0 && sampling.top_k < sampler->allowed ? (int32_t)sampling.top_k
                                                                           : sampler->allowed;
    *sum = sum_weights(sampler, kept);
    if (sampling.top_p == 1.0) {
        return kept;
    }
    double share = sampling.top_p * *sum;
    int32_t fewest = 0;
    for (*sum = 0.0; fewest < kept && *sum < share; fewest++) {
        *sum += weight(sampler, fewest);
    }
    return fewest;
}

/* The symbol of the heap at which `left` ends, by the weights in the order of likelihood. Symbols
 * are parted into those before one of them and those behind it, and the side on which `left` ends
 * is parted again: the others never are in order. */
static int32_t find_in_heap(mt_sampler *sampler, double left)
{
    const double *logits = sampler->logits, largest = logits[symbol_at(sampler, 0)];
    int32_t *order = sampler->order, begin = 0, end = sampler->count - sampler->taken;
    int32_t last =
        symbol_at(sampler, sampler->taken - 1); /* where rounding leaves none behind it */
    while (begin < end) {
        int32_t middle = begin + (end - begin) / 2, symbol = order[middle], place = begin;
        double before = 0.0, own = weight_of(sampler, symbol, largest);
        order[middle] = order[end - 1];
        for (int32_t i = begin; i < end - 1; i++) {
            int32_t other = order[i];
            if (comes_before(logits, other, symbol)) {
                order[i] = order[place];
                order[place++] = other;
                before += weight_of(sampler, other, largest);
            }
        }
        order[end - 1] = order[place];
        order[place] = symbol;
        if (left < before) {
            end = place;
            continue;
        }
        left -= before;
        last = own > 0.0 ? symbol : last;
        if (left < own) {
            break;
        }
        left -= own;
        begin = place + 1;
    }
    return last;
}

mt_status mt_sampler_draw(mt_sampler *sampler, mt_dtype dtype, const void *logits, int32_t *symbol)
{
    if (sampler == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = read_logits(sampler, dtype, logits);
    if (status != MT_OK) {
        return status;
    }
    if (sampler->sampling.temperature == 0.0) {
        *symbol = likeliest(sampler);
        return MT_OK;
    }
    make_heap(sampler);
    double sum;
    int32_t kept = count_kept(sampler, &sum), i = 0;
    double left = mt_random_uniform(&sampler->random) * sum;
    int32_t ordered = kept - 1, few = sampler->count / PARTED_FROM;
    if (kept == sampler->allowed && sampler->taken == 1 && few > 0 && few < ordered) {
        ordered = few;
    }
    while (i < ordered && (left -= weight(sampler, i)) >= 0.0) {
        i++;
    }
    *symbol =
        i == ordered && ordered < kept - 1 ? find_in_heap(sampler, left) : symbol_at(sampler, i);
    return MT_OK;
}

mt_status mt_sampler_reseed(mt_sampler *sampler, uint64_t seed)
{
    if (sampler == NULL) {
        return mt_fail_null(__func__);
    }
    sampler->random = mt_random_make(seed, 0);
    return MT_OK;
}

int64_t mt_sampler_position(const mt_sampler *sampler)
{
    return sampler != NULL ? (int64_t)sampler->random.position : 0;
}

mt_status mt_sampler_seek(mt_sampler *sampler, int64_t position)
{
    if (sampler == NULL) {
        return mt_fail_null(__func__);
    }
    if (position < 0) {
        return mt_fail(MT_ERROR_INVALID, "position %" PRId64 " of choices", position);
    }
    sampler->random.position = (uint64_t)position;
    return MT_OK;
}
