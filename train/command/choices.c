#include "train/command/choices.h"

#include <string.h>

/* Ids of a vocabulary that is larger than its tokenizer are no text. */
static mt_status forbid_padding(const text_symbols *symbols, mt_sampler *sampler)
{
    int64_t size = symbols->tokenizer != NULL ? tokenizer_size(symbols->tokenizer) : symbols->count;
    mt_status status = MT_OK;
    for (int64_t id = size; id < symbols->count && status == MT_OK; id++) {
        status = mt_sampler_forbid(sampler, (int32_t)id);
    }
    return status;
}

static mt_status forbid(const text_symbols *symbols, const text_stop *stop, const char *token,
                        mt_sampler *sampler)
{
    int32_t symbol;
    mt_status status = symbols_one(symbols, token, &symbol);
    if (status == MT_OK && (symbol == stop->symbol || strcmp(token, stop->text) == 0)) {
        status = mt_fail(MT_ERROR_INVALID, "%s: it is to end the text, as --stop says", token);
    }
    if (status == MT_OK) {
        status = mt_sampler_forbid(sampler, symbol);
    }
    return status == MT_OK ? MT_OK : mt_fail(status, "--without: %s", mt_error_message());
}

static mt_status forbid_all(const text_symbols *symbols, const text_stop *stop,
                            const choices_asked *asked, mt_sampler *sampler)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < asked->forbidden.count && status == MT_OK; i++) {
        status = forbid(symbols, stop, asked->forbidden.names[i], sampler);
    }
    if (status != MT_OK) {
        return status;
    }
    /* No transcript has it, so the model has not learnt when it comes. */
    bool has_blank = symbols->tokens != NULL && strcmp(symbols->tokens->tokens[0], "<blank>") == 0;
    return has_blank && !asked->blank ? mt_sampler_forbid(sampler, 0)
                                      : forbid_padding(symbols, sampler);
}

mt_status choices_open(const text_symbols *symbols, const text_stop *stop,
                       const choices_asked *asked, uint64_t seed, mt_sampler **sampler)
{
    mt_status status = mt_sampler_create(&asked->sampling, symbols->count, seed, sampler);
    if (status == MT_OK) {
        status = forbid_all(symbols, stop, asked, *sampler);
    }
    if (status != MT_OK) {
        mt_sampler_destroy(*sampler);
        *sampler = NULL;
    }
    return status;
}
