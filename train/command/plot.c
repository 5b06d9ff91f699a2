#include "train/command/plot.h"

#include "io/file.h"
#include "kernels/printable.h"
#include "train/command/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* More points than a picture has columns show nothing more. */
enum { MOST_POINTS = 800 };

/* A picture has some hundred thousand bytes, and is drawn in a tenth of a second. */
enum { MOST_BYTES = 16 << 20 };
static const double most_seconds = 10.0;

/* A field of a row. */
typedef double row_field(const metrics_row *row);

static double loss_of(const metrics_row *row)
{
    return row->loss;
}

static double validation_of(const metrics_row *row)
{
    return row->val_loss;
}

static double rate_of(const metrics_row *row)
{
    return row->lr;
}

static double norm_of(const metrics_row *row)
{
    return row->grad_norm;
}

/* The curves of each run. */
static const struct {
    const char *name;
    row_field *field;
} curves[] = {
    {"loss", loss_of}, {"validation", validation_of}, {"rate", rate_of}, {"norm", norm_of}};

enum { CURVES = sizeof curves / sizeof *curves };

/* Middle tones, which a dark page and a light one both show. */
static const char *const colours[] = {"#3b82c4", "#e08214", "#2ca25f", "#d6604d",
                                      "#9970ab", "#8c8c31", "#d16ba5", "#7f8c8d"};

enum { COLOURS = sizeof colours / sizeof *colours };

/* ---- the script ---- */

/* A block of data, of the rows that have the field: means over neighbours where they are many.
 * Returns how many points there are. */
static int64_t write_curve(FILE *to, const plotted_run *run, int number, int curve)
{
    int64_t points = 0, together = run->count / MOST_POINTS + 1;
    fprintf(to, "$%s%d << EOD\n", curves[curve].name, number);
    for (int64_t first = 0; first < run->count; first += together) {
        double step = 0.0, sum = 0.0;
        int64_t found = 0;
        for (int64_t i = first; i < run->count && i < first + together; i++) {
            double value = curves[curve].field(&run->rows[i]);
            if (isfinite(value)) {
                step += (double)run->rows[i].step;
                sum += value;
                found++;
            }
        }
        if (found > 0) {
            fprintf(to, "%.9g %.9g\n", step / (double)found, sum / (double)found);
            points++;
        }
    }
    fprintf(to, "EOD\n");
    return points;
}

/* A text in quotes, as gnuplot has it, with what is no text told in its place. */
static void write_quoted(FILE *to, const char *text)
{
    char shown[512];
    mt_printable(text, strlen(text), shown, sizeof shown);
    fputc('\'', to);
    for (const char *at = shown; *at != '\0'; at++) {
        fprintf(to, *at == '\'' ? "''" : "%c", *at);
    }
    fputc('\'', to);
}

/* Few points are shown as such. */
static const char *style_of(int64_t points)
{
    return points < 3    ? "linespoints pointtype 7 pointsize 1"
           : points < 40 ? "linespoints pointtype 7 pointsize 0.4"
                         : "lines";
}

/* One diagram: the curves of all runs, `points[run][curve]` of them. Without a point there is an
 * empty one, which says so. */
static void write_diagram(FILE *to, const plotted_run *runs, int count, int64_t points[][CURVES],
                          const char *title, const int *shown, int shown_count)
{
    const char *before = "plot ";
    fprintf(to, "set title '%s' textcolor rgb '#808080'\n", title);
    for (int c = 0; c < shown_count; c++) {
        for (int i = 0; i < count; i++) {
            int curve = shown[c];
            bool is_validation = curves[curve].field == validation_of;
            if (points[i][curve] == 0) {
                continue;
            }
            fprintf(to, "%s$%s%d using 1:2 with %s linecolor rgb '%s' linewidth %s", before,
                    curves[curve].name, i, style_of(points[i][curve]),
                    colours[(i + (is_validation && count == 1)) % COLOURS],
                    is_validation ? "2.5" : "1.2");
            if (count == 1) {
                fprintf(to, " title '%s'", is_validation ? "validation" : "training");
            } else if (is_validation || shown_count == 1 || points[i][shown[1]] == 0) {
                fprintf(to, " title ");
                write_quoted(to, runs[i].name);
            } else {
                fprintf(to, " notitle");
            }
            before = ", ";
        }
    }
    if (strcmp(before, "plot ") == 0) {
        fprintf(to, "set label 1 'nothing yet' at graph 0.5, graph 0.5 center textcolor rgb "
                    "'#808080'\nplot [0:1][0:1] NaN notitle");
    }
    fprintf(to, "\nunset label 1\n");
}

/* The last step that any run has a row of. */
static int64_t last_step(const plotted_run *runs, int count)
{
    int64_t last = 1;
    for (int i = 0; i < count; i++) {
        int64_t step = runs[i].count > 0 ? runs[i].rows[runs[i].count - 1].step : 0;
        last = step > last ? step : last;
    }
    return last;
}

static void write_script(FILE *to, const plotted_run *runs, int count, bool png)
{
    static const int losses[] = {0, 1}, rate[] = {2}, norm[] = {3};
    int64_t points[MOST_PLOTTED][CURVES];
    fprintf(to, "set terminal %s font 'sans,11'\n",
            png ? "pngcairo size 1000,700 transparent" : "svg size 1000,700 dynamic noenhanced");
    for (int i = 0; i < count; i++) {
        for (int curve = 0; curve < CURVES; curve++) {
            points[i][curve] = write_curve(to, &runs[i], i, curve);
        }
    }
    fprintf(to,
            "set border 3 linecolor rgb '#808080'\nset tics nomirror textcolor rgb '#808080'\n"
            "set grid linecolor rgb '#808080' linewidth 0.3\n"
            "set key top right textcolor rgb '#808080' noenhanced\n"
            "set xrange [0:%" PRId64 "]\n"
            "set rmargin 5\nset multiplot\nset origin 0, 0.36\nset size 1, 0.64\n",
            last_step(runs, count));
    write_diagram(to, runs, count, points, "loss", losses, 2);
    fprintf(to, "unset key\nset yrange [0:*]\nset origin 0, 0\nset size 0.5, 0.36\n"
                "set xlabel 'step' textcolor rgb '#808080'\n");
    write_diagram(to, runs, count, points, "learning rate", rate, 1);
    fprintf(to, "set origin 0.5, 0\n");
    write_diagram(to, runs, count, points, "norm of the gradient", norm, 1);
    fprintf(to, "unset multiplot\n");
}

/* ---- gnuplot ---- */

static const char *program(void)
{
    const char *named = getenv("MIXTAPE_GNUPLOT");
    return named != NULL ? named : "gnuplot";
}

bool plot_is_possible(void)
{
    const char *path = getenv("PATH"), *name = program();
    char file[4096];
    if (name[0] == '\0' || strchr(name, '/') != NULL) {
        return name[0] != '\0' && access(name, X_OK) == 0;
    }
    for (const char *at = path != NULL ? path : ""; *at != '\0';) {
        int length = (int)strcspn(at, ":");
        snprintf(file, sizeof file, "%.*s/%s", length, at, name);
        if (access(file, X_OK) == 0) {
            return true;
        }
        at += length + (at[length] == ':');
    }
    return false;
}

static bool is_png(const char *path)
{
    size_t length = strlen(path);
    return length >= 4 && strcmp(path + length - 4, ".png") == 0;
}

static mt_status failed(const char *what)
{
    return mt_fail(MT_ERROR_IO, "gnuplot: %s: %s", what, strerror(errno));
}

/* The script in a file of memory, at its beginning. */
static mt_status make_script(const plotted_run *runs, int count, bool png, int *script)
{
    *script = memfd_create("script", MFD_CLOEXEC);
    int copy = *script >= 0 ? dup(*script) : -1;
    FILE *to = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (to == NULL) {
        return failed("no file for its script");
    }
    write_script(to, runs, count, png);
    bool written = ferror(to) == 0;
    return fclose(to) == 0 && written && lseek(*script, 0, SEEK_SET) == 0 ? MT_OK
                                                                          : failed("its script");
}

/* A file of memory that a program can fill, but not without end: it has its full length from the
 * beginning, and how much of it was written is told by the position, which the program shares. */
static int make_output(const char *name)
{
    int file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file >= 0 &&
        (ftruncate(file, MOST_BYTES) != 0 || fcntl(file, F_ADD_SEALS, F_SEAL_GROW) != 0)) {
        int error = errno;
        close(file);
        errno = error;
        return -1;
    }
    return file;
}

static mt_status start(plot *drawn, int script)
{
    char self[] = "gnuplot", plain[] = "-d", from[] = "-"; /* without what ~/.gnuplot says */
    char *const arguments[] = {self, plain, from, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t apart; /* from what a terminal interrupts */
    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&apart) != 0) {
        return mt_fail(MT_ERROR_MEMORY, "gnuplot: no memory to start it");
    }
    posix_spawnattr_setflags(&apart, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_adddup2(&actions, script, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, drawn->output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, drawn->errors, STDERR_FILENO);
    int error = posix_spawnp(&drawn->process, program(), &actions, &apart, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&apart);
    if (error != 0) {
        drawn->process = 0;
        const char *name = program()[0] != '\0' ? program() : "gnuplot";
        return mt_fail(MT_ERROR_IO, "%s: %s (Debian: gnuplot-nox)", name, strerror(error));
    }
    drawn->begun = clock_seconds();
    return MT_OK;
}

static void clear(plot *drawn)
{
    if (drawn->path != NULL) {
        close(drawn->output);
        close(drawn->errors);
    }
    free(drawn->path);
    *drawn = (plot){.process = 0};
}

mt_status plot_begin(plot *drawn, const plotted_run *runs, int count, const char *path)
{
    int script = -1;
    *drawn = (plot){
        .path = strdup(path), .output = make_output("picture"), .errors = make_output("errors")};
    mt_status status = drawn->path == NULL
                           ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", path)
                       : drawn->output < 0 || drawn->errors < 0 ? failed("no file for its picture")
                                                                : MT_OK;
    if (status == MT_OK) {
        status = make_script(runs, count, is_png(path), &script);
    }
    if (status == MT_OK) {
        status = start(drawn, script);
    }
    if (script >= 0) {
        close(script);
    }
    if (status != MT_OK) {
        clear(drawn);
    }
    return status;
}

static bool is_over(const plot *drawn)
{
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)drawn->process, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid != 0;
}

static bool is_late(const plot *drawn)
{
    return clock_seconds() - drawn->begun > most_seconds;
}

bool plot_is_done(const plot *drawn)
{
    return drawn->process == 0 || is_over(drawn) || is_late(drawn);
}

/* Waits for its end, and ends it where that takes too long. Returns how it ended, -1: not known. */
static int wait_for(plot *drawn, bool *late)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    int ended = -1;
    while (!is_over(drawn) && !is_late(drawn)) {
        nanosleep(&moment, NULL);
    }
    *late = !is_over(drawn);
    if (*late) {
        kill(drawn->process, SIGKILL);
    }
    while (waitpid(drawn->process, &ended, 0) < 0 && errno == EINTR) {
    }
    return ended;
}

/* What was written to it, which the caller frees; NULL where it cannot be had. */
static char *content(int file, size_t *size)
{
    off_t written = lseek(file, 0, SEEK_CUR);
    char *bytes = written >= 0 ? calloc(1, (size_t)written + 1) : NULL;
    if (bytes != NULL) {
        ssize_t got = pread(file, bytes, (size_t)written, 0);
        *size = got > 0 ? (size_t)got : 0;
    }
    return bytes;
}

/* What gnuplot complained of, its last line; or how it ended. */
static mt_status complaint(const plot *drawn, int ended)
{
    char how[64] = "it drew nothing";
    size_t size = 0;
    char *said = content(drawn->errors, &size);
    while (size > 0 && said != NULL && said[size - 1] == '\n') {
        said[--size] = '\0';
    }
    if (WIFSIGNALED(ended)) {
        snprintf(how, sizeof how, "it was ended by signal %d", WTERMSIG(ended));
    } else if (WIFEXITED(ended) && WEXITSTATUS(ended) != 0) {
        snprintf(how, sizeof how, "it ended with status %d", WEXITSTATUS(ended));
    }
    const char *line = said != NULL && strrchr(said, '\n') != NULL ? strrchr(said, '\n') + 1 : said;
    mt_status status = mt_fail(MT_ERROR_IO, "%s: gnuplot failed: %s", drawn->path,
                               size > 0 && line != NULL ? line : how);
    free(said);
    return status;
}

/* One that fills its file was cut. */
static bool is_picture(const char *bytes, size_t size, const char *path)
{
    const char *begins = is_png(path) ? "\x89PNG" : "<?xml";
    return size > strlen(begins) && size < MOST_BYTES && memcmp(bytes, begins, strlen(begins)) == 0;
}

mt_status plot_end(plot *drawn)
{
    bool late;
    size_t size = 0;
    if (drawn->process == 0) {
        return MT_OK;
    }
    int ended = wait_for(drawn, &late);
    char *picture = content(drawn->output, &size);
    mt_status status =
        late ? mt_fail(MT_ERROR_IO, "%s: gnuplot: nothing within %.0f s", drawn->path, most_seconds)
        : ended != 0 || picture == NULL || size == 0 ? complaint(drawn, ended)
        : !is_picture(picture, size, drawn->path)
            ? mt_fail(MT_ERROR_IO, "%s: what gnuplot drew is no picture", drawn->path)
            : mt_file_replace(drawn->path, picture, size);
    free(picture);
    clear(drawn);
    return status;
}

void plot_drop(plot *drawn)
{
    if (drawn->process != 0) {
        kill(drawn->process, SIGKILL);
        while (waitpid(drawn->process, NULL, 0) < 0 && errno == EINTR) {
        }
        clear(drawn);
    }
}
