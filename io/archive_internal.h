/* An archive from the inside, for the files that implement archive.h. */
#ifndef MT_IO_ARCHIVE_INTERNAL_H
#define MT_IO_ARCHIVE_INTERNAL_H

#include "io/archive.h"

#include <hdf5.h>
#include <limits.h>

struct mt_archive {
    hid_t file;
    hid_t array;  /* the one that was begun last, or negative */
    int64_t size; /* bytes, of a file that is read */
    bool writing;
    void *image; /* of a file that is being written: its bytes, once HDF5 has closed it */
    char path[PATH_MAX];
    mt_status status; /* the first failure, */
    char error[1024]; /* and what it was */
};

/* Makes the archive fail for want of memory to write an object. */
void mt_archive_lacks_memory(mt_archive *archive, const char *object);

/* Closes the array that was begun last, if any. */
void mt_archive_end_array(mt_archive *archive);

/* Tells if an object may be opened. A link that is not hard makes the archive fail, after which
 * nothing may; an object that is not there is told of by whoever opens it. */
bool mt_archive_follows(mt_archive *archive, const char *path);

/* Writes an attribute, and closes `space`. */
void mt_archive_write_attribute(mt_archive *archive, const char *group, const char *name,
                                hid_t type, hid_t space, const void *value);

/* Opens an attribute of this class and rank, or returns a negative number and fails. `count`
 * receives its number of elements. */
hid_t mt_archive_open_attribute(mt_archive *archive, const char *group, const char *name,
                                H5T_class_t class, int rank, hsize_t *count);

#endif
