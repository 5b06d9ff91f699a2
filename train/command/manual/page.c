/* Manual pages, in the macros of man(7). */
#include "train/command/manual/manual.h"

#include "train/command/verbs.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* What stands for a character that is not itself in a page's source, or NULL. */
static const char *escape(char character)
{
    return character == '\\'   ? "\\e"
           : character == '-'  ? "\\-"
           : character == '`'  ? "\\(ga"
           : character == '\'' ? "\\(aq"
                               : NULL;
}

/* The first `length` bytes of a text as a line. */
static void put_line(FILE *to, const char *text, size_t length)
{
    if (length > 0 && (text[0] == '.' || text[0] == '\'')) {
        fputs("\\&", to);
    }
    for (size_t i = 0; i < length; i++) {
        const char *escaped = escape(text[i]);
        if (escaped != NULL) {
            fputs(escaped, to);
        } else {
            fputc(text[i], to);
        }
    }
    fputc('\n', to);
}

/* The same as several lines, since they are filled anew: none is longer than it should be, but for
 * a long word. */
static void put_words(FILE *to, const char *text, size_t length)
{
    enum { LONGEST = 78 };
    size_t begin = 0, blank = 0, width = 0; /* the last blank of the line, and what it takes */
    for (size_t i = 0; i < length; i++) {
        blank = text[i] == ' ' ? i : blank;
        const char *escaped = escape(text[i]);
        width += escaped != NULL ? strlen(escaped) : 1;
        if (width > LONGEST && blank > begin) {
            put_line(to, text + begin, blank - begin);
            i = blank;
            begin = blank + 1;
            width = 0;
        }
    }
    put_line(to, text + begin, length - begin);
}

/* Lines of text as paragraphs. Those that begin with blanks stay as they are. */
static void put_text(FILE *to, const char *text)
{
    bool as_is = false;
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n\v");
        bool indented = line[0] == ' ';
        if (indented != as_is) {
            fputs(indented ? ".PP\n.nf\n" : ".fi\n", to);
            as_is = indented;
        }
        if (length > 0 && indented) {
            put_line(to, line, length);
        } else if (length > 0) {
            put_words(to, line, length);
        } else if (line[1] != ' ' && line[1] != '\0') {
            fputs(".PP\n", to);
        }
        line += length;
        if (*line == '\v' && line[1] != '\0') {
            fputs(".PP\n", to);
        }
        line += *line != '\0';
    }
    fputs(as_is ? ".fi\n" : "", to);
}

static void put_string(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        fprintf(to, "%s%c", *text == '-' ? "\\" : "", *text);
    }
}

static void put_tag(FILE *to, const manual_option *option)
{
    const manual_argument *argument = &option->argument;
    fputs(".TP\n", to);
    if (option->letter != 0) {
        fprintf(to, "\\fB\\-%c\\fR, ", option->letter);
    }
    for (int i = 0; option->names[i] != NULL; i++) {
        fprintf(to, "%s\\fB\\-\\-", i > 0 ? ", " : "");
        put_string(to, option->names[i]);
        fputs("\\fR", to);
        if (argument->kind != MANUAL_FLAG) {
            fputs(argument->optional ? "[=\\fI" : "=\\fI", to);
            put_string(to, argument->name);
            fputs(argument->optional ? "\\fR]" : "\\fR", to);
        }
    }
    fputc('\n', to);
}

static void put_options(FILE *to, const manual_verb *verb)
{
    for (int i = 0; i < verb->count; i++) {
        const manual_option *option = &verb->options[i];
        if (option->heading != NULL) {
            size_t length = strlen(option->heading);
            fputs(".SS ", to);
            put_line(to, option->heading, length - (option->heading[length - 1] == ':'));
        }
        put_tag(to, option);
        put_text(to, option->help);
    }
}

static void put_synopsis(FILE *to, const manual_verb *verb)
{
    const char *usage = verb->usage != NULL ? verb->usage : "";
    fputs(".SH SYNOPSIS\n", to);
    do {
        size_t length = strcspn(usage, "\n");
        fprintf(to, ".B mixtape %s\n[\\fIOPTION\\fR...]%s", verb->name, length > 0 ? " " : "");
        put_line(to, usage, length);
        usage += length + (usage[length] == '\n');
        fputs(*usage != '\0' ? ".br\n" : "", to);
    } while (*usage != '\0');
}

static void put_title(FILE *to, const char *verb, const char *help, const char *version,
                      const char *date)
{
    fputs(".TH MIXTAPE", to);
    for (const char *letter = verb; *letter != '\0'; letter++) {
        fprintf(to, "%s%c", letter == verb ? "\\-" : "", toupper((unsigned char)*letter));
    }
    fprintf(to, " 1 %s \"mixtape %s\" \"Mixtape\"\n.SH NAME\nmixtape%s%s \\- ", date, version,
            verb[0] != '\0' ? "\\-" : "", verb);
    put_line(to, help, strlen(help));
}

static void put_see_also(FILE *to, const manual_verb *verbs, const manual_verb *except)
{
    const char *before = "";
    fputs(".SH SEE ALSO\n", to);
    if (except != NULL) {
        fputs(".BR mixtape (1)", to);
        before = ",\n";
    }
    for (const manual_verb *verb = verbs; verb->name != NULL; verb++) {
        if (verb != except) {
            fprintf(to, "%s.BR mixtape\\-%s (1)", before, verb->name);
            before = ",\n";
        }
    }
    fputc('\n', to);
}

static void put_command(FILE *to, const manual_verb *verbs)
{
    fputs(".SH SYNOPSIS\n.B mixtape\n\\fIVERB\\fR ...\n.SH DESCRIPTION\n", to);
    put_text(to, "Trains, measures and exchanges models of RWKV's attention.");
    for (const manual_verb *verb = verbs; verb->name != NULL; verb++) {
        fprintf(to, ".TP\n.B %s\n", verb->name);
        put_line(to, verb->help, strlen(verb->help));
    }
    fputs(".PP\n", to);
    put_text(to, command_note);
    fputs(".SH ENVIRONMENT\n", to);
    for (const command_variable *variable = command_variables; variable->name != NULL; variable++) {
        fprintf(to, ".TP\n.B %s\n", variable->name);
        put_text(to, variable->help);
    }
}

void manual_page(FILE *to, const manual_verb *verbs, const manual_verb *verb, const char *version,
                 const char *date)
{
    if (verb == NULL) {
        put_title(to, "", "train models of RWKV's attention", version, date);
        put_command(to, verbs);
    } else {
        put_title(to, verb->name, verb->help, version, date);
        put_synopsis(to, verb);
        fputs(".SH DESCRIPTION\n", to);
        put_text(to, verb->text);
        fputs(".SH OPTIONS\n", to);
        put_options(to, verb);
    }
    put_see_also(to, verbs, verb);
}
