#include "train/lockstep.h"

#include "train/stream_internal.h"

#include <inttypes.h>
#include <stdlib.h>

/* A row, and what it has to read. */
typedef struct lane {
    void *owner;
    const int32_t *labels;
    int64_t left;
} lane;

struct lockstep {
    mt_model *model;
    mt_stream *stream;
    int64_t count; /* of rows */
    lane *lanes;
    int32_t *labels; /* of a step */
    char *logits;
    bool has_logits;
};

/* More than four rows are multiplied in fours: a product of 5 to 7 takes as long as one of 8, or
 * longer. WKV asks for whole vectors. */
static int64_t round_rows(const mt_model *model, int64_t rows)
{
    enum { TOGETHER = 4 };
    int64_t least = stream_least_rows(&model->config);
    if (rows > TOGETHER && least <= TOGETHER) {
        least = TOGETHER;
    }
    return (rows + least - 1) / least * least;
}

mt_status lockstep_create(mt_model *model, int64_t rows, lockstep **made)
{
    *made = NULL;
    lockstep *created = calloc(1, sizeof *created);
    if (created == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "lockstep: no memory for %zu bytes", sizeof *created);
    }
    created->model = model;
    created->count = round_rows(model, rows);
    mt_status status = mt_stream_create(model, created->count, &created->stream);
    if (status == MT_OK) {
        size_t count = (size_t)created->count, size = mt_dtype_size(model->parameters->dtype);
        created->lanes = calloc(count, sizeof *created->lanes);
        created->labels = calloc(count, sizeof *created->labels);
        created->logits = calloc(count, (size_t)mt_stream_width(created->stream) * size);
        if (created->lanes == NULL || created->labels == NULL || created->logits == NULL) {
            status = mt_fail(MT_ERROR_MEMORY, "no memory for the logits of %" PRId64 " rows",
                             created->count);
        }
    }
    if (status != MT_OK) {
        lockstep_destroy(created);
        return status;
    }
    *made = created;
    return MT_OK;
}

void lockstep_destroy(lockstep *rows)
{
    if (rows != NULL) {
        mt_stream_destroy(rows->stream);
        free(rows->lanes);
        free(rows->labels);
        free(rows->logits);
        free(rows);
    }
}

int64_t lockstep_count(const lockstep *rows)
{
    return rows->count;
}

mt_status lockstep_begin(lockstep *rows, int64_t row, void *owner, const int32_t *labels,
                         int64_t count)
{
    rows->lanes[row] = (lane){owner, labels, count};
    return mt_stream_reset(rows->stream, row);
}

void *lockstep_owner(const lockstep *rows, int64_t row)
{
    return rows->lanes[row].owner;
}

void lockstep_read(lockstep *rows, int64_t row, const int32_t *labels, int64_t count)
{
    rows->lanes[row].labels = labels;
    rows->lanes[row].left = count;
}

void lockstep_end(lockstep *rows, int64_t row)
{
    rows->lanes[row] = (lane){.owner = NULL};
}

static bool has_read(const lane *at)
{
    return at->owner != NULL && at->left == 0;
}

/* While all rows read, nobody asks for logits. */
mt_status lockstep_feed(lockstep *rows)
{
    rows->has_logits = false;
    for (int64_t i = 0; i < rows->count; i++) {
        lane *at = &rows->lanes[i];
        rows->labels[i] = at->left > 0 ? *at->labels++ : 0;
        at->left -= at->left > 0;
        rows->has_logits = rows->has_logits || has_read(at);
    }
    return mt_stream_feed(rows->stream, 1, rows->labels, rows->has_logits, rows->logits);
}

const void *lockstep_logits(const lockstep *rows, int64_t row)
{
    const lane *at = &rows->lanes[row];
    size_t size = mt_dtype_size(rows->model->parameters->dtype);
    size_t width = (size_t)mt_stream_width(rows->stream) * size;
    return rows->has_logits && has_read(at) ? rows->logits + (size_t)row * width : NULL;
}

static int64_t count_owned(const lockstep *rows)
{
    int64_t owned = 0;
    for (int64_t i = 0; i < rows->count; i++) {
        owned += rows->lanes[i].owner != NULL;
    }
    return owned;
}

/* Moves rows to a stream of fewer, in their order. */
static mt_status move_to(lockstep *rows, mt_stream *fewer)
{
    mt_status status = MT_OK;
    for (int64_t i = 0, to = 0; i < rows->count && status == MT_OK; i++) {
        if (rows->lanes[i].owner != NULL) {
            status = mt_stream_copy(fewer, to++, rows->stream, i);
        }
    }
    return status;
}

mt_status lockstep_shrink(lockstep *rows)
{
    mt_stream *fewer;
    int64_t owned = count_owned(rows), count = round_rows(rows->model, owned > 0 ? owned : 1);
    if (count >= rows->count) {
        return MT_OK;
    }
    mt_status status = mt_stream_create(rows->model, count, &fewer);
    if (status == MT_OK) {
        status = move_to(rows, fewer);
    }
    if (status != MT_OK) {
        mt_stream_destroy(fewer);
        return status;
    }
    for (int64_t i = 0, to = 0; i < rows->count; i++) {
        lane moved = rows->lanes[i];
        rows->lanes[i].owner = NULL;
        if (moved.owner != NULL) {
            rows->lanes[to++] = moved;
        }
    }
    mt_stream_destroy(rows->stream);
    rows->stream = fewer;
    rows->count = count;
    rows->has_logits = false;
    return MT_OK;
}
