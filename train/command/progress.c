#include "train/command/progress.h"

#include "train/command/chart.h"
#include "train/command/lines.h"
#include "train/command/phrases.h"
#include "train/command/run_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

bool is_terminal(int file)
{
    const char *kind = getenv("TERM");
    return isatty(file) != 0 && (kind == NULL || strcmp(kind, "dumb") != 0);
}

train_progress progress_make(FILE *log, bool language, int64_t steps)
{
    return (train_progress){.log = log,
                            .terminal = is_terminal(STDERR_FILENO),
                            .language = language,
                            .steps = steps,
                            .shown = -1e9,
                            .logged = -1e9};
}

static void format_quality(const train_progress *progress, double loss, double accuracy,
                           char text[64])
{
    if (progress->language) {
        double perplexity = exp(loss);
        snprintf(text, 64, perplexity < 1e9 ? "perplexity %.2f" : "perplexity %.2e", perplexity);
    } else if (!isnan(accuracy)) {
        snprintf(text, 64, "accuracy %.1f %%", 100.0 * accuracy);
    } else {
        text[0] = '\0';
    }
}

static void write_log(const train_progress *progress, const char *line)
{
    if (progress->log != NULL) {
        fprintf(progress->log, "%s\n", line);
        fflush(progress->log);
    }
}

/* A line that is longer would be wrapped, and could not be taken away. */
static int columns_of_terminal(void)
{
    struct winsize size = {.ws_col = 0};
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : 256;
}

/* What a line tells of a step. */
enum { STEP, LOSS, QUALITY, RATE, LEFT, FIGURES, MOST_TEXT = 64 };

/* The live line, behind a bar: on a terminal of 80 columns the rate leaves its place to that. */
static void show_live(train_progress *progress, int64_t step, char texts[FIGURES][MOST_TEXT])
{
    enum { LEAST = 10, MOST = 32 };
    const int columns = columns_of_terminal() - 1;
    phrase all[] = {{.text = progress->steps > 0 ? "[========]" : "", .behind = " ", .rank = 4},
                    {.text = texts[STEP], .brief = texts[STEP] + strlen("step "), .rank = 1},
                    {.text = texts[LOSS], .rank = 2},
                    {.text = texts[QUALITY], .rank = 3},
                    {.text = texts[RATE], .rank = 5},
                    {.text = texts[LEFT], .rank = 0}};
    enum { PHRASES = sizeof all / sizeof *all };
    for (int i = 1; i < PHRASES; i++) {
        all[i].behind = "  ";
    }
    fprintf(stderr, "\r\033[K");
    phrases_fit(all, PHRASES, columns, 1);
    int room = columns - phrases_columns(all, PHRASES) + LEAST;
    if (all[0].text[0] != '\0') {
        bar_draw(stderr, (double)step / (double)progress->steps, room < MOST ? room : MOST);
        fputc(' ', stderr);
    }
    phrases_print(stderr, all + 1, PHRASES - 1, columns);
    fflush(stderr);
    progress->line_open = true;
}

static const double live_interval = 0.2, plain_interval = 5.0;

void progress_step(train_progress *progress, int64_t step, double loss, double accuracy,
                   double tokens_per_s, double seconds, double seconds_left)
{
    bool last = step == progress->steps;
    bool is_plain = last || seconds - progress->logged >= plain_interval;
    bool is_live = progress->terminal && (last || seconds - progress->shown >= live_interval);
    if (!is_plain && !is_live) {
        return;
    }
    char texts[FIGURES][MOST_TEXT], number[32];
    snprintf(texts[STEP], MOST_TEXT, "step %" PRId64 "/%" PRId64, step, progress->steps);
    format_loss(loss, 4, number);
    snprintf(texts[LOSS], MOST_TEXT, "loss %s", number);
    format_quality(progress, loss, accuracy, texts[QUALITY]);
    snprintf(texts[RATE], MOST_TEXT, "%.0f tokens/s", tokens_per_s);
    format_duration(seconds_left, number);
    snprintf(texts[LEFT], MOST_TEXT, "%s left", number);
    if (is_live) {
        show_live(progress, step, texts);
        progress->shown = seconds;
    }
    if (is_plain) {
        char line[FIGURES * (MOST_TEXT + 2)];
        snprintf(line, sizeof line, "%s  %s%s%s  %s  %s", texts[STEP], texts[LOSS],
                 texts[QUALITY][0] != '\0' ? "  " : "", texts[QUALITY], texts[RATE], texts[LEFT]);
        if (!progress->terminal) {
            fprintf(stderr, "%s\n", line);
        }
        write_log(progress, line);
        progress->logged = seconds;
    }
}

void progress_validate(train_progress *progress, int64_t batch, int64_t batches)
{
    double now = clock_seconds();
    if (progress->terminal && (batch == 0 || now - progress->validated >= live_interval)) {
        char line[64];
        snprintf(line, sizeof line, "validation %" PRId64 "/%" PRId64, batch + 1, batches);
        phrase shown = {.text = line, .brief = line + strlen("validation "), .behind = ""};
        fprintf(stderr, "\r\033[K");
        phrases_fit(&shown, 1, columns_of_terminal() - 1, 1);
        phrases_print(stderr, &shown, 1, columns_of_terminal());
        fflush(stderr);
        progress->line_open = true;
        progress->validated = now;
    }
}

void progress_clear(train_progress *progress)
{
    if (progress->line_open) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
    }
    progress->line_open = false;
}

void progress_say(train_progress *progress, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    format_line(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s\n", progress->line_open ? "\r\033[K" : "", line);
    progress->line_open = false;
    write_log(progress, line);
}

void progress_end(train_progress *progress)
{
    if (progress->line_open) {
        fputc('\n', stderr);
    }
    progress->line_open = false;
}

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
