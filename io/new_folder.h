/* Folders that are there whole or not at all. Internal. */
#ifndef MT_IO_NEW_FOLDER_H
#define MT_IO_NEW_FOLDER_H

#include "io/beside.h"

/* A folder on its way to its place. Zero bytes are one that holds nothing. */
typedef struct mt_new_folder {
    mt_place place;
    char beside[PATH_MAX];    /* where it is written */
    const char *const *names; /* of the files that it may hold, NULL behind the last */
    int lock;                 /* of the open folder, while `beside` is there */
} mt_new_folder;

/* Makes a folder beside `path`, which must be free, or an empty folder that is not the one worked
 * in: MT_ERROR_IO else. Links to a place are followed. What an earlier writer of the same path left
 * when it was killed is removed, if it holds no more than files of these names and what was written
 * beside them. */
mt_status mt_folder_begin(const char *path, const char *const *names, mt_new_folder *folder);

/* The path of a file in it, while it is written. */
mt_status mt_folder_path(const mt_new_folder *folder, const char *name, char path[PATH_MAX]);

/* Puts it in place, and waits until that has reached the disk. */
mt_status mt_folder_end(mt_new_folder *folder);

/* Removes it, if it was not put in place. */
void mt_folder_discard(mt_new_folder *folder);

#endif
