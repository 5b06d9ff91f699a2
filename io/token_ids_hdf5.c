/* Token ids in datasets of HDF5, of one dimension or of two, whose rows are the documents. Its
 * library reads them as integers of 32 bits: those beyond are clipped to the ends of that range,
 * where no vocabulary reaches. */
#include "io/archive_internal.h"
#include "io/token_ids_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* "/a/b" is b in the group /a. */
static mt_status name_dataset(mt_ids_file *file, const char *object)
{
    const char *slash = strrchr(object, '/');
    bool in_root = slash == object;
    if (slash[1] == '\0') {
        return mt_fail(MT_ERROR_FORMAT, "%s:%s: this names no dataset in it (%s:/PATH does)",
                       file->path, object, file->path);
    }
    file->group = in_root ? strdup("/") : strndup(object, (size_t)(slash - object));
    file->dataset = strdup(slash + 1);
    return file->group != NULL && file->dataset != NULL
               ? MT_OK
               : mt_fail(MT_ERROR_MEMORY, "%s: no memory for the name of a dataset", file->path);
}

/* What of a file's root may be the ids. */
typedef struct candidates {
    char *name;
    int count;
    char *unlike; /* why the first of the others is none; NULL: none, or no memory to say it */
} candidates;

/* Whatever else is there is no failure. */
static void consider(mt_archive *archive, const char *name, void *context)
{
    candidates *found = context;
    mt_answer answer;
    mt_question question = {.asked = MT_ASK_SHAPE, .group = "/"};
    if (strlen(name) >= sizeof question.name) {
        return;
    }
    memcpy(question.name, name, strlen(name) + 1);
    mt_status status = archive->reader->answer(archive->reader, &question, &answer);
    if (status != MT_OK && found->unlike == NULL) {
        found->unlike = strdup(mt_error_message());
    }
    if (status != MT_OK || answer.dtype != MT_I32 || answer.rank < 1) {
        return;
    }
    if (found->count++ == 0) {
        found->name = strdup(name);
    }
}

static mt_status find_dataset(mt_ids_file *file)
{
    candidates found = {NULL, 0, NULL};
    mt_archive_visit(file->archive, "/", consider, &found);
    mt_status status = mt_archive_status(file->archive);
    if (status == MT_OK && found.count == 0 && found.unlike != NULL) {
        status = mt_fail(MT_ERROR_FORMAT, "%s (and no other dataset of integers is in its root)",
                         found.unlike);
    } else if (status == MT_OK && found.count != 1) {
        status = mt_fail(MT_ERROR_FORMAT,
                         "%s: %d datasets of integers in its root, not one (name it: %s:/PATH)",
                         file->path, found.count, file->path);
    } else if (status == MT_OK && found.name == NULL) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: no memory for the name of a dataset", file->path);
    }
    free(found.unlike);
    file->dataset = found.name;
    file->group = strdup("/");
    return status == MT_OK && file->group == NULL
               ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for the name of a group", file->path)
               : status;
}

static mt_status take_shape(mt_ids_file *file)
{
    mt_dtype dtype = MT_I32;
    int64_t shape[MT_MAX_RANK] = {0};
    mt_archive_inspect_array(file->archive, file->group, file->dataset, &dtype, &file->rank, shape);
    mt_status status = mt_archive_status(file->archive);
    if (status != MT_OK) {
        return status;
    }
    if (dtype != MT_I32 || file->rank < 1 || file->rank > 2) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %s: %s of %d dimensions, not integers of 1 or 2",
                       file->path, file->dataset, dtype == MT_I32 ? "integers" : "floats",
                       file->rank);
    }
    file->documents = file->rank == 2 ? shape[0] : 1;
    file->row = file->rank == 2 ? shape[1] : shape[0];
    file->has_borders = file->rank == 2;
    file->count = file->documents * file->row;
    return file->count > 0
               ? MT_OK
               : mt_fail(MT_ERROR_FORMAT, "%s: %s: it holds no ids", file->path, file->dataset);
}

mt_status mt_ids_open_hdf5(mt_ids_file *file, const char *object)
{
    mt_status status = mt_archive_open(file->path, &file->archive);
    if (status == MT_OK) {
        status = object != NULL ? name_dataset(file, object) : find_dataset(file);
    }
    return status == MT_OK ? take_shape(file) : status;
}

mt_status mt_ids_read_dataset(mt_ids_file *file, int64_t first, int64_t count, int32_t *values)
{
    if (file->rank == 1) {
        mt_archive_read_rows(file->archive, file->group, file->dataset, MT_I32, first, count,
                             (size_t)count * sizeof *values, values);
    } else {
        mt_archive_read_columns(file->archive, file->group, file->dataset, first / file->row,
                                first % file->row, count, values);
    }
    return mt_archive_status(file->archive);
}
