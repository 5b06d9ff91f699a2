/* Allocations and system calls that can be made to fail, one after the other: the linker wraps
 * those of the library's objects (see tests/CMakeLists.txt). */
#ifndef MT_TESTS_IO_FAILING_CALLS_H
#define MT_TESTS_IO_FAILING_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The error of each system call that fails: one of its own, a certain one, or none at all, but half
 * of the bytes are read or written. */
enum { ITS_OWN = 0, HALF = -1 };
static const int errors[] = {ITS_OWN, ENOSPC, EDQUOT, EIO, EINTR, HALF};
enum { ERRORS = sizeof errors / sizeof *errors };

/* Counts down over the wrapped calls; the one that finds 1 fails. Check's own calls are wrapped
 * too, so nothing is asserted while it runs. */
static int countdown, chosen_error, failed_with;

/* Tells if the call fails, or `takes_half`, as no other does. */
static bool is_its_turn(int own_error, bool takes_half)
{
    bool counts = chosen_error == ITS_OWN || (own_error != ENOMEM && chosen_error != HALF) ||
                  (takes_half && chosen_error == HALF);
    if (!counts || countdown == 0 || --countdown > 0) {
        return false;
    }
    failed_with = errno = chosen_error == ITS_OWN ? own_error : chosen_error;
    return true;
}

static bool fails(int own_error)
{
    return is_its_turn(own_error, false);
}

/* Declares and defines __wrap_NAME, which fails with VALUE and ERROR, else calls the real one. */
#define WRAP(type, name, failure, error, parameters, arguments)                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails(error) ? (failure) : __real_##name arguments;                                 \
    }

/* The same, of `size` bytes, which may be read or written in part. */
#define WRAP_BYTES(name, error, parameters, arguments)                                             \
    ssize_t __real_##name parameters;                                                              \
    ssize_t __wrap_##name parameters;                                                              \
    ssize_t __wrap_##name parameters                                                               \
    {                                                                                              \
        if (is_its_turn(error, true)) {                                                            \
            if (chosen_error != HALF) {                                                            \
                return -1;                                                                         \
            }                                                                                      \
            size = (size + 1) / 2;                                                                 \
        }                                                                                          \
        return __real_##name arguments;                                                            \
    }

WRAP(void *, malloc, NULL, ENOMEM, (size_t size), (size))
WRAP(void *, calloc, NULL, ENOMEM, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, NULL, ENOMEM, (void *memory, size_t size), (memory, size))
WRAP(void *, aligned_alloc, NULL, ENOMEM, (size_t alignment, size_t size), (alignment, size))
WRAP(char *, strdup, NULL, ENOMEM, (const char *text), (text))
WRAP(char *, strndup, NULL, ENOMEM, (const char *text, size_t size), (text, size))
WRAP_BYTES(read, EIO, (int file, void *bytes, size_t size), (file, bytes, size))
WRAP_BYTES(pread, EIO, (int file, void *bytes, size_t size, off_t at), (file, bytes, size, at))
WRAP_BYTES(write, ENOSPC, (int file, const void *bytes, size_t size), (file, bytes, size))
WRAP(int, fsync, -1, EIO, (int file), (file))
WRAP(int, fchmod, -1, EPERM, (int file, mode_t mode), (file, mode))
WRAP(int, rename, -1, EACCES, (const char *from, const char *to), (from, to))

int __real_close(int file);
int __wrap_close(int file);
int __wrap_close(int file) /* closes in any case */
{
    int closed = __real_close(file);
    return fails(EIO) ? -1 : closed;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails(EACCES) ? -1 : __real_open(path, flags, mode);
}

int __real_fcntl(int file, int command, ...);
int __wrap_fcntl(int file, int command, ...);
int __wrap_fcntl(int file, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *); /* any: a number is passed alike */
    va_end(arguments);
    return fails(ENOLCK) ? -1 : __real_fcntl(file, command, argument);
}

static inline const char *reason_of(int error)
{
    return error == ENOMEM ? "memory" : strerror(error);
}

#endif
