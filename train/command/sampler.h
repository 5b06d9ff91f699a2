/* Sampling from a language model, one symbol at a time, with the carried state. */
#ifndef MT_COMMAND_SAMPLER_H
#define MT_COMMAND_SAMPLER_H

#include <mixtape/random.h>
#include <mixtape/stream.h>

typedef struct text_sampler {
    const mt_model *model;
    mt_stream *stream;
    double temperature; /* 0: always the likeliest */
    int64_t top_k;      /* 0: among all */
    double *logits;
    int32_t *order; /* by logit, for top_k */
    mt_random random;
} text_sampler;

/* Begins a sequence. Closed even after a failure. */
mt_status sampler_open(text_sampler *sampler, mt_model *model, double temperature, int64_t top_k,
                       int64_t seed);
void sampler_close(text_sampler *sampler);

/* Feeds one symbol; the prediction of the next must be finite. */
mt_status sampler_feed(text_sampler *sampler, int32_t symbol);

/* Draws from softmax(logits / temperature) over the likeliest `top_k`. */
int32_t sampler_draw(text_sampler *sampler);

#endif
