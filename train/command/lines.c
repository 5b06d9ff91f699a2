#include "train/command/lines.h"

#include "kernels/printable.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST_LINE = 8192 };

void format_line(char *line, size_t size, const char *format, va_list values)
{
    char text[LONGEST_LINE];
    vsnprintf(text, sizeof text, format, values);
    mt_printable(text, strlen(text), line, size);
}

void print_line(FILE *to, const char *format, ...)
{
    char line[LONGEST_LINE];
    va_list values;
    va_start(values, format);
    format_line(line, sizeof line, format, values);
    va_end(values);
    fprintf(to, "%s\n", line);
}

static int first_failure;

void flush_output(void)
{
    if (fflush(stdout) != 0 && first_failure == 0) {
        first_failure = errno;
    }
}

int output_failure(void)
{
    return first_failure;
}

text_output text_output_make(FILE *to)
{
    return (text_output){.to = to, .on_terminal = isatty(fileno(to)) != 0};
}

/* Shows what is held, a character or bytes that are none. */
static void show_held(text_output *output)
{
    char shown[MT_PRINTABLE_MOST * sizeof output->held + 1];
    mt_printable(output->held, output->held_count, shown, sizeof shown);
    fputs(shown, output->to);
    output->held_count = 0;
}

static void show_byte(text_output *output, char byte)
{
    bool continues = ((unsigned char)byte & 0xC0) == 0x80, alone = (unsigned char)byte < 0x80;
    if (!continues || output->held_count == sizeof output->held) {
        show_held(output);
    }
    if (byte == '\n' || byte == '\t') {
        fputc(byte, output->to);
        return;
    }
    output->held[output->held_count++] = byte;
    if (alone) {
        show_held(output);
    }
}

void text_output_put(text_output *output, const char *bytes, size_t count)
{
    if (!output->on_terminal) {
        fwrite(bytes, 1, count, output->to);
    }
    for (size_t i = 0; i < count && output->on_terminal; i++) {
        show_byte(output, bytes[i]);
    }
    flush_output();
}

void text_output_end(text_output *output)
{
    show_held(output);
    fputc('\n', output->to);
    fflush(output->to);
}
