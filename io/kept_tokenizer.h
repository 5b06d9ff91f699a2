/* The file of a tokenizer within a file of weights: the group /tokenizer has its bytes, padded with
 * zeros, as integers of 32 bits, little-endian, which HDF5 gives a checksum, and their number as
 * the attribute `size`. Internal. */
#ifndef MT_IO_KEPT_TOKENIZER_H
#define MT_IO_KEPT_TOKENIZER_H

#include <mixtape/weights.h>

#include "io/archive.h"

#include <stdbool.h>

#define MT_TOKENIZER_GROUP "tokenizer"

/* The names that such files have in a model's folder. */
#define MT_TOKENIZER_JSON  "tokenizer.json"
#define MT_TOKENIZER_MODEL "tokenizer.model"
#define MT_TOKENIZER_WORLD "rwkv_vocab_v20230424.txt"

enum { MT_TOKENIZER_MOST = 64 << 20 }; /* bytes of a file */

/* Neither does anything where there is none. What is read is the caller's to free. */
void mt_tokenizer_write(mt_archive *archive, const mt_tokenizer_file *tokenizer);
void mt_tokenizer_read(mt_archive *archive, mt_tokenizer_file *tokenizer);

/* Reads a tokenizer's file, of at most MT_TOKENIZER_MOST bytes, or that of a folder, which must
 * have one. MT_ERROR_FORMAT, with the reason, for what can be seen to be none: JSON that is cut or
 * has no model, a World list with a wrong line, another kind of file. */
mt_status mt_tokenizer_load(const char *path, mt_tokenizer_file *tokenizer);

/* Reads the one of a model's folder, by its usual names; there need be none. */
mt_status mt_tokenizer_load_beside(const char *folder, mt_tokenizer_file *tokenizer);

/* Tells if bytes that are no World list can only be a model of SentencePiece: they begin as its
 * first field does. */
static inline bool mt_tokenizer_is_sentencepiece(const char *bytes, size_t size)
{
    return size > 0 && bytes[0] == '\n';
}

/* The name that files of its kind have there. */
const char *mt_tokenizer_usual_name(const mt_tokenizer_file *tokenizer);

void mt_tokenizer_free(mt_tokenizer_file *tokenizer);

#endif
