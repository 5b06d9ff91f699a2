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

#endif
