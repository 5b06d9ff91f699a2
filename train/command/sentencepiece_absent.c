/* A build without SentencePiece's library: models are read by Python. */
#include "train/command/sentencepiece.h"

const char *sentencepiece_version(void)
{
    return NULL;
}

sentencepiece_model *sentencepiece_create(const char *name)
{
    (void)name;
    return NULL;
}

sentencepiece_answer sentencepiece_ask(sentencepiece_model *model, char asked, const char *bytes,
                                       size_t size)
{
    (void)model;
    (void)asked;
    (void)bytes;
    (void)size;
    return (sentencepiece_answer){0};
}
