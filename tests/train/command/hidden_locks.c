/* Preloaded, it hides the locks of files the first two times that somebody looks through them, as
 * the system may hide one while others are given up. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int looks;

FILE *fopen(const char *filename, const char *modes)
{
    FILE *(*original)(const char *, const char *);
    *(void **)&original = dlsym(RTLD_NEXT, "fopen");
    bool is_hidden = strcmp(filename, "/proc/locks") == 0 && looks++ < 2;
    return original(is_hidden ? "/dev/null" : filename, modes);
}
