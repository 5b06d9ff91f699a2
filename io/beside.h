/* Where a file or folder is written that is to take a place: beside it, under a name of its own,
 * `.NAME.XXXXXXXX.part`, which a rename ends. Who writes there holds a lock as long as it lives, so
 * the next that writes the same NAME finds what was left, and removes it. Internal. */
#ifndef MT_IO_BESIDE_H
#define MT_IO_BESIDE_H

#include <mixtape/error.h>

#include <limits.h>
#include <stdbool.h>

/* A place: its path cut into the folder and the name in it. */
typedef struct mt_place {
    char path[PATH_MAX], folder[PATH_MAX], name[PATH_MAX];
} mt_place;

/* The place that a path leads to: links are followed, to what is not there yet, too. */
mt_status mt_place_find(const char *named, mt_place *place);

/* A name beside the place, which nobody has. */
mt_status mt_place_beside(const mt_place *place, char beside[PATH_MAX]);

/* Tells if a name is one of what is written beside NAME. */
bool mt_is_beside(const char *name, const char *entry);

/* Calls `left` for each name in the folder that something has which is written beside the place. A
 * folder that cannot be read has none. */
typedef void mt_left(int folder, const char *entry, const void *context);
void mt_place_visit_left(const mt_place *place, mt_left *left, const void *context);

/* MT_ERROR_IO with the path and the reason, errno's. */
mt_status mt_place_fail(const char *path, int error);
mt_status mt_place_too_long(const char *path);

#endif
