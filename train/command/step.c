#include "train/command/step.h"
#include "kernels/device.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A batch takes three of the device's read slots; recordings are kept for so many shapes. */
enum { SLOTS = 3, BATCHES = MT_READ_SLOTS / SLOTS, RECORDINGS = 16 };

/* A batch whose results are on their way. */
typedef struct pending_batch {
    int64_t update;     /* that it belongs to, */
    bool ends_update;   /* and whether it is its last */
    bool counted;       /* whether there are counts beside the loss */
    int64_t B, symbols; /* of the batch */
    double lr;
} pending_batch;

/* What the loop reads of a batch's tensors: all on the device, at addresses that repeat. */
typedef struct batch_tensors {
    mt_tensor input, target, loss, stats;
    bool counted;
} batch_tensors;

/* An update of one batch, by the shapes and addresses of what goes in. */
typedef struct recorded_update {
    batch_tensors tensors;
    mt_recording *recording; /* NULL: seen once, so that everything is allocated */
} recorded_update;

/* Of the batches of one update that have been collected. */
typedef struct batch_sums {
    double loss, hits, counted;
    int64_t batches, symbols;
} batch_sums;

struct step_queue {
    train_session *session;
    mt_adam *adam;
    bool record;
    pending_batch batches[BATCHES];
    int64_t first, count; /* of the ring */
    int64_t updates;      /* that they make up */
    batch_sums sums;      /* of the oldest update */
    recorded_update recorded[RECORDINGS];
    int recorded_count, next_recorded;
};

mt_status step_queue_open(train_session *session, mt_adam *adam, step_queue **queue)
{
    *queue = calloc(1, sizeof **queue);
    if (*queue == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "train: no memory for %zu bytes", sizeof **queue);
    }
    const run_config *config = &session->config;
    (*queue)->session = session;
    (*queue)->adam = adam;
    /* An update of several batches is not recorded: its first batch does other work than the
     * rest. */
    (*queue)->record = session->device->record != NULL && config->accumulate == 1 &&
                       strcmp(config->cuda_graph, "on") == 0;
    return MT_OK;
}

void step_queue_close(step_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    mt_device *device = queue->session->device;
    for (int i = 0; i < queue->recorded_count; i++) {
        device->forget(device, queue->recorded[i].recording);
    }
    free(queue);
}

bool step_queue_has_room(const step_queue *queue)
{
    /* A device that does its work at once gains nothing from a queue. */
    bool runs_behind = queue->session->device->record != NULL;
    int64_t accumulate = queue->session->config.accumulate;
    return queue->count == 0 || (runs_behind && queue->count + accumulate <= BATCHES);
}

int64_t step_queue_length(const step_queue *queue)
{
    return queue->updates;
}

/* ---- putting work on the device ---- */

static mt_status fail_on_tape(const step_queue *queue)
{
    const mt_tape *tape = queue->session->tape;
    return mt_fail(mt_tape_status(tape), "step %" PRId64 ": %s", queue->adam->step + 1,
                   mt_tape_error(tape));
}

static mt_status make_batch(step_queue *queue, int64_t index, task_batch *batch)
{
    train_session *session = queue->session;
    mt_tape_reset(session->tape);
    mt_status status =
        mt_tape_set_random(session->tape, ~(uint64_t)session->config.seed, (uint64_t)index);
    return status == MT_OK ? session->task->make(&session->config, session->data, session->tape,
                                                 TRAIN, index, batch)
                           : status;
}

/* Forward and backward. */
static mt_status differentiate(step_queue *queue, const task_batch *batch, batch_tensors *tensors)
{
    mt_tensor *stats;
    mt_tensor *loss = session_loss(queue->session, batch, true, &stats);
    if (mt_backward(queue->session->tape, loss) != MT_OK) {
        return fail_on_tape(queue);
    }
    *tensors = (batch_tensors){.input = *batch->input, .target = *batch->target, .loss = *loss};
    if (stats != NULL) {
        tensors->stats = *stats;
        tensors->counted = true;
    }
    return MT_OK;
}

static mt_status update(step_queue *queue)
{
    return mt_adam_update(queue->adam, 1.0 / (double)queue->session->config.accumulate);
}

/* Asks for the results of a batch, the newest of the ring. */
static mt_status read_results(step_queue *queue, const batch_tensors *tensors)
{
    mt_device *device = queue->session->device;
    int64_t at = (queue->first + queue->count - 1) % BATCHES;
    int slot = (int)at * SLOTS;
    const pending_batch *batch = &queue->batches[at];
    mt_status status =
        device->read_later(device, slot, tensors->loss.data, mt_tensor_bytes(&tensors->loss));
    if (status == MT_OK && tensors->counted) {
        status = device->read_later(device, slot + 1, tensors->stats.data,
                                    mt_tensor_bytes(&tensors->stats));
    }
    if (status == MT_OK && batch->ends_update) {
        status = device->read_later(device, slot + 2, queue->adam->norm_squared,
                                    sizeof *queue->adam->norm_squared);
    }
    return status;
}

static void add_pending(step_queue *queue, const task_batch *batch, bool counted, bool ends_update,
                        double lr)
{
    queue->batches[(queue->first + queue->count++) % BATCHES] =
        (pending_batch){.update = queue->adam->step + 1,
                        .ends_update = ends_update,
                        .counted = counted,
                        .B = batch->B,
                        .symbols = batch->B * batch->T,
                        .lr = lr};
}

static bool same_place(const mt_tensor *a, const mt_tensor *b)
{
    return a->data == b->data && a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

static recorded_update *find_recorded(step_queue *queue, const task_batch *batch)
{
    for (int i = 0; i < queue->recorded_count; i++) {
        const batch_tensors *tensors = &queue->recorded[i].tensors;
        if (same_place(&tensors->input, batch->input) &&
            same_place(&tensors->target, batch->target)) {
            return &queue->recorded[i];
        }
    }
    return NULL;
}

/* A place for what was not seen before; the oldest makes room. */
static recorded_update *new_recorded(step_queue *queue)
{
    mt_device *device = queue->session->device;
    recorded_update *place = &queue->recorded[queue->next_recorded];
    device->forget(device, place->recording);
    *place = (recorded_update){0};
    queue->next_recorded = (queue->next_recorded + 1) % RECORDINGS;
    queue->recorded_count += queue->recorded_count < RECORDINGS;
    return place;
}

/* Records the update of a batch, without doing it. */
static mt_status record_update(step_queue *queue, const task_batch *batch, recorded_update *place)
{
    mt_device *device = queue->session->device;
    mt_status status = device->record(device);
    if (status != MT_OK) {
        return status;
    }
    status = differentiate(queue, batch, &place->tensors);
    if (status == MT_OK) {
        status = update(queue);
    }
    if (status == MT_OK) {
        return device->recorded(device, &place->recording);
    }
    device->recorded(device, NULL);
    return status;
}

/* The whole update of a batch whose shapes may repeat: done, the first time; recorded the second,
 * when nothing has to be allocated any more; and from then on replayed. */
static mt_status run_recorded(step_queue *queue, const task_batch *batch, batch_tensors *tensors)
{
    mt_device *device = queue->session->device;
    recorded_update *known = find_recorded(queue, batch);
    mt_status status = MT_OK;
    if (known == NULL) {
        known = new_recorded(queue);
        status = differentiate(queue, batch, &known->tensors);
        if (status == MT_OK) {
            status = update(queue);
        }
    } else {
        if (known->recording == NULL) {
            status = record_update(queue, batch, known);
        }
        if (status == MT_OK) {
            status = device->replay(device, known->recording);
        }
    }
    *tensors = known->tensors;
    return status;
}

/* ---- collecting results ---- */

/* Names the parameter that made a loss infinite, if one has values that are not finite. */
static mt_status fail_not_finite(const step_queue *queue, int64_t update_number, double loss)
{
    const mt_parameters *parameters = queue->session->model->parameters;
    for (int i = 0; i < parameters->count; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        int64_t n = mt_tensor_count(tensor);
        double *values = malloc((size_t)n * sizeof *values);
        bool finite = values == NULL || mt_tensor_read_doubles(tensor, values) != MT_OK;
        for (int64_t j = 0; !finite && j < n && isfinite(values[j]); j++) {
            finite = j == n - 1;
        }
        free(values);
        if (!finite) {
            return mt_fail(MT_ERROR_NUMERIC,
                           "step %" PRId64 ": the loss is %g; %s is not finite (lower --lr)",
                           update_number, loss, tensor->name);
        }
    }
    return mt_fail(MT_ERROR_NUMERIC,
                   "step %" PRId64
                   ": the loss is %g, though every parameter is finite: the activations overflow "
                   "(lower --lr, or --dtype f64)",
                   update_number, loss);
}

/* The reals of a slot, as doubles. */
static mt_status slot_doubles(const step_queue *queue, int slot, int count, double *values)
{
    mt_device *device = queue->session->device;
    mt_dtype dtype = queue->session->model->parameters->dtype;
    float narrow[2];
    if (dtype == MT_F64) {
        return device->read_arrived(device, slot, values, (size_t)count * sizeof *values);
    }
    mt_status status = device->read_arrived(device, slot, narrow, (size_t)count * sizeof *narrow);
    for (int i = 0; i < count && status == MT_OK; i++) {
        values[i] = (double)narrow[i];
    }
    return status;
}

static mt_status check_norm(step_queue *queue, const pending_batch *batch, int slot, double *norm)
{
    mt_device *device = queue->session->device;
    double squares, scale = 1.0 / (double)queue->session->config.accumulate;
    mt_status status = device->read_arrived(device, slot, &squares, sizeof squares);
    if (status != MT_OK) {
        return status;
    }
    *norm = scale * sqrt(squares);
    if (isfinite(*norm)) {
        return MT_OK;
    }
    /* Which parameter's gradient it was can be told while no later update has begun. */
    double latest;
    status = queue->updates == 1 ? mt_adam_read_norm(queue->adam, scale, &latest) : MT_OK;
    return status == MT_OK ? mt_fail(MT_ERROR_NUMERIC,
                                     "step %" PRId64 ": the gradient's norm is %g (lower --lr)",
                                     batch->update, *norm)
                           : mt_fail(status, "step %" PRId64 ": %s (lower --lr)", batch->update,
                                     mt_error_message());
}

/* Waits for the oldest batch, and adds it to its update's sums. */
static mt_status collect_batch(step_queue *queue, double *grad_norm)
{
    int slot = (int)queue->first * SLOTS;
    const pending_batch *batch = &queue->batches[queue->first];
    double loss = 0.0, counts[2] = {(double)batch->B, NAN};
    mt_status status = slot_doubles(queue, slot, 1, &loss);
    if (status == MT_OK && batch->counted) {
        status = slot_doubles(queue, slot + 1, 2, counts);
    }
    if (status == MT_OK && !isfinite(loss)) {
        status = fail_not_finite(queue, batch->update, loss);
    }
    if (status == MT_OK && batch->ends_update) {
        status = check_norm(queue, batch, slot + 2, grad_norm);
    }
    queue->sums.loss += loss;
    queue->sums.counted += counts[0];
    queue->sums.hits += counts[1];
    queue->sums.symbols += batch->symbols;
    queue->sums.batches++;
    queue->first = (queue->first + 1) % BATCHES;
    queue->count--;
    return status;
}

mt_status step_collect(step_queue *queue, step_result *result)
{
    bool ended = false;
    mt_status status = MT_OK;
    *result = (step_result){0};
    while (!ended && status == MT_OK) {
        const pending_batch *batch = &queue->batches[queue->first];
        ended = batch->ends_update;
        result->lr = batch->lr;
        status = collect_batch(queue, &result->grad_norm);
    }
    const batch_sums *sums = &queue->sums;
    result->loss = sums->loss / (double)sums->batches;
    result->accuracy = sums->hits / sums->counted;
    result->symbols = sums->symbols;
    queue->sums = (batch_sums){0};
    queue->updates--;
    return status;
}

/* ---- an update ---- */

mt_status step_enqueue(step_queue *queue, double lr)
{
    int64_t accumulate = queue->session->config.accumulate;
    mt_parameters_zero_grad(queue->session->model->parameters);
    mt_status status = mt_adam_set_lr(queue->adam, lr);
    for (int64_t i = 0; i < accumulate && status == MT_OK; i++) {
        task_batch batch;
        batch_tensors tensors;
        bool last = i == accumulate - 1;
        if (queue->count == BATCHES) { /* of this update, which has more than the queue holds */
            status = collect_batch(queue, NULL);
        }
        if (status == MT_OK) {
            status = make_batch(queue, queue->adam->step * accumulate + i, &batch);
        }
        if (status == MT_OK) {
            status = queue->record ? run_recorded(queue, &batch, &tensors)
                                   : differentiate(queue, &batch, &tensors);
        }
        if (status == MT_OK && last && !queue->record) {
            status = update(queue);
        }
        if (status == MT_OK) {
            add_pending(queue, &batch, tensors.counted, last, lr);
            status = read_results(queue, &tensors);
        }
    }
    if (status == MT_OK) {
        queue->adam->step++;
        queue->updates++;
    }
    return status;
}
