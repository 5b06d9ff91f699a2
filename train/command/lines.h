/* Lines for a person to read, which hold names, paths and arguments of whatever bytes. */
#ifndef MT_COMMAND_LINES_H
#define MT_COMMAND_LINES_H

#include <mixtape/api.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

/* Prints one line as printf would, and ends it. What is no text in it, or would move the cursor, is
 * told in its place (kernels/printable.h). */
MT_PRINTF(2, 3) void print_line(FILE *to, const char *format, ...);

/* The line itself, without its end, cut to `size`. */
MT_PRINTF(3, 0)
void format_line(char *line, size_t size, const char *format, va_list values);

/* Writes out what standard output holds. Of the first time that this failed the errno is kept, for
 * whoever tells of it at the end: later calls set another. */
void flush_output(void);
int output_failure(void); /* 0: none */

/* Text that a model makes, a symbol at a time. A pipe or a file gets its bytes: they are what was
 * asked for. A terminal gets no more than text, with its newlines and tabs: it would obey the
 * rest. */
typedef struct text_output {
    FILE *to;
    bool on_terminal;
    char held[4]; /* the beginning of a character, whose symbols may be its bytes */
    size_t held_count;
} text_output;

text_output text_output_make(FILE *to);
void text_output_put(text_output *output, const char *bytes, size_t count);
void text_output_end(text_output *output);

#endif
