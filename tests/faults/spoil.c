/* Spoils a checkpoint as soon as it has its name, as a disk does that loses what was written: to be
 * loaded before a program (LD_PRELOAD). */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): those are reserved. */
int rename(const char *from, const char *to)
{
    int (*replaced)(const char *, const char *);
    *(void **)&replaced = dlsym(RTLD_NEXT, "rename");
    int result = replaced(from, to);
    if (result == 0 && strstr(to, "checkpoint.h5") != NULL) {
        int file = open(to, O_WRONLY | O_CLOEXEC);
        if (pwrite(file, "spoilt", sizeof "spoilt", 0) < 0) {
            perror("spoil.c");
            _exit(99);
        }
        close(file);
    }
    return result;
}
