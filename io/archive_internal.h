/* An archive from the inside, for the files that implement archive.h. */
#ifndef MT_IO_ARCHIVE_INTERNAL_H
#define MT_IO_ARCHIVE_INTERNAL_H

#include "io/archive.h"
#include "io/chunks.h"
#include "io/file.h"
#include "io/reader.h"
#include "io/saver.h"

#include <hdf5.h>
#include <limits.h>

/* The array that was begun last, on its way into the file. */
typedef struct mt_begun_array {
    hid_t dataset; /* negative: none */
    mt_dtype dtype;
    int rank;
    int64_t rows, row_bytes, chunk_rows;
    int64_t next; /* row to be written */
} mt_begun_array;

struct mt_archive {
    mt_reader *reader; /* of a file that is read, else NULL */
    hid_t file;        /* of one that is written, else negative; */
    hid_t driver;      /* by which HDF5 writes it, or negative; */
    mt_begun_array array;
    mt_chunks own[2];    /* a chunk that is filled, and one that a thread writes */
    mt_saver *saver;     /* who writes all at the end, or NULL */
    mt_chunks *chunks;   /* those that are filled: one of its own, or the saver's */
    mt_new_file *target; /* the file itself */
    char path[PATH_MAX];
    mt_status status; /* the first failure, */
    char error[1024]; /* and what it was */
};

/* An archive that has no file yet. */
mt_status mt_archive_new(const char *path, mt_archive **archive);

/* Makes the archive fail for want of memory to write an object. */
void mt_archive_lacks_memory(mt_archive *archive, const char *object);

/* Tells if more can be written. HDF5 goes on where it had no memory, in places, and crashes later:
 * malloc leaves its word in errno, which was 0 when the file was begun. */
bool mt_archive_can_go_on(mt_archive *archive);

/* Closes the array that was begun last, if any. */
void mt_archive_end_array(mt_archive *archive);

/* Writes an attribute, and closes `space`. */
void mt_archive_write_attribute(mt_archive *archive, const char *group, const char *name,
                                hid_t type, hid_t space, const void *value);

/* Asks the reader, about an object or an attribute of a group. Returns false if the archive has
 * failed. The caller frees what is found. */
bool mt_archive_ask(mt_archive *archive, mt_question *question, const char *group, const char *name,
                    mt_answer *answer);

#endif
