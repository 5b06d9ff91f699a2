/* Lines of a file or of standard input, as prompts. */
#ifndef MT_COMMAND_PROMPTS_H
#define MT_COMMAND_PROMPTS_H

#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct prompt_lines {
    const char *name; /* for messages */
    int file;
    bool on_terminal; /* there a mark asks for each line */
    bool at_end;      /* of the input; what comes before it may be a line without its end */
    bool is_checked;  /* the file does not begin as one that holds no lines */
    int64_t number;   /* of the line that was read last, from 1 */
    int64_t wrong;    /* how many lines were refused */
    char *bytes;      /* what was read, from `start` to `end` */
    size_t start, end, room;
} prompt_lines;

/* Those of standard input, which somebody may write at a terminal as they are asked for; those of a
 * file, "-" being standard input, which are text that nobody compressed. MT_ERROR_IO. The name
 * stays. */
prompt_lines prompts_ask(void);
mt_status prompts_open(const char *name, prompt_lines *lines);
void prompts_close(prompt_lines *lines);

/* The next line, without its end, until the call after; NULL at the end of the input, or once a
 * signal is noted (ending.h). MT_ERROR_IO, MT_ERROR_MEMORY; MT_ERROR_FORMAT for a line with a zero
 * byte, and, without a line, for a file of another kind. */
mt_status prompts_next(prompt_lines *lines, const char **line);

/* Tells on standard error why the line that was read last is no prompt, and counts it. A failure
 * that is not the line's is given back, unless a signal is what it comes from. */
mt_status prompts_refuse(prompt_lines *lines, mt_status status);

#endif
