#include "autograd/tape_internal.h"
#include "kernels/null.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mt_status mt_tape_create(mt_device *device, mt_tape **tape)
{
    *tape = NULL;
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    void *random_step = NULL;
    *tape = calloc(1, sizeof **tape);
    if (*tape == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "tape: no host memory for %zu bytes", sizeof **tape);
    }
    (*tape)->device = device;
    (*tape)->recording = true;
    mt_arena_init(&(*tape)->records, NULL);
    mt_arena_init(&(*tape)->step_values, device);
    mt_arena_init(&(*tape)->span_values, device);
    mt_arena_init(&(*tape)->scratch, device);
    (*tape)->values = &(*tape)->step_values;
    mt_status status = device->allocate(device, sizeof *(*tape)->random_step, &random_step);
    (*tape)->random_step = random_step;
    if (status == MT_OK) {
        status = mt_tape_set_random(*tape, 0, 0);
    }
    if (status != MT_OK) {
        mt_tape_destroy(*tape);
        *tape = NULL;
    }
    return status;
}

void mt_tape_destroy(mt_tape *tape)
{
    if (tape == NULL) {
        return;
    }
    mt_arena_destroy(&tape->records);
    mt_arena_destroy(&tape->step_values);
    mt_arena_destroy(&tape->span_values);
    mt_arena_destroy(&tape->scratch);
    tape->device->release(tape->device, tape->random_step);
    free(tape);
}

void mt_tape_reset(mt_tape *tape)
{
    if (tape == NULL) {
        return;
    }
    mt_arena_reset(&tape->records);
    mt_arena_reset(&tape->step_values);
    mt_arena_reset(&tape->span_values);
    mt_arena_reset(&tape->scratch);
    tape->values = &tape->step_values;
    tape->last = NULL;
    tape->backward_done = false;
    tape->random_count = 0;
    tape->status = MT_OK;
    tape->error[0] = '\0';
}

mt_device *mt_tape_device(const mt_tape *tape)
{
    if (tape == NULL) {
        return NULL;
    }
    return tape->device;
}

mt_status mt_tape_status(const mt_tape *tape)
{
    if (tape == NULL) {
        return MT_ERROR_INVALID;
    }
    return tape->status;
}

const char *mt_tape_error(const mt_tape *tape)
{
    if (tape == NULL) {
        return mt_error_message();
    }
    return tape->error;
}

mt_tensor *mt_tape_fail(mt_tape *tape, mt_status status)
{
    if (tape == NULL) {
        return NULL;
    }
    if (status != MT_OK && tape->status == MT_OK) {
        tape->status = status;
        snprintf(tape->error, sizeof tape->error, "%s", mt_error_message());
    }
    return NULL;
}

bool mt_tape_set_recording(mt_tape *tape, bool recording)
{
    if (tape == NULL) {
        return false;
    }
    bool former = tape->recording;
    tape->recording = recording;
    return former;
}

bool mt_tape_recording(const mt_tape *tape)
{
    if (tape == NULL) {
        return false;
    }
    return tape->recording;
}

void mt_tape_observe(mt_tape *tape, mt_tape_observer *observer, void *context)
{
    tape->observer = observer;
    tape->observer_context = context;
}

mt_status mt_tape_set_random(mt_tape *tape, uint64_t seed, uint64_t step)
{
    if (tape == NULL) {
        return mt_fail_null(__func__);
    }
    tape->random_seed = seed;
    return tape->device->write(tape->device, tape->random_step, &step, sizeof step);
}

void mt_tape_next_random(mt_tape *tape, uint64_t *seed, uint64_t *place, const uint64_t **step)
{
    if (tape == NULL) {
        return;
    }
    *seed = tape->random_seed;
    *place = tape->random_count++;
    *step = tape->random_step;
}

void mt_tape_set_rank(mt_tape *tape, int rank)
{
    tape->random_rank = rank;
}

int64_t mt_tape_first_random(const mt_tape *tape, int64_t n)
{
    return tape != NULL ? tape->random_rank * n : 0;
}

size_t mt_tape_memory(const mt_tape *tape)
{
    if (tape == NULL) {
        return 0;
    }
    return tape->step_values.total + tape->span_values.total + tape->scratch.total;
}

size_t mt_tape_untouched(const mt_tape *tape)
{
    return mt_arena_untouched(&tape->step_values) + mt_arena_untouched(&tape->span_values) +
           mt_arena_untouched(&tape->scratch);
}

/* Number of elements of a shape; MT_ERROR_INVALID for what no tensor can have. */
static mt_status count_elements(int rank, const int64_t *shape, int64_t *count)
{
    if (rank < 0 || rank > MT_MAX_RANK) {
        return mt_fail(MT_ERROR_INVALID, "tensor: rank %d, not in 0 .. %d", rank, MT_MAX_RANK);
    }
    *count = 1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 1) {
            return mt_fail(MT_ERROR_INVALID, "tensor: dimension %d is %lld, not positive", i,
                           (long long)shape[i]);
        }
        if (*count > INT64_MAX / 16 / shape[i]) {
            return mt_fail(MT_ERROR_INVALID, "tensor: dimension %d of %lld makes it too large", i,
                           (long long)shape[i]);
        }
        *count *= shape[i];
    }
    return MT_OK;
}

mt_status mt_tape_new_tensor(mt_tape *tape, const char *name, mt_dtype dtype, int rank,
                             const int64_t *shape, mt_tensor **tensor)
{
    int64_t count;
    mt_status status = count_elements(rank, shape, &count);
    if (status == MT_OK) {
        status = mt_arena_allocate(&tape->records, sizeof **tensor, (void **)tensor);
    }
    if (status == MT_OK) {
        **tensor = (mt_tensor){.name = name, .device = tape->device, .dtype = dtype, .rank = rank};
        if (rank > 0) {
            memcpy((*tensor)->shape, shape, (size_t)rank * sizeof *shape);
        }
    }
    return status;
}

mt_tensor *mt_tape_input(mt_tape *tape, mt_dtype dtype, int rank, const int64_t *shape,
                         const void *host, bool requires_grad)
{
    if (tape == NULL || tape->status != MT_OK) {
        return NULL;
    }
    mt_tensor *tensor = NULL;
    mt_status status = MT_OK;
    if (requires_grad && !mt_dtype_is_real(dtype)) {
        status = mt_fail(MT_ERROR_INVALID, "tensor: of type %d, which has no gradient", (int)dtype);
    }
    if (status == MT_OK) {
        status = mt_tape_new_tensor(tape, "input", dtype, rank, shape, &tensor);
    }
    if (status == MT_OK) {
        status = mt_arena_allocate(tape->values, mt_tensor_bytes(tensor), &tensor->data);
    }
    if (status == MT_OK && requires_grad) {
        tensor->requires_grad = true;
        status = mt_arena_allocate(tape->values, mt_tensor_bytes(tensor), &tensor->grad);
    }
    if (status == MT_OK && host != NULL) {
        status = mt_tensor_write(tensor, host);
    }
    return status == MT_OK ? tensor : mt_tape_fail(tape, status);
}

mt_tensor *mt_tape_labels(mt_tape *tape, int64_t B, int64_t T, const int32_t *labels)
{
    const int64_t shape[] = {B, T};
    return mt_tape_input(tape, MT_I32, 2, shape, labels, false);
}

mt_tensor *mt_tape_sequence(mt_tape *tape, mt_dtype dtype, int64_t B, int64_t T, int64_t C,
                            const void *reals)
{
    const int64_t shape[] = {B, T, C};
    return mt_tape_input(tape, dtype, 3, shape, reals, false);
}

mt_tensor *mt_tape_rows(mt_tape *tape, mt_dtype dtype, int64_t N, int64_t C, const void *reals)
{
    const int64_t shape[] = {N, C};
    return mt_tape_input(tape, dtype, 2, shape, reals, false);
}

/* A second header for the data of x. */
static mt_tensor *alias(mt_tape *tape, mt_tensor *x, int rank, const int64_t *shape)
{
    mt_tensor *tensor = NULL;
    mt_status status = mt_tape_new_tensor(tape, x->name, x->dtype, rank, shape, &tensor);
    if (status == MT_OK && mt_tensor_count(tensor) != mt_tensor_count(x)) {
        char from[96], to[96];
        status = mt_fail(MT_ERROR_INVALID, "view: %s seen as %s",
                         mt_tensor_shape_text(x, from, sizeof from),
                         mt_tensor_shape_text(tensor, to, sizeof to));
    }
    if (status != MT_OK) {
        return mt_tape_fail(tape, status);
    }
    tensor->data = x->data;
    return tensor;
}

mt_tensor *mt_view(mt_tape *tape, mt_tensor *x, int rank, const int64_t *shape)
{
    if (x == NULL || tape == NULL || tape->status != MT_OK) {
        return NULL;
    }
    mt_tensor *view = alias(tape, x, rank, shape);
    if (view != NULL) {
        view->base = mt_tensor_owner(x);
        view->requires_grad = x->requires_grad;
    }
    return view;
}

mt_tensor *mt_detach(mt_tape *tape, mt_tensor *x)
{
    if (x == NULL || tape == NULL || tape->status != MT_OK) {
        return NULL;
    }
    return alias(tape, x, x->rank, x->shape);
}
