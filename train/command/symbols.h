/* The symbols of a model of text: what a prompt becomes, and how they are written. */
#ifndef MT_COMMAND_SYMBOLS_H
#define MT_COMMAND_SYMBOLS_H

#include <mixtape/checkpoint.h>
#include <mixtape/text.h>

#include "train/command/lines.h"
#include "train/command/tokenizer.h"

typedef struct text_symbols {
    int64_t count;               /* of the model's logits */
    const mt_token_list *tokens; /* NULL where there are none */
    mt_token_list *own;          /* those that are no model's; to be destroyed, or NULL */
    text_tokenizer *tokenizer;   /* that makes them of text, or NULL */
    bool numbers;                /* symbols are read and written as their numbers */
    bool transcripts;            /* sequences begin with the blank, 0 */
    bool words;
    mt_text_unit unit;
} text_symbols;

/* How options say that symbols are read and written; NULL for what they leave to the model. */
typedef struct symbols_asked {
    const char *task, *unit, *token_list, *tokenizer;
    bool numbers;
    const char *numbers_option; /* by which they are, for a message */
} symbols_asked;

/* A model with a tokenizer has text read and written by that. Another one's symbols are read and
 * written as its run's configuration says or, where it comes without one, by its tokens: those of
 * transcripts begin with <blank>, those of bytes with <0x00>. Options come before either.
 * MT_ERROR_INVALID, naming `path` or the option, where there are no tokens for text, or others than
 * the model's, or where it has no head. The caller frees the symbols, after a failure, too. */
mt_status symbols_find(const mt_checkpoint *checkpoint, const char *path,
                       const symbols_asked *asked, text_symbols *symbols);
void symbols_free(text_symbols *symbols);

/* The symbols of a text; numbers stand between blanks. The caller frees them. */
mt_status symbols_of(const text_symbols *symbols, const char *text, int32_t **ids, int64_t *count);

/* Tells if symbol 0 is fed before a text of so many symbols: where the model has learnt that it
 * comes before everything, and where there would be nothing to go on from. */
bool symbols_need_start(const text_symbols *symbols, int64_t count);

/* The symbol of a token, a character or a number. MT_ERROR_INVALID where the text is none. */
mt_status symbols_one(const text_symbols *symbols, const char *token, int32_t *symbol);

/* What a symbol of a model without a tokenizer is written as, and what stands behind it: its
 * number, or bytes that stay as long as the tokens. */
typedef struct symbol_text {
    const char *bytes;
    size_t length;
    const char *behind;
    char number[16];
} symbol_text;

void symbols_text(const text_symbols *symbols, int32_t symbol, symbol_text *text);

#endif
