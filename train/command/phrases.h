/* Lines of phrases ("step 3 of 9", "0:12 left") that fit a terminal: the least important ones are
 * told in brief, and then left out whole, so that no number is cut. */
#ifndef MT_COMMAND_PHRASES_H
#define MT_COMMAND_PHRASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct phrase {
    const char *text;   /* of printable characters; "": there is none */
    const char *brief;  /* the same with fewer columns, or NULL */
    const char *behind; /* what separates it from the next on the same line */
    const char *colour; /* an escape sequence, or NULL */
    int rank;           /* 0: the most important */
} phrase;

/* Tells if text may have characters beyond ASCII, by the locale of the environment. */
bool text_is_utf8(void);

/* The columns of a terminal that UTF-8 text takes. */
int text_columns(const char *text);

/* Copies text of at most `columns`; from one that is longer the middle is left out, with an
 * ellipsis in its place. Where there is no room for that, the beginning is left. */
void text_shorten(const char *text, int columns, char *shown, size_t size);

/* Makes the phrases fit into so many columns and lines, folded between phrases: what is left out
 * becomes "". Returns how many lines they take; 0 where nothing fits. */
int phrases_fit(phrase *phrases, int count, int columns, int lines);

/* The columns that they take in one line. */
int phrases_columns(const phrase *phrases, int count);

/* Prints them, folded at `columns`, without the end of the last line. */
void phrases_print(FILE *to, const phrase *phrases, int count, int columns);

#endif
