#include "train/command/plot.h"

#include "io/file.h"
#include "train/command/lines.h"
#include "train/command/plot_script.h"
#include "train/command/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A picture has some hundred thousand bytes, and is drawn in a tenth of a second. */
enum { MOST_BYTES = 16 << 20 };
static const double most_seconds = 10.0;

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

static bool ends_in(const char *path, const char *ending)
{
    size_t length = strlen(path), tail = strlen(ending);
    return length >= tail && strcasecmp(path + length - tail, ending) == 0;
}

static bool is_png(const char *path)
{
    return ends_in(path, ".png");
}

static bool is_standard_output(const char *path)
{
    return strcmp(path, "-") == 0;
}

bool plot_is_name(const char *path)
{
    return is_standard_output(path) || is_png(path) || ends_in(path, ".svg");
}

static mt_status failed(const char *what)
{
    return mt_fail(MT_ERROR_IO, "gnuplot: %s: %s", what, strerror(errno));
}

/* The script in a file of memory, at its beginning. */
static mt_status make_script(const plotted_run *runs, int count, plot_look look, int *script)
{
    *script = memfd_create("script", MFD_CLOEXEC);
    int copy = *script >= 0 ? dup(*script) : -1;
    FILE *to = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (to == NULL) {
        return failed("no file for its script");
    }
    plot_script_write(to, runs, count, look);
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

/* The environment without what gnuplot would begin with another terminal by; NULL: no memory. The
 * caller frees the list. */
static char **environment(void)
{
    size_t count = 0, kept = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **made = calloc(count + 1, sizeof *made);
    for (size_t i = 0; i < count && made != NULL; i++) {
        if (strncmp(environ[i], "GNUTERM=", 8) != 0) {
            made[kept++] = environ[i];
        }
    }
    return made;
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
    char **variables = environment();
    int error = variables != NULL ? posix_spawnp(&drawn->process, program(), &actions, &apart,
                                                 arguments, variables)
                                  : ENOMEM;
    free(variables);
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

mt_status plot_begin(plot *drawn, const plotted_run *runs, int count, bool logarithmic,
                     const char *path)
{
    const plot_look look = {.png = is_png(path), .logarithmic = logarithmic};
    int script = -1;
    *drawn = (plot){
        .path = strdup(path), .output = make_output("picture"), .errors = make_output("errors")};
    mt_status status = drawn->path == NULL
                           ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", path)
                       : drawn->output < 0 || drawn->errors < 0 ? failed("no file for its picture")
                                                                : MT_OK;
    if (status == MT_OK) {
        status = make_script(runs, count, look, &script);
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

/* Whoever ends the program tells of an output that fails (lines.h). */
static mt_status put(const char *path, const char *picture, size_t size)
{
    if (!is_standard_output(path)) {
        return mt_file_replace(path, picture, size);
    }
    fwrite(picture, 1, size, stdout);
    flush_output();
    return MT_OK;
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
            : put(drawn->path, picture, size);
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
