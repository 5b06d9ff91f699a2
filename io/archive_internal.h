/* What the files that implement archive.h share. */
#ifndef MT_IO_ARCHIVE_INTERNAL_H
#define MT_IO_ARCHIVE_INTERNAL_H

#include "archive.h"

#include <hdf5.h>
#include <limits.h>

struct mt_archive {
    hid_t file;
    int64_t size;        /* bytes, of a file that is read */
    void *image;         /* of a file that is being written: its bytes, once HDF5 has closed it */
    H5E_auto2_t printer; /* the program's own, put back when the archive is closed */
    void *printer_data;
    char path[PATH_MAX];
};

/* Writes an attribute, and closes `space`. */
mt_status mt_archive_write_attribute(mt_archive *archive, const char *group, const char *name,
                                     hid_t type, hid_t space, const void *value);

/* Opens an attribute of this class and rank. `count` receives its number of elements. */
mt_status mt_archive_open_attribute(mt_archive *archive, const char *group, const char *name,
                                    H5T_class_t class, int rank, hid_t *attribute, hsize_t *count);

#endif
