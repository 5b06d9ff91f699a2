/* Rows of arrays, read from wherever they are, of source.h. */
#include "io/source.h"

#include <mixtape/weights.h>

#include "kernels/cpu/summed_copy.h"
#include "kernels/cpu/team.h"

#include <inttypes.h>
#include <math.h>
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

/* Rows that are copied, looked through and summed by parts, which are numbered on from rows to
 * rows. */
typedef struct walked_rows {
    const mt_read_rows *read;
    const char *from; /* their place in memory, which may be where they are read to */
    size_t bytes;
    int64_t first_part;
    _Atomic int64_t wrong; /* the first value that is, beyond them all at first */
} walked_rows;

typedef struct walk {
    walked_rows *rows; /* behind the last one's the number of parts, as that of a next one */
    mt_summed_copy *copy_f32, *copy_f64;
} walk;

enum { PART = 1 << 16 }; /* bytes */

static const int64_t none = INT64_MAX;

static void note_wrong(walked_rows *rows, int64_t place)
{
    int64_t noted = atomic_load(&rows->wrong);
    while (place < noted && !atomic_compare_exchange_weak(&rows->wrong, &noted, place)) {
    }
}

static void walk_part(const walk *loop, walked_rows *rows, size_t at)
{
    const mt_read_rows *read = rows->read;
    const mt_array *array = read->array;
    const size_t bytes = rows->bytes - at < PART ? rows->bytes - at : PART;
    char *to = (char *)read->values + at;
    uint64_t sums[2];
    mt_summed_copy *copy = array->dtype == MT_F64 ? loop->copy_f64 : loop->copy_f32;
    if (!copy(bytes, rows->from + at, to, array->never_negative ? 0.0 : -HUGE_VAL,
              read->sum != NULL ? sums : NULL)) {
        const int64_t size = (int64_t)mt_dtype_size(array->dtype);
        int64_t wrong = mt_array_first_wrong(array, to, (int64_t)bytes / size);
        note_wrong(rows, (int64_t)at / size + wrong);
    }
    if (read->sum != NULL) {
        mt_fletcher32_add_sums(read->sum, at, bytes, sums);
    }
}

static void walk_parts(const void *loop, int64_t first, int64_t end)
{
    const walk *of = loop;
    walked_rows *rows = of->rows;
    for (int64_t part = first; part < end; part++) {
        while (part >= rows[1].first_part) {
            rows++;
        }
        walk_part(of, rows, (size_t)(part - rows->first_part) * PART);
    }
}

/* Fails for the first wrong value of the first rows that have one. */
static mt_status walk_all(walked_rows *rows, int64_t n)
{
    const walk loop = {rows, mt_cpu_summed_copy(MT_F32), mt_cpu_summed_copy(MT_F64)};
    int64_t parts = 0;
    for (int64_t i = 0; i < n; i++) {
        rows[i].first_part = parts;
        parts += (int64_t)((rows[i].bytes + PART - 1) / PART);
    }
    rows[n].first_part = parts;
    mt_team_loop(parts * (PART / (int64_t)sizeof(float)), parts, walk_parts, &loop);
    for (int64_t i = 0; i < n; i++) {
        const mt_read_rows *read = rows[i].read;
        int64_t wrong = rows[i].wrong;
        if (wrong != none) {
            return mt_array_fail_value(read->array,
                                       read->first * mt_array_width(read->array) + wrong,
                                       mt_real_at(read->array->dtype, read->values, wrong));
        }
        if (read->sum != NULL) {
            mt_fletcher32_took(read->sum, rows[i].bytes);
        }
    }
    return MT_OK;
}

/* As a program chose it. */
static bool (*is_over)(void);

void mt_weights_stop_when(bool (*chosen)(void))
{
    is_over = chosen;
}

/* Finds rows, or reads them. */
static mt_status begin(const mt_read_rows *read, walked_rows *rows)
{
    if (is_over != NULL && is_over()) {
        return mt_fail(MT_ERROR_IO, "interrupted");
    }
    const void *from = find_rows(read->array, read->first);
    rows->read = read;
    rows->from = from != NULL ? from : read->values;
    rows->bytes = (size_t)read->rows * row_bytes_of(read->array);
    atomic_init(&rows->wrong, none);
    return from != NULL ? MT_OK : read_rows(read->array, read->first, read->rows, read->values);
}

mt_status mt_arrays_read_rows(const mt_read_rows *reads, int64_t n)
{
    walked_rows *rows = malloc(((size_t)n + 1) * sizeof *rows);
    if (rows == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory to read rows of %" PRId64 " arrays", n);
    }
    mt_status status = MT_OK;
    for (int64_t i = 0; i < n && status == MT_OK; i++) {
        status = begin(&reads[i], &rows[i]);
    }
    if (status == MT_OK) {
        status = walk_all(rows, n);
    }
    free(rows);
    return status;
}

mt_status mt_array_read(const mt_array *array, int64_t first, int64_t rows, void *values,
                        mt_chunk_sum *sum)
{
    const mt_read_rows read = {array, first, rows, values, sum};
    walked_rows walked[2];
    mt_status status = begin(&read, &walked[0]);
    return status == MT_OK ? walk_all(walked, 1) : status;
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
