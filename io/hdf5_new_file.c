/* A driver of HDF5's, by its own interface for them (H5FD_class_t): addresses are places of the new
 * file that the archive has beside its target. */
#include "io/hdf5_new_file.h"
#include "io/file.h"

#include <errno.h>
#include <stdlib.h>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

typedef struct driven_file {
    H5FD_t base; /* first: HDF5's own part */
    mt_archive *archive;
    haddr_t end;     /* of the addresses that HDF5 has given out, */
    haddr_t written; /* and of what it has written */
} driven_file;

static H5FD_t *open_file(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    (void)name;
    (void)flags;
    (void)most;
    mt_archive *const *archive = H5Pget_driver_info(access);
    driven_file *file = archive != NULL ? calloc(1, sizeof *file) : NULL;
    if (file == NULL) {
        return NULL;
    }
    file->archive = *archive;
    return &file->base;
}

static herr_t close_file(H5FD_t *file)
{
    free(file);
    return 0;
}

/* Metadata is gathered as HDF5's own drivers have it: the file's bytes depend on that. */
static herr_t query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t get_end(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const driven_file *)file)->end;
}

static herr_t set_end(H5FD_t *file, H5FD_mem_t type, haddr_t end)
{
    (void)type;
    ((driven_file *)file)->end = end;
    return 0;
}

static haddr_t get_written(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const driven_file *)file)->written;
}

static herr_t read_bytes(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size,
                         void *bytes)
{
    (void)type;
    (void)transfer;
    int before = errno; /* in which the archive looks for a lack of memory */
    mt_archive *archive = ((driven_file *)file)->archive;
    mt_status status = mt_file_find(archive->target, at, bytes, size);
    mt_archive_keep(archive, status);
    errno = before;
    return status == MT_OK ? 0 : -1;
}

static herr_t write_bytes(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size,
                          const void *bytes)
{
    (void)type;
    (void)transfer;
    int before = errno;
    driven_file *driven = (driven_file *)file;
    mt_archive *archive = driven->archive;
    const bool kept = mt_chunks_place(archive->chunks, bytes, at); /* and written past HDF5 */
    if (!kept && archive->status == MT_OK) {
        mt_archive_keep(archive, mt_file_put(archive->target, at, bytes, size));
    }
    driven->written = at + size > driven->written ? at + size : driven->written;
    errno = before;
    return 0;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)512, /* the first of those that are nobody's */
#endif
    .name = "mixtape",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    .fapl_size = sizeof(mt_archive *),
    .open = open_file,
    .close = close_file,
    .query = query,
    .get_eoa = get_end,
    .set_eoa = set_end,
    .get_eof = get_written,
    .read = read_bytes,
    .write = write_bytes,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

herr_t mt_hdf5_write_to(hid_t access, mt_archive *archive)
{
    archive->driver = H5FDregister(&driver);
    return archive->driver >= 0 ? H5Pset_driver(access, archive->driver, &archive) : -1;
}
