/* Lines of standard input, as prompts that are answered one by one. */
#ifndef MT_COMMAND_PROMPTS_H
#define MT_COMMAND_PROMPTS_H

#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct prompt_lines {
    bool on_terminal; /* there a mark asks for each line */
    bool at_end;      /* of the input; what comes before it may be a line without its end */
    int64_t number;   /* of the line that was read last, from 1 */
    int64_t wrong;    /* how many lines were refused */
    char *bytes;      /* what was read, from `start` to `end` */
    size_t start, end, room;
} prompt_lines;

prompt_lines prompts_open(void);
void prompts_close(prompt_lines *lines);

/* The next line, without its end, until the call after; NULL at the end of the input, or once a
 * signal is noted (ending.h). MT_ERROR_IO, MT_ERROR_MEMORY; MT_ERROR_FORMAT for a zero byte. */
mt_status prompts_next(prompt_lines *lines, const char **line);

/* Tells on standard error why the line that was read last is no prompt, and counts it. A failure
 * that is not the line's is given back, unless a signal is what it comes from. */
mt_status prompts_refuse(prompt_lines *lines, mt_status status);

#endif
