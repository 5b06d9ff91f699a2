/* HDF5 files, as Mixtape writes and reads them: arrays with checksums, attributes, and an error for
 * everything that is not as it should be, naming file, object and figures. Internal. archive.c (the
 * file and its groups), archive_arrays.c, archive_attributes.c and archive_texts.c write;
 * archive_read.c and the last two ask a reader (io/reader.h) for what is read.
 *
 * The first failure sticks, as a tape's does: from then on every function does nothing and returns
 * 0, false or NULL, and mt_archive_status, or closing the archive, tells what went wrong. So a file
 * is written, or read, as a list of what it holds.
 *
 * A file is made beside its target and put in place whole (io/file.h), so a full disk or a crash
 * leaves the old file. HDF5 prints nothing while an archive is open. Paths inside a file are
 * absolute: "/", "/model". */
#ifndef MT_IO_ARCHIVE_H
#define MT_IO_ARCHIVE_H

#include <mixtape/api.h>
#include <mixtape/tensor.h>
#include <mixtape/token_list.h>

#include <stdbool.h>

typedef struct mt_archive mt_archive;
typedef struct mt_saver mt_saver;
typedef struct mt_chunk_sum mt_chunk_sum;

/* Begins a file, beside `path`. MT_ERROR_INVALID for a name that another kind of file has
 * (.safetensors, .pth), MT_ERROR_MEMORY, MT_ERROR_IO. On failure *archive is NULL. */
mt_status mt_archive_create(const char *path, mt_archive **archive);

/* Opens a file to be read. MT_ERROR_IO where it cannot be, or is no regular file; MT_ERROR_FORMAT
 * where it is not HDF5 or is damaged; MT_ERROR_MEMORY. On failure *archive is NULL. */
mt_status mt_archive_open(const char *path, mt_archive **archive);

/* Has a saver write the arrays of a file that was just begun (io/saver.h): closing it hands it
 * over, and the saver tells how it ended. */
void mt_archive_save_by(mt_archive *archive, mt_saver *saver);

/* The first failure, with its message, or MT_OK. */
mt_status mt_archive_status(const mt_archive *archive);

/* Closes the archive, and returns the first failure. Where there was none, a file that was begun is
 * put in place of `path` (io/file.h): MT_ERROR_MEMORY where HDF5 had too little of it, MT_ERROR_IO.
 * NULL is allowed. */
mt_status mt_archive_close(mt_archive *archive);

/* Closes the archive without a word: nothing is put in place, and the calling thread's message
 * stays as it is. NULL is allowed. */
void mt_archive_discard(mt_archive *archive);

/* Makes the archive fail, if it has not yet: with MT_ERROR_FORMAT and "path: object: " in front of
 * the message, or with the calling thread's message. Both return the first failure. */
MT_PRINTF(3, 4)
mt_status mt_archive_fail(mt_archive *archive, const char *object, const char *format, ...);
mt_status mt_archive_keep(mt_archive *archive, mt_status status);

void mt_archive_write_group(mt_archive *archive, const char *group);

/* Begins an array `group`/`name` with a Fletcher-32 checksum (a scalar has that of its header). Its
 * rows, that is steps of its first dimension, of which a scalar has one, are written as
 *
 *     while ((values = mt_archive_next_rows(archive, &first, &rows)) != NULL) {
 *         ... put so many rows there, from the first on
 *         mt_archive_write_rows(archive);
 *     }
 *
 * which are some megabytes at a time. The memory is the archive's. */
void mt_archive_begin_array(mt_archive *archive, const char *group, const char *name,
                            mt_dtype dtype, int rank, const int64_t *shape);
void *mt_archive_next_rows(mt_archive *archive, int64_t *first, int64_t *rows);
void mt_archive_write_rows(mt_archive *archive);

/* The checksum that these rows get, for who puts them there to take it by the way (mt_array_read);
 * what he leaves is added when they are written. */
mt_chunk_sum *mt_archive_rows_sum(mt_archive *archive);

/* Tells if the rows of the array that was begun, and their sum, may also be filled in after they
 * were written, until the archive is closed. */
bool mt_archive_keeps_rows(const mt_archive *archive);

/* Writes an array that is in memory. */
void mt_archive_write_array(mt_archive *archive, const char *group, const char *name,
                            mt_dtype dtype, int rank, const int64_t *shape, const void *values);

/* Tells what an array is. It fails if there is none, of a type or rank that Mixtape does not have,
 * or more than the file can hold. */
void mt_archive_inspect_array(mt_archive *archive, const char *group, const char *name,
                              mt_dtype *dtype, int *rank, int64_t shape[MT_MAX_RANK]);

/* Fails unless an array is of this shape, and of this type. */
void mt_archive_check_array(mt_archive *archive, const char *group, const char *name,
                            mt_dtype dtype, int rank, const int64_t *shape);

/* Reads rows, as reals of the type asked for, or as MT_I32: `bytes` of them, or it fails. */
void mt_archive_read_rows(mt_archive *archive, const char *group, const char *name, mt_dtype dtype,
                          int64_t first, int64_t rows, size_t bytes, void *values);

/* Reads some columns of one row of a matrix of integers. */
void mt_archive_read_columns(mt_archive *archive, const char *group, const char *name, int64_t row,
                             int64_t first, int64_t columns, int32_t *values);

/* Calls visit for each object of a group, in the order of names, until the archive fails. */
void mt_archive_visit(mt_archive *archive, const char *group,
                      void (*visit)(mt_archive *archive, const char *name, void *context),
                      void *context);

/* Tell if the root has an object, or a group an attribute, of this name. Damage that hides it is a
 * failure. */
bool mt_archive_has(mt_archive *archive, const char *name);
bool mt_archive_has_attribute(mt_archive *archive, const char *group, const char *name);

/* Attributes of a group. Texts must be UTF-8; MT_ERROR_INVALID for what is to be written,
 * MT_ERROR_FORMAT for what is read. Reading fails where an attribute is missing, damaged or of
 * another type; no more memory is asked for than the file is long. The caller frees a text, and
 * destroys a token list (mt_token_list_destroy). */
void mt_archive_write_int(mt_archive *archive, const char *group, const char *name, int64_t value);
void mt_archive_write_text(mt_archive *archive, const char *group, const char *name,
                           const char *value);
void mt_archive_write_tokens(mt_archive *archive, const char *group, const char *name,
                             const mt_token_list *tokens);
int64_t mt_archive_read_int(mt_archive *archive, const char *group, const char *name);
char *mt_archive_read_text(mt_archive *archive, const char *group, const char *name);
mt_token_list *mt_archive_read_tokens(mt_archive *archive, const char *group, const char *name);

/* A field of a struct that is kept as an attribute. */
typedef struct mt_archive_field {
    const char *name; /* NULL ends a list */
    /* An int64_t that is never negative, a finite double, one that may be infinite. */
    enum { MT_FIELD_COUNT, MT_FIELD_REAL, MT_FIELD_LOSS } type;
    size_t offset;
    bool optional; /* a file that has none means 0, which is not written */
} mt_archive_field;

/* Writes the fields of a struct as a group's attributes, and reads them back. A value that its type
 * does not allow is MT_ERROR_INVALID when it is to be written, MT_ERROR_FORMAT when it is read. */
void mt_archive_write_fields(mt_archive *archive, const char *group, const mt_archive_field *fields,
                             const void *from);
void mt_archive_read_fields(mt_archive *archive, const char *group, const mt_archive_field *fields,
                            void *to);

#endif
