/* HDF5 files, as Mixtape writes and reads them: arrays with checksums, attributes, and an error for
 * everything that is not as it should be, naming file, object and figures. Internal: the one place
 * that calls HDF5. Implemented in archive.c (the file and its groups), archive_arrays.c,
 * archive_attributes.c and archive_texts.c.
 *
 * A file is made in memory and put in place by mt_file_replace, so a full disk or a crash leaves
 * the old file; saving needs as much host memory as the file is long. HDF5 prints nothing while an
 * archive is open. Paths inside a file are absolute: "/", "/model". */
#ifndef MT_IO_ARCHIVE_H
#define MT_IO_ARCHIVE_H

#include <mixtape/tensor.h>
#include <mixtape/token_list.h>

#include <stdbool.h>

typedef struct mt_archive mt_archive;

/* Begins a file, in memory. MT_ERROR_INVALID for a name that another kind of file has
 * (.safetensors, .pth), MT_ERROR_MEMORY. On failure *archive is NULL. */
mt_status mt_archive_create(const char *path, mt_archive **archive);

/* Puts what was written in place of `path` (io/file.h). MT_ERROR_MEMORY where HDF5 had too little
 * of it, MT_ERROR_IO. Afterwards the archive can only be closed. */
mt_status mt_archive_commit(mt_archive *archive);

/* Opens a file to be read. MT_ERROR_IO where it cannot be, or is no regular file; MT_ERROR_FORMAT
 * where it is not HDF5 or is damaged; MT_ERROR_MEMORY. On failure *archive is NULL. */
mt_status mt_archive_open(const char *path, mt_archive **archive);

/* NULL is allowed. Without a commit nothing was written. */
void mt_archive_close(mt_archive *archive);

/* MT_ERROR_FORMAT with "path: object: " in front of the message. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
mt_status
mt_archive_fail(const mt_archive *archive, const char *object, const char *format, ...);

mt_status mt_archive_write_group(mt_archive *archive, const char *group);

/* An array `group`/`name` with a Fletcher-32 checksum; a scalar has that of its header. */
mt_status mt_archive_write_array(mt_archive *archive, const char *group, const char *name,
                                 mt_dtype dtype, int rank, const int64_t *shape, const void *data);

/* Whether the file holds an array of this type and shape, whole; and the same, reading it. */
mt_status mt_archive_check_array(mt_archive *archive, const char *group, const char *name,
                                 mt_dtype dtype, int rank, const int64_t *shape);
mt_status mt_archive_read_array(mt_archive *archive, const char *group, const char *name,
                                mt_dtype dtype, int rank, const int64_t *shape, void *data);

/* What an array is; MT_ERROR_FORMAT if there is none, or of a type or rank that Mixtape does not
 * have. */
mt_status mt_archive_inspect_array(mt_archive *archive, const char *group, const char *name,
                                   mt_dtype *dtype, int *rank, int64_t shape[MT_MAX_RANK]);

/* Calls visit for each object of a group, in the order of names, until it fails. */
mt_status mt_archive_visit(mt_archive *archive, const char *group,
                           mt_status (*visit)(mt_archive *archive, const char *name, void *context),
                           void *context);

/* Whether the root has an object of this name. MT_ERROR_FORMAT where damage hides it. */
mt_status mt_archive_find(mt_archive *archive, const char *name, bool *found);

/* Attributes of a group. Texts must be UTF-8; MT_ERROR_INVALID for what is to be written,
 * MT_ERROR_FORMAT for what is read. Reading is MT_ERROR_FORMAT where an attribute is missing,
 * damaged or of another type; no more memory is asked for than the file is long. The caller frees a
 * text, and destroys a token list (mt_token_list_destroy). */
mt_status mt_archive_find_attribute(mt_archive *archive, const char *group, const char *name,
                                    bool *found);
mt_status mt_archive_write_int(mt_archive *archive, const char *group, const char *name,
                               int64_t value);
mt_status mt_archive_write_real(mt_archive *archive, const char *group, const char *name,
                                double value);
mt_status mt_archive_write_text(mt_archive *archive, const char *group, const char *name,
                                const char *value);
mt_status mt_archive_write_tokens(mt_archive *archive, const char *group, const char *name,
                                  const mt_token_list *tokens);
mt_status mt_archive_read_int(mt_archive *archive, const char *group, const char *name,
                              int64_t *value);
mt_status mt_archive_read_real(mt_archive *archive, const char *group, const char *name,
                               double *value);
mt_status mt_archive_read_text(mt_archive *archive, const char *group, const char *name,
                               char **value);
mt_status mt_archive_read_tokens(mt_archive *archive, const char *group, const char *name,
                                 mt_token_list **tokens);

/* A field of a struct that is kept as an attribute. */
typedef struct mt_archive_field {
    const char *name; /* NULL ends a list */
    /* An int64_t, one that is never negative, a finite double, one that may be infinite, a bool. */
    enum { MT_FIELD_INT, MT_FIELD_COUNT, MT_FIELD_REAL, MT_FIELD_LOSS, MT_FIELD_FLAG } type;
    size_t offset;
} mt_archive_field;

/* Writes the fields of a struct as a group's attributes, and reads them back. A value that its type
 * does not allow is MT_ERROR_INVALID when it is to be written, MT_ERROR_FORMAT when it is read. */
mt_status mt_archive_write_fields(mt_archive *archive, const char *group,
                                  const mt_archive_field *fields, const void *from);
mt_status mt_archive_read_fields(mt_archive *archive, const char *group,
                                 const mt_archive_field *fields, void *to);

#endif
