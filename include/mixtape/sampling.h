/* Drawing symbols from logits, as of a language model (stream.h). */
#ifndef MIXTAPE_SAMPLING_H
#define MIXTAPE_SAMPLING_H

#include <mixtape/api.h>
#include <mixtape/dtype.h>
#include <mixtape/error.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A symbol is drawn from softmax(logits / temperature) over the symbols that are kept. */
typedef struct mt_sampling {
    double temperature; /* below 1 favours the likely ones; 0: always the likeliest, the first of
                           several */
    int64_t top_k;      /* keeps as many of the likeliest; 0: all */
    double top_p;       /* of those, keeps the fewest of the likeliest that have at least this share
                           (Holtzman et al. 2020); 1: all */
} mt_sampling;

/* Temperature 1, over all symbols. */
MT_API mt_sampling mt_sampling_default(void);

typedef struct mt_sampler mt_sampler;

/* A sampler over `count` symbols, of which the seed tells the choices. MT_ERROR_INVALID, with the
 * figure, for a temperature or top_k below 0, a top_p outside (0, 1], or no symbols;
 * MT_ERROR_MEMORY. `*sampler` is NULL after a failure; the caller destroys it. */
MT_API mt_status mt_sampler_create(const mt_sampling *sampling, int64_t count, uint64_t seed,
                                   mt_sampler **sampler);
MT_API void mt_sampler_destroy(mt_sampler *sampler); /* NULL is allowed */

/* Another one that draws what this one would, of the same symbols: for another thread, since a
 * sampler serves one at a time. MT_ERROR_MEMORY. `*copy` is NULL after a failure; the caller
 * destroys it. */
MT_API mt_status mt_sampler_copy(const mt_sampler *sampler, mt_sampler **copy);

/* From now on a symbol is never drawn. MT_ERROR_INVALID for one that is none, or the last one. */
MT_API mt_status mt_sampler_forbid(mt_sampler *sampler, int32_t symbol);

/* Draws a symbol from `count` logits in host memory. MT_ERROR_INVALID for a type that is not real;
 * MT_ERROR_NUMERIC, with the symbol and its logit, where one is not finite. Then no choice is used
 * up. */
MT_API mt_status mt_sampler_draw(mt_sampler *sampler, mt_dtype dtype, const void *logits,
                                 int32_t *symbol);

/* Makes the sampler choose as one does that was just created with this seed: so one serves many
 * sequences, each with its own seed and position. */
MT_API mt_status mt_sampler_reseed(mt_sampler *sampler, uint64_t seed);

/* How far the sampler is in its seed's choices, and to be there: a sampler of the same seed then
 * draws what this one would. 0 of NULL; MT_ERROR_INVALID for a position below 0. */
MT_API int64_t mt_sampler_position(const mt_sampler *sampler);
MT_API mt_status mt_sampler_seek(mt_sampler *sampler, int64_t position);

#ifdef __cplusplus
}
#endif

#endif
