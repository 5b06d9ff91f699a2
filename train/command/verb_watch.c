/* mixtape watch RUN */
#include "train/command/arguments.h"
#include "train/command/lines.h"
#include "train/command/phrases.h"
#include "train/command/progress.h"
#include "train/command/run_view.h"
#include "train/command/verbs.h"
#include "train/command/watch_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

typedef struct arguments {
    const char *run;
    bool once;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case LONG_ONLY + 'o':
        given->once = true;
        return 0;
    default:
        return parse_argument(key, text, state, "run", &given->run);
    }
}

/* The terminal's size, or that of one that is not there. */
static void find_size(watch_screen *screen)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    screen->columns = known ? size.ws_col : 80;
    screen->rows = known && size.ws_row > 0 ? size.ws_row : 24;
}

/* Once a second, over what was shown before, for as long as a process trains there. */
static mt_status watch(const arguments *given)
{
    const struct timespec second = {.tv_sec = 1};
    bool terminal = is_terminal(STDOUT_FILENO), goes_on = true;
    watch_screen screen = {.coloured = terminal && getenv("NO_COLOR") == NULL,
                           .ascii = !text_is_utf8()};
    mt_status status = MT_OK;
    while (goes_on && status == MT_OK) {
        run_view view;
        status = run_view_read(given->run, &view);
        goes_on = status == MT_OK && terminal && !given->once && view.is_at_work;
        if (status == MT_OK) {
            printf("%s", terminal && !given->once ? "\033[H\033[J" : "");
            find_size(&screen);
            status = watch_show(stdout, given->run, &view, &screen);
        }
        run_view_free(&view);
        flush_output();
        goes_on = goes_on && output_failure() == 0;
        if (goes_on) {
            nanosleep(&second, NULL);
        }
    }
    return status;
}

int verb_watch(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"once", LONG_ONLY + 'o', NULL, 0, "Show it once, as where there is no terminal", 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "RUN",
        .doc =
            "Shows how far a run of another process is, with the curves of its losses, and shows "
            "it anew each second while it is at work."};
    arguments given = {.run = NULL};
    parse_arguments(&argp, argc, argv, &given);
    return report(watch(&given));
}
