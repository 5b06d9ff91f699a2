/* A text as its symbols come, those of a prompt and then those that a model writes behind it: their
 * bytes, until the text ends as --stop says. A signal ends the wait for a tokenizer (ending.h). */
#ifndef MT_COMMAND_SHOWN_TEXT_H
#define MT_COMMAND_SHOWN_TEXT_H

#include "train/command/symbols.h"

/* What ends a text: that it ends with these bytes, "" being none; or a symbol, -1 being none. */
typedef struct text_stop {
    const char *text;
    int32_t symbol;
} text_stop;

/* Of symbols that are written as their numbers, one ends a text, and not the digits of others.
 * MT_ERROR_INVALID where the option is no such number. */
mt_status text_stop_find(const text_symbols *symbols, const char *option, text_stop *stop);

/* Where the bytes go. */
typedef mt_status text_put(void *context, const char *bytes, size_t count);

typedef struct shown_text {
    const text_symbols *symbols;
    const text_stop *stop;
    text_put *put;
    void *context;
    tokenizer_tail pieces;
    bool answers; /* what comes is the model's, and no prompt */
    bool silent;  /* a signal came before a tokenizer had told the text of the last symbol */
    bool at_stop_symbol;
    char *end; /* of the answer: strlen(stop->text) bytes at most */
    size_t end_length;
} shown_text;

/* Closed even after a failure. Symbols and stop outlive the text. */
mt_status shown_text_open(shown_text *text, const text_symbols *symbols, const text_stop *stop,
                          text_put *put, void *context);
void shown_text_close(shown_text *text);

/* Shows a prompt, with which no text ends. */
mt_status shown_text_prompt(shown_text *text, const int32_t *ids, int64_t count);

/* From here on the symbols are the model's: shows one; and, behind the last, what a tokenizer held
 * back. Nothing is shown behind what ends the text. */
void shown_text_begin_answer(shown_text *text);
mt_status shown_text_add(shown_text *text, int32_t symbol);
mt_status shown_text_finish(shown_text *text);
bool shown_text_has_ended(const shown_text *text);

#endif
