/* Tokenizers of models: text to ids, and ids to text as it comes. RWKV's World list is read here; a
 * tokenizer.json of Hugging Face and a model of SentencePiece in a process of its own
 * (tokenizer_process.h), which is started when such a tokenizer is opened and ends with it, or with
 * the program. docs/tokenizers.md has the kinds. */
#ifndef MT_COMMAND_TOKENIZER_H
#define MT_COMMAND_TOKENIZER_H

#include <mixtape/weights.h>

#include <stddef.h>
#include <stdint.h>

typedef struct text_tokenizer text_tokenizer;

/* Opens the bytes of a tokenizer's file; `name` is for messages, and stays. MT_ERROR_FORMAT for
 * what is none, MT_ERROR_IO where there is nothing that could read it. The caller closes what it
 * gets. */
mt_status tokenizer_open(const char *name, const char *bytes, size_t size,
                         text_tokenizer **tokenizer);
void tokenizer_close(text_tokenizer *tokenizer); /* NULL is allowed */

int64_t tokenizer_size(const text_tokenizer *tokenizer); /* all its ids are below */

/* A tokenizer may have fewer ids than the model has logits, since vocabularies are padded to round
 * sizes. MT_ERROR_INVALID, with both numbers, where it has more. */
mt_status tokenizer_check_size(const text_tokenizer *tokenizer, int64_t model);

/* For a tokenizer beside a model's token list, or NULL: MT_ERROR_INVALID where an id's piece is not
 * the token of the same number, naming the first. */
mt_status tokenizer_check_tokens(const text_tokenizer *tokenizer, const mt_token_list *tokens);

/* The same; but a model of SentencePiece may have the list's tokens by other numbers, as ESPnet's
 * lists do. From then on its ids are the list's labels, as long as that stays. */
mt_status tokenizer_take_tokens(text_tokenizer *tokenizer, const mt_token_list *tokens);

/* MT_ERROR_INVALID for any other than a model of SentencePiece; the list that ESPnet's recipes make
 * of one, which the caller destroys. */
mt_status tokenizer_check_splits(const text_tokenizer *tokenizer);
mt_status tokenizer_make_tokens(const text_tokenizer *tokenizer, mt_token_list **tokens);

/* The first few pieces of what was encoded that the list taken lacks: "'a', 'b'", or "". */
const char *tokenizer_unknown_pieces(const text_tokenizer *tokenizer);

/* Tells on standard error what is odd about a tokenizer: two pieces have one id. */
void tokenizer_tell_note(const text_tokenizer *tokenizer);

/* Tells on standard error where a tokenizer that an option names is another than a model's own. */
void tokenizer_tell_other(const text_tokenizer *tokenizer, const mt_tokenizer_file *file,
                          const mt_tokenizer_file *own);

/* What --unit would say, a tokenizer says: MT_ERROR_INVALID. */
mt_status tokenizer_refuse_unit(const char *unit);

/* The ids of a text, which the caller frees. MT_ERROR_FORMAT for what is not UTF-8, where the
 * tokenizer asks for it. */
mt_status tokenizer_encode(text_tokenizer *tokenizer, const char *text, size_t length,
                           int32_t **ids, int64_t *count);

/* The id of a token as the vocabulary spells it, or -1. */
mt_status tokenizer_find(text_tokenizer *tokenizer, const char *token, int32_t *id);

/* The last ids of a text, on which the text of the next one depends: the first `known` were shown,
 * and their text is taken from that of all. All zeros before the first. */
enum { MOST_HELD = 16 }; /* held back: the bytes of a character, and some that are not shown */

typedef struct tokenizer_tail {
    int32_t ids[2 * MOST_HELD];
    int known, count;
} tokenizer_tail;

/* The text that an id adds to those before it; a character that is not whole yet is held back. A
 * World list's ids are bytes, each as it comes. It stays until the next call. The second gives what
 * is still held back, and begins anew. Each text has its tail. */
mt_status tokenizer_next(text_tokenizer *tokenizer, tokenizer_tail *tail, int32_t id,
                         const char **bytes, size_t *length);
mt_status tokenizer_rest(text_tokenizer *tokenizer, tokenizer_tail *tail, const char **bytes,
                         size_t *length);

/* The text of an id without any before it. */
mt_status tokenizer_alone(text_tokenizer *tokenizer, int32_t id, const char **bytes,
                          size_t *length);

#endif
