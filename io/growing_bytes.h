/* Bytes whose number is not known before they are there. Internal. */
#ifndef MT_IO_GROWING_BYTES_H
#define MT_IO_GROWING_BYTES_H

#include <mixtape/error.h>

#include <stddef.h>

typedef struct mt_growing_bytes {
    const char *name; /* of what they come from, for messages */
    size_t most;      /* how many there may be */
    char *bytes;      /* the caller frees them, after a failure, too */
    size_t size, room;
} mt_growing_bytes;

/* Makes room for one more byte at least, and a zero byte behind it. MT_ERROR_INVALID where there
 * are more than `most` already. */
mt_status mt_growing_make_room(mt_growing_bytes *growing);

#endif
