/* One file of token ids: what its format's reader finds out when it is opened. Internal to
 * token_ids*.c. */
#ifndef MT_IO_TOKEN_IDS_FILE_H
#define MT_IO_TOKEN_IDS_FILE_H

#include "io/archive.h"
#include "io/reader.h"
#include "io/token_ids.h"

#include <stddef.h>
#include <sys/types.h>

/* Integers as they lie in a file. */
typedef struct mt_ids_type {
    int size; /* bytes: 1, 2, 4 or 8 */
    bool is_signed, is_swapped;
} mt_ids_type;

typedef struct mt_ids_file {
    char *path;  /* of the file that holds the ids */
    char *index; /* of the one beside it, or NULL */
    bool is_named_by_index, is_named_by_ids;
    int64_t bytes; /* the length of the first, */
    dev_t device;  /* and which file it is, by whatever path */
    ino_t number;
    int64_t count;

    /* Documents: `row` ids each, or from starts[d] to starts[d + 1]. */
    int64_t documents, row, *starts;
    bool has_borders;

    /* Where the ids lie: `offset` bytes into the file, or in a dataset. */
    int64_t offset;
    mt_ids_type type;
    bool is_untold;        /* the file does not tell the type */
    char *group, *dataset; /* NULL: the ids are no dataset's */
    int rank;

    /* While it is open: */
    int descriptor;           /* or negative, */
    const unsigned char *map; /* its bytes, or NULL, */
    mt_archive *archive;      /* or NULL */
} mt_ids_file;

/* Opens what a name stands for, and finds out all of it. It is freed after a failure, too. */
mt_status mt_ids_open_file(const char *path, mt_ids_raw raw, mt_ids_file *file);
void mt_ids_close_file(mt_ids_file *file);
void mt_ids_free_file(mt_ids_file *file); /* and closes it */

/* The first bytes of a file, and zeros behind them. */
enum { MT_IDS_HEAD = 1024 };
typedef struct mt_ids_head {
    unsigned char bytes[MT_IDS_HEAD + 1];
    size_t size;
} mt_ids_head;

/* Readers of formats: each is given a file with `path`, `bytes` and an open `descriptor`, and fills
 * in the rest. What it allocates is freed with the file, after a failure too. */
mt_status mt_ids_open_npy(mt_ids_file *file, const mt_ids_head *head);
mt_status mt_ids_open_raw(mt_ids_file *file, mt_ids_raw raw);
mt_status mt_ids_open_llmc(mt_ids_file *file, const mt_ids_head *head);
mt_status mt_ids_open_index(mt_ids_file *file); /* of file->index, which is there */

/* Of the dataset `object`, or of the only one where it is NULL. */
mt_status mt_ids_open_hdf5(mt_ids_file *file, const char *object);

/* Tells if a file begins as llm.c's do, whose first number is this: in either byte order. */
bool mt_ids_is_llmc(const mt_ids_head *head);

/* Sets the count of a file whose ids, `count` of them, are all that is behind `offset`.
 * MT_ERROR_FORMAT where it is cut, longer or empty. */
mt_status mt_ids_expect(mt_ids_file *file, int64_t count);

/* The whole of it is one document. */
void mt_ids_without_borders(mt_ids_file *file);

/* Reads bytes: all of them, or MT_ERROR_IO with what there is. */
mt_status mt_ids_read_bytes(const char *path, int descriptor, int64_t offset, void *bytes,
                            size_t size);

/* Bytes of a file's ids: where they lie in its memory map or, where that has none of them, as
 * mt_ids_read_bytes reads them into `buffer`. */
mt_status mt_ids_view_bytes(mt_ids_file *file, int64_t offset, size_t size, unsigned char *buffer,
                            const unsigned char **bytes);

/* Gives the memory back that a view took, which is the system's to keep; the bytes stay there. */
void mt_ids_leave_bytes(const mt_ids_file *file, int64_t offset, size_t size);

/* Maps the bytes of a file that is open, where that can be done. */
void mt_ids_map(mt_ids_file *file);
void mt_ids_unmap(mt_ids_file *file);

/* Opens a regular file that is not empty. A pipe is refused, not waited for. */
mt_status mt_ids_open_bytes(const char *path, int *descriptor, int64_t *bytes);

/* Numbers as little-endian files have them. */
uint32_t mt_ids_word(const unsigned char *bytes);
uint64_t mt_ids_long(const unsigned char *bytes);

/* Ids of an open dataset, which are in one of its rows. */
mt_status mt_ids_read_dataset(mt_ids_file *file, int64_t first, int64_t count, int32_t *values);

/* Tells if a path ends so, in letters of either case, and if there is something at it. */
bool mt_ids_has_suffix(const char *path, const char *suffix);
bool mt_ids_is_there(const char *path);

/* The colon of FILE:/PATH, where there is no file of that name; or NULL. */
const char *mt_ids_find_object(const char *name);

/* The colon behind a file that is there, of a name that is no file's: FILE:PATH lacks its slash. */
const char *mt_ids_find_bare_object(const char *name);

/* The path with this suffix in the place of .bin or .idx, or behind it; the caller frees it. NULL
 * where there is no memory. */
char *mt_ids_beside(const char *path, const char *suffix);

#endif
