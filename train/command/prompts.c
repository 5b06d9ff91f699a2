#include "train/command/prompts.h"

#include "io/input.h"
#include "io/utf8.h"
#include "train/command/ending.h"
#include "train/command/lines.h"
#include "train/command/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

prompt_lines prompts_ask(void)
{
    return (prompt_lines){.name = "standard input",
                          .file = STDIN_FILENO,
                          .on_terminal = isatty(STDIN_FILENO) != 0,
                          .is_checked = true};
}

mt_status prompts_open(const char *name, prompt_lines *lines)
{
    bool is_standard = strcmp(name, "-") == 0;
    *lines = (prompt_lines){.name = is_standard ? "standard input" : name,
                            .file = is_standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC)};
    return lines->file >= 0 ? MT_OK : mt_fail(MT_ERROR_IO, "%s: %s", name, strerror(errno));
}

void prompts_close(prompt_lines *lines)
{
    if (lines->file > STDIN_FILENO) {
        close(lines->file);
    }
    free(lines->bytes);
    *lines = (prompt_lines){.at_end = true};
}

/* Makes room behind what was read, for as much again and a zero byte. */
static mt_status make_room(prompt_lines *lines)
{
    enum { LEAST = 4096 };
    size_t held = lines->end - lines->start;
    if (lines->start > 0) {
        memmove(lines->bytes, lines->bytes + lines->start, held);
        lines->start = 0;
        lines->end = held;
    }
    if (lines->room > 2 * held && lines->room > LEAST) {
        return MT_OK;
    }
    size_t room = 2 * held + LEAST + 1;
    char *larger = realloc(lines->bytes, room);
    if (larger == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", lines->name, room);
    }
    lines->bytes = larger;
    lines->room = room;
    return MT_OK;
}

/* Looks at how the file begins, and passes a byte order mark. */
static mt_status check_kind(prompt_lines *lines)
{
    size_t held = lines->end - lines->start;
    mt_status status = mt_input_check_unpacked(lines->bytes + lines->start, held);
    if (status == MT_OK) {
        status = mt_input_check_text(lines->bytes + lines->start, held);
    }
    lines->is_checked = true;
    lines->start += mt_utf8_mark(lines->bytes + lines->start, held);
    return status == MT_OK ? MT_OK : mt_fail(status, "%s: %s", lines->name, mt_error_message());
}

/* Reads what there is, at least a byte. Nothing is read once a signal is noted. */
static mt_status read_some(prompt_lines *lines)
{
    mt_status status = make_room(lines);
    if (status != MT_OK || !ending_wait_for(lines->file, POLLIN)) {
        return status;
    }
    ssize_t got = read(lines->file, lines->bytes + lines->end, lines->room - 1 - lines->end);
    if (got < 0 && errno != EINTR && errno != EAGAIN) {
        return mt_fail(MT_ERROR_IO, "%s: %s", lines->name, strerror(errno));
    }
    lines->at_end = got == 0;
    lines->end += got > 0 ? (size_t)got : 0;
    return lines->is_checked ? MT_OK : check_kind(lines);
}

/* The line that begins what was read, and its bytes; NULL where its end was not read yet. */
static char *first_line(prompt_lines *lines, size_t *length)
{
    size_t held = lines->end - lines->start;
    if (held == 0) {
        return NULL;
    }
    char *line = lines->bytes + lines->start, *stop = memchr(line, '\n', held);
    if (stop == NULL && !lines->at_end) {
        return NULL;
    }
    *length = stop != NULL ? (size_t)(stop - line) : held;
    lines->start += *length + (stop != NULL);
    if (*length > 0 && line[*length - 1] == '\r') {
        --*length;
    }
    line[*length] = '\0';
    lines->number++;
    return line;
}

mt_status prompts_next(prompt_lines *lines, const char **line)
{
    mt_status status = MT_OK;
    size_t length = 0;
    *line = NULL;
    if (lines->on_terminal) {
        fputs("> ", stderr);
    }
    char *found = first_line(lines, &length);
    while (found == NULL && status == MT_OK && !lines->at_end && ending_signal() == 0) {
        status = read_some(lines);
        found = status == MT_OK ? first_line(lines, &length) : NULL;
    }
    if (found != NULL && strlen(found) != length) {
        *line = found;
        return mt_fail(MT_ERROR_FORMAT, "a zero byte at %zu", strlen(found));
    }
    *line = ending_signal() == 0 ? found : NULL;
    return status;
}

mt_status prompts_refuse(prompt_lines *lines, mt_status status)
{
    if (ending_signal() != 0) {
        return MT_OK;
    }
    if (status != MT_ERROR_FORMAT && status != MT_ERROR_INVALID) {
        return status;
    }
    lines->wrong++;
    if (lines->on_terminal) {
        print_line(stderr, "%s", mt_error_message());
    } else {
        report(mt_fail(status, "%s: line %" PRId64 ": %s", lines->name, lines->number,
                       mt_error_message()));
    }
    return MT_OK;
}
