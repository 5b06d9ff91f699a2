/* Files that HDF5 makes. Internal. */
#ifndef MT_IO_HDF5_NEW_FILE_H
#define MT_IO_HDF5_NEW_FILE_H

#include "io/archive_internal.h"

/* Tells HDF5 to write to archive->target. HDF5 is not made for writes that fail, and goes wrong
 * later: what fails is kept by the archive, and HDF5 is told that all is well. The driver for that,
 * archive->driver, must stay until the file is closed. Negative: HDF5 has no memory for it. */
herr_t mt_hdf5_write_to(hid_t access, mt_archive *archive);

#endif
