/* Rows of arrays, read from wherever they are, of source.h. */
#include "io/source.h"

#include <mixtape/weights.h>

#include "kernels/cpu/team.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static size_t row_bytes_of(const mt_array *array)
{
    return (size_t)mt_array_width(array) * mt_dtype_size(array->dtype);
}

/* Where in memory rows are, or NULL. */
static const void *find_rows(const mt_array *array, int64_t first)
{
    mt_source *source = array->source;
    if (source != NULL) {
        return source->find != NULL ? source->find(source, array->source_name, first) : NULL;
    }
    return array->data != NULL ? (const char *)array->data + (size_t)first * row_bytes_of(array)
                               : NULL;
}

static mt_status read_rows(const mt_array *array, int64_t first, int64_t rows, void *values)
{
    size_t bytes = (size_t)rows * row_bytes_of(array);
    if (array->source != NULL) {
        return array->source->read(array->source, array->source_name, array->dtype, first, rows,
                                   bytes, values);
    }
    memset(values, 0, bytes);
    return MT_OK;
}

/* Rows that are copied, looked through and summed, part by part, while a cache has the part. */
typedef struct walked_rows {
    const mt_array *array;
    const char *from; /* the same as `to`: they are in place */
    char *to;
    size_t bytes;
    mt_chunk_sum *sum;      /* or NULL */
    _Atomic int64_t *wrong; /* the place of the first wrong value, beyond them all at first */
} walked_rows;

enum { PART = 1 << 16 }; /* bytes */

static void note_wrong(const walked_rows *rows, int64_t place)
{
    int64_t noted = atomic_load(rows->wrong);
    while (place < noted && !atomic_compare_exchange_weak(rows->wrong, &noted, place)) {
    }
}

static void walk_parts(const void *loop, int64_t first, int64_t end)
{
    const walked_rows *rows = loop;
    const size_t size = mt_dtype_size(rows->array->dtype);
    for (size_t at = (size_t)first * PART; at < (size_t)end * PART && at < rows->bytes;
         at += PART) {
        size_t bytes = rows->bytes - at < PART ? rows->bytes - at : PART;
        if (rows->from != rows->to) {
            memcpy(rows->to + at, rows->from + at, bytes);
        }
        int64_t wrong = mt_array_first_wrong(rows->array, rows->to + at, (int64_t)(bytes / size));
        if (wrong >= 0) {
            note_wrong(rows, (int64_t)(at / size) + wrong);
        }
        if (rows->sum != NULL) {
            mt_fletcher32_add(rows->sum, at, rows->to + at, bytes);
        }
    }
}

static mt_status walk(const mt_array *array, int64_t first, int64_t rows, const void *from,
                      void *values, mt_chunk_sum *sum)
{
    const int64_t width = mt_array_width(array), none = INT64_MAX;
    _Atomic int64_t wrong = none;
    walked_rows loop = {array, from, values, (size_t)rows * row_bytes_of(array), sum, &wrong};
    mt_team_loop(rows * width, (int64_t)((loop.bytes + PART - 1) / PART), walk_parts, &loop);
    if (sum != NULL) {
        sum->taken = loop.bytes;
    }
    return wrong == none ? MT_OK
                         : mt_array_fail_value(array, first * width + wrong,
                                               mt_real_at(array->dtype, values, wrong));
}

/* As a program chose it. */
static bool (*is_over)(void);

void mt_weights_stop_when(bool (*chosen)(void))
{
    is_over = chosen;
}

mt_status mt_array_read(const mt_array *array, int64_t first, int64_t rows, void *values,
                        mt_chunk_sum *sum)
{
    if (is_over != NULL && is_over()) {
        return mt_fail(MT_ERROR_IO, "interrupted");
    }
    const void *from = find_rows(array, first);
    mt_status status = from != NULL ? MT_OK : read_rows(array, first, rows, values);
    return status == MT_OK ? walk(array, first, rows, from != NULL ? from : values, values, sum)
                           : status;
}

mt_status mt_array_visit(const mt_array *array, mt_use_rows use, void *context)
{
    int64_t rows = mt_array_rows(array);
    int64_t row_bytes = mt_array_width(array) * (int64_t)mt_dtype_size(array->dtype);
    int64_t piece = mt_piece_rows(rows, row_bytes);
    void *values = malloc((size_t)(piece * row_bytes));
    if (values == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %" PRId64 " bytes", array->name,
                       piece * row_bytes);
    }
    mt_status status = MT_OK;
    for (int64_t first = 0; first < rows && status == MT_OK; first += piece) {
        int64_t count = rows - first < piece ? rows - first : piece;
        status = mt_array_read(array, first, count, values, NULL);
        if (status == MT_OK && use != NULL) {
            status = use(context, first, count, values);
        }
    }
    free(values);
    return status;
}
