/* The gradients of several ranks, summed in pieces: the block of them is cut, and a piece is given
 * to the communicator when backward has done with it, beside what backward does then. Each operator
 * that takes a parameter is counted when it is computed, and counted off when its backward is done;
 * a piece of whose parameters none is left is ready. What backward does not come by waits for its
 * end, so an operator too many delays a sum and does nothing else.
 *
 * The order is one for all ranks, whatever order they are ready in: from the last matrix that was
 * added to the first, since backward goes that way, and then the vectors, which lie behind the
 * matrices and are few. */
#include "train/trainer_internal.h"

#include "autograd/observe.h"
#include "kernels/communicator.h"

#include <stdio.h>
#include <stdlib.h>

/* Less than this is not worth a sum of its own, nor are many more sums than these. */
enum { LEAST_BYTES = 4 << 20, SUMS = 32 };

/* Parameters first .. end - 1 of the block's order, by elements. */
typedef struct grad_piece {
    int64_t first, end;
    int64_t uses; /* of its parameters, that backward has still to come by */
} grad_piece;

struct grad_pieces {
    mt_parameters *parameters;
    mt_communicator *communicator;
    bool in_backward;  /* where operators that are computed once more are not counted */
    mt_status status;  /* the first failure, */
    char error[512];   /* and its message */
    int count, begun;  /* of the pieces */
    grad_piece *items; /* in the order of their sums */
};

/* ---- the cuts ---- */

/* Cuts a stretch of the block that ends at `end` before the last parameter with which it has
 * enough; returns where it begins, at least at `least`. */
static int64_t cut(const mt_parameters *parameters, int64_t least, int64_t end)
{
    int64_t few = LEAST_BYTES / (int64_t)mt_dtype_size(parameters->dtype);
    int64_t share = parameters->total / SUMS;
    int64_t enough = end - (few > share ? few : share), first = least;
    for (int i = 0; i < parameters->count; i++) {
        int64_t offset = (int64_t)parameters->items[i]->offset;
        first = offset <= enough && offset > first ? offset : first;
    }
    return first;
}

static int cut_stretch(const mt_parameters *parameters, int64_t least, int64_t end,
                       grad_piece *pieces)
{
    int count = 0;
    while (end > least) {
        int64_t first = cut(parameters, least, end);
        pieces[count++] = (grad_piece){.first = first, .end = end};
        end = first;
    }
    return count;
}

mt_status grad_pieces_create(mt_parameters *parameters, mt_communicator *communicator,
                             grad_pieces **pieces)
{
    grad_pieces *made = calloc(1, sizeof *made);
    grad_piece *items = calloc((size_t)parameters->count + 1, sizeof *items);
    *pieces = NULL;
    if (made == NULL || items == NULL) {
        free(made);
        free(items);
        return mt_fail(MT_ERROR_MEMORY, "trainer: no memory for the pieces of %d gradients",
                       parameters->count);
    }
    made->parameters = parameters;
    made->communicator = communicator;
    made->items = items;
    made->count = cut_stretch(parameters, 0, parameters->decayed, items);
    made->count +=
        cut_stretch(parameters, parameters->decayed, parameters->total, items + made->count);
    *pieces = made;
    return MT_OK;
}

void grad_pieces_destroy(grad_pieces *pieces)
{
    if (pieces != NULL) {
        free(pieces->items);
        free(pieces);
    }
}

/* ---- a sum ---- */

static void keep(grad_pieces *pieces, mt_status status)
{
    if (status != MT_OK && pieces->status == MT_OK) {
        pieces->status = status;
        snprintf(pieces->error, sizeof pieces->error, "%s", mt_error_message());
    }
}

/* Gives the parameters of a piece gradients that can be read: zeros where none have come. Other
 * ranks had other rows of a table. */
static mt_status settle(const grad_pieces *pieces, const grad_piece *piece)
{
    const mt_parameters *parameters = pieces->parameters;
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        int64_t offset = (int64_t)parameters->items[i]->offset;
        mt_tensor *tensor = &parameters->items[i]->tensor;
        if (offset < piece->first || offset >= piece->end) {
            continue;
        }
        if (tensor->zero_rows != NULL) {
            status =
                tensor->device->zero(tensor->device, tensor->zero_rows, (size_t)tensor->shape[0]);
        }
        if (status == MT_OK && !tensor->has_grad) {
            status = tensor->device->zero(tensor->device, tensor->grad, mt_tensor_bytes(tensor));
            tensor->has_grad = true;
        }
    }
    return status;
}

/* A rank that fails takes part in all sums, so that none waits for it. */
static void begin_next(grad_pieces *pieces)
{
    const mt_parameters *parameters = pieces->parameters;
    const grad_piece *piece = &pieces->items[pieces->begun++];
    char *values =
        (char *)parameters->grad + (size_t)piece->first * mt_dtype_size(parameters->dtype);
    keep(pieces, settle(pieces, piece));
    keep(pieces, mt_communicator_begin_sum(pieces->communicator, parameters->device,
                                           parameters->dtype, piece->end - piece->first, values));
}

/* ---- beside backward ---- */

/* The piece that a tensor's gradient is in; NULL for what is no parameter. */
static grad_piece *piece_of(const grad_pieces *pieces, const mt_tensor *tensor)
{
    const mt_parameters *parameters = pieces->parameters;
    const char *data = tensor != NULL ? tensor->data : NULL, *block = parameters->data;
    size_t size = mt_dtype_size(parameters->dtype);
    if (data < block || data >= block + (size_t)parameters->total * size) {
        return NULL;
    }
    int64_t at = (data - block) / (int64_t)size;
    for (int i = 0; i < pieces->count; i++) {
        if (at >= pieces->items[i].first && at < pieces->items[i].end) {
            return &pieces->items[i];
        }
    }
    return NULL;
}

static void count(void *context, const mt_call *call, bool backward)
{
    grad_pieces *pieces = context;
    for (int i = 0; i < call->input_count && backward == pieces->in_backward; i++) {
        grad_piece *piece = piece_of(pieces, call->inputs[i]);
        if (piece != NULL) {
            piece->uses += backward ? -1 : 1;
        }
    }
    while (backward && pieces->begun < pieces->count && pieces->items[pieces->begun].uses == 0) {
        begin_next(pieces);
    }
}

void grad_pieces_count(grad_pieces *pieces, mt_tape *tape)
{
    for (int i = 0; i < pieces->count; i++) {
        pieces->items[i].uses = 0;
    }
    pieces->in_backward = false;
    mt_tape_observe(tape, count, pieces);
}

void grad_pieces_begin(grad_pieces *pieces, mt_tape *tape)
{
    pieces->in_backward = true;
    mt_tape_observe(tape, count, pieces);
}

mt_status grad_pieces_end(grad_pieces *pieces, mt_tape *tape, mt_status status)
{
    keep(pieces, status);
    mt_tape_observe(tape, NULL, NULL);
    while (pieces->begun < pieces->count) {
        begin_next(pieces);
    }
    keep(pieces, mt_communicator_end_sums(pieces->communicator, pieces->parameters->device));
    status = pieces->status;
    pieces->begun = 0;
    pieces->status = MT_OK;
    return status == MT_OK ? MT_OK : mt_fail(status, "%s", pieces->error);
}
