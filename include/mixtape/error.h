/* Errors, for every function of the library.
 *
 * A function that acts returns an mt_status. When it is not MT_OK, mt_error_message() tells what
 * went wrong, where, and with which figures, in one line. The library never prints, exits or
 * aborts.
 *
 * What could not be made is NULL. A function that gets NULL for an object that it works on does
 * nothing: it is MT_ERROR_INVALID, with the failure before in its message, or returns NULL, 0 or
 * false where it has no status. So a program may look at the last status of several. Places for
 * results, names and plain structures must be there. */
#ifndef MIXTAPE_ERROR_H
#define MIXTAPE_ERROR_H

#include <mixtape/api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_status {
    MT_OK = 0,
    MT_ERROR_INVALID, /* an argument that cannot work: shape, range, name */
    MT_ERROR_MEMORY,  /* host or device memory could not be had */
    MT_ERROR_DEVICE,  /* the device is missing, or one of its calls failed */
    MT_ERROR_IO,      /* a file could not be opened, read or written */
    MT_ERROR_FORMAT,  /* a file was read, and is not what it should be */
    MT_ERROR_NUMERIC  /* a value that had to be finite is not */
} mt_status;

/* The message of the calling thread's latest failure: one line of UTF-8, "" if there was none.
 * Whatever it quotes, it may be shown on a terminal: control and format characters and bytes that
 * are not UTF-8 stand in it as \x1B or \u202E. Owned by the library; valid until the thread's next
 * failure. */
MT_API const char *mt_error_message(void);

/* Sets the calling thread's message (printf's format; cut beyond 4 kB) and returns `status`, so
 * that `return mt_fail(MT_ERROR_INVALID, "...", ...)` reads as one sentence. For implementers of
 * operators, devices and tasks. */
MT_API MT_PRINTF(2, 3) mt_status mt_fail(mt_status status, const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
