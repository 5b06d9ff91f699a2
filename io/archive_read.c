/* An archive that is read: questions to its reader. */
#include "io/archive_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mt_status mt_archive_open(const char *path, mt_archive **archive)
{
    mt_status status = mt_archive_new(path, archive);
    if (status != MT_OK) {
        return status;
    }
    status = mt_reader_open(path, &(*archive)->reader);
    if (status != MT_OK) {
        free(*archive);
        *archive = NULL;
    }
    return status;
}

bool mt_archive_ask(mt_archive *archive, mt_question *question, const char *group, const char *name,
                    mt_answer *answer)
{
    *answer = (mt_answer){0};
    if (archive->status != MT_OK) {
        return false;
    }
    size_t length = strlen(name);
    if (length >= sizeof question->name || strlen(group) >= sizeof question->group) {
        mt_archive_fail(archive, group, "a name of %zu bytes, at most %zu", length,
                        sizeof question->name - 1);
        return false;
    }
    snprintf(question->group, sizeof question->group, "%s", group);
    snprintf(question->name, sizeof question->name, "%s", name);
    mt_archive_keep(archive, archive->reader->answer(archive->reader, question, answer));
    return archive->status == MT_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Where each name begins, in their order; the caller frees the list. A zero byte ends each. */
static const char **sort_names(char *names, size_t bytes, size_t *count)
{
    *count = 0;
    for (size_t at = 0; at < bytes; at += strlen(names + at) + 1) {
        ++*count;
    }
    const char **sorted = malloc((*count + 1) * sizeof *sorted);
    size_t at = 0;
    for (size_t i = 0; i < *count && sorted != NULL; i++) {
        sorted[i] = names + at;
        at += strlen(names + at) + 1;
    }
    if (sorted != NULL) {
        qsort(sorted, *count, sizeof *sorted, compare_names);
    }
    return sorted;
}

void mt_archive_visit(mt_archive *archive, const char *group,
                      void (*visit)(mt_archive *archive, const char *name, void *context),
                      void *context)
{
    mt_answer answer;
    size_t count = 0;
    if (!mt_archive_ask(archive, &(mt_question){.asked = MT_ASK_NAMES}, group, "", &answer)) {
        return;
    }
    const char **names = sort_names(answer.found, answer.found_bytes, &count);
    if (names == NULL) {
        mt_archive_keep(
            archive, mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu names", archive->path, count));
    }
    for (size_t i = 0; names != NULL && i < count && archive->status == MT_OK; i++) {
        visit(archive, names[i], context);
    }
    free(names);
    free(answer.found);
}

bool mt_archive_has(mt_archive *archive, const char *name)
{
    mt_answer answer;
    mt_archive_ask(archive, &(mt_question){.asked = MT_ASK_HAS_OBJECT}, "/", name, &answer);
    return answer.whole != 0;
}

bool mt_answer_is_array(const mt_answer *answer)
{
    int64_t count = 1;
    bool fits = answer->rank >= 0 && answer->rank <= MT_MAX_RANK &&
                (answer->dtype == MT_F32 || answer->dtype == MT_F64 || answer->dtype == MT_I32);
    for (int i = 0; fits && i < answer->rank; i++) {
        fits = answer->shape[i] >= 0 && answer->shape[i] <= INT64_MAX / 16 / count;
        count *= fits && answer->shape[i] > 0 ? answer->shape[i] : 1;
    }
    return fits;
}

void mt_archive_inspect_array(mt_archive *archive, const char *group, const char *name,
                              mt_dtype *dtype, int *rank, int64_t shape[MT_MAX_RANK])
{
    mt_answer answer;
    if (!mt_archive_ask(archive, &(mt_question){.asked = MT_ASK_SHAPE}, group, name, &answer)) {
        return;
    }
    if (!mt_answer_is_array(&answer)) {
        mt_archive_fail(archive, name, "no array");
        return;
    }
    *dtype = answer.dtype;
    *rank = answer.rank;
    memcpy(shape, answer.shape, sizeof answer.shape);
}

static const char *shape_text(int rank, const int64_t *shape, char text[96])
{
    mt_tensor tensor = {.rank = rank};
    memcpy(tensor.shape, shape, (size_t)rank * sizeof *shape);
    return mt_tensor_shape_text(&tensor, text, 96);
}

void mt_archive_check_array(mt_archive *archive, const char *group, const char *name,
                            mt_dtype dtype, int rank, const int64_t *shape)
{
    mt_dtype found_dtype = dtype;
    int found_rank = 0;
    int64_t found[MT_MAX_RANK] = {0};
    char is[96], wanted[96];
    mt_archive_inspect_array(archive, group, name, &found_dtype, &found_rank, found);
    if (archive->status != MT_OK) {
        return;
    }
    if (found_dtype != dtype) {
        mt_archive_fail(archive, name, "type %s, expected %s", mt_dtype_name(found_dtype),
                        mt_dtype_name(dtype));
    } else if (found_rank != rank ||
               (rank > 0 && memcmp(found, shape, (size_t)rank * sizeof *shape) != 0)) {
        mt_archive_fail(archive, name, "shape %s, expected %s", shape_text(found_rank, found, is),
                        shape_text(rank, shape, wanted));
    }
}

void mt_archive_read_rows(mt_archive *archive, const char *group, const char *name, mt_dtype dtype,
                          int64_t first, int64_t rows, size_t bytes, void *values)
{
    mt_answer answer;
    mt_question question = {.asked = MT_ASK_ROWS,
                            .dtype = dtype,
                            .first = first,
                            .rows = rows,
                            .bytes = bytes,
                            .values = values};
    mt_archive_ask(archive, &question, group, name, &answer);
    free(answer.found);
}

void mt_archive_read_columns(mt_archive *archive, const char *group, const char *name, int64_t row,
                             int64_t first, int64_t columns, int32_t *values)
{
    mt_answer answer;
    mt_question question = {.asked = MT_ASK_ROWS,
                            .dtype = MT_I32,
                            .first = row,
                            .rows = 1,
                            .first_column = first,
                            .columns = columns,
                            .bytes = (size_t)columns * sizeof *values,
                            .values = values};
    mt_archive_ask(archive, &question, group, name, &answer);
    free(answer.found);
}
