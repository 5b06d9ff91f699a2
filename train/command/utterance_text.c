#include "train/command/utterance_text.h"

#include "io/token_pieces.h"
#include "io/utf8.h"

#include <string.h>

/* Leaves the words of a text, with `between` between them. */
static void join_words(char *text, const char *between)
{
    char *to = text;
    for (const char *word = mt_utf8_skip_blanks(text); *word != '\0';) {
        size_t length = mt_utf8_word_length(word), gap = to > text ? strlen(between) : 0;
        const char *next = mt_utf8_skip_blanks(word + length);
        memmove(to + gap, word, length);
        memcpy(to, between, gap);
        to += gap + length;
        word = next;
    }
    *to = '\0';
}

/* Puts pieces together to words, before which their mark stands. */
static void join_pieces(char *text)
{
    static const char mark[] = MT_PIECE_MARK;
    char *to = text;
    join_words(text, "");
    for (const char *at = text; *at != '\0';) {
        bool marked = strncmp(at, mark, strlen(mark)) == 0;
        if (!marked) {
            *to++ = *at;
        } else if (to > text) {
            *to++ = ' ';
        }
        at += marked ? strlen(mark) : 1;
    }
    *to = '\0';
}

char *utterance_text(const text_symbols *symbols, char *text, bool pieces)
{
    if (pieces) {
        join_pieces(text);
    } else if (symbols->words || !symbols->transcripts) {
        join_words(text, " ");
    }
    text[mt_utf8_before_blanks(text) - text] = '\0';
    return text + (mt_utf8_skip_blanks(text) - text);
}
