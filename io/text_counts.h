/* How much text there is: what figures of a model of text are said for. Internal. */
#ifndef MT_IO_TEXT_COUNTS_H
#define MT_IO_TEXT_COUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mt_text_counts {
    int64_t bytes;
    bool is_text; /* UTF-8; else the next two say nothing */
    int64_t characters;
    int64_t words; /* what stands between blanks: Unicode's of all kinds, as Python's str.split */
} mt_text_counts;

/* The counts of a text; a byte order mark is part of it. */
mt_text_counts mt_text_count(const char *bytes, size_t size);

#endif
