#include "autograd/observe.h"
#include "layers/layer.h"
#include "train/trainer_internal.h"

#include <mixtape/operators.h>

#include <inttypes.h>
#include <string.h>

/* Says which update an error is of. */
static mt_status of_update(const mt_trainer *trainer, mt_status status)
{
    return status == MT_OK ? MT_OK
                           : mt_fail(status, "step %" PRId64 ": %s", trainer_begun(trainer) + 1,
                                     mt_error_message());
}

/* Dropout counts with the numbers of a seed that initial values leave. */
static mt_status put_windows(mt_trainer *trainer, int64_t number, bool shares)
{
    windows *of = &trainer->at_hand;
    const mt_communicator *communicator = trainer->config.communicator;
    const mt_carried *carried = &trainer->objective.carried;
    int64_t rows = shares ? trainer->carried.rows : carried->rows;
    int64_t first = shares ? mt_communicator_rank(communicator) * rows : 0;
    mt_status status =
        mt_tape_set_random(trainer->tape, ~trainer->config.seed, (uint64_t)(number * of->count));
    for (int64_t k = 0; k < of->count && status == MT_OK; k++) {
        window *put = &of->items[k];
        status = window_put(of->objective, trainer->tape, number * of->count + k, put);
        if (status == MT_OK && shares) {
            status = trainer_take_share(trainer, &put->batch);
        }
        if (status == MT_OK) {
            status = window_put_rows(of->objective, trainer->tape, first, rows,
                                     trainer->carried.scratch, put);
        }
    }
    return status;
}

mt_status trainer_put_batch(mt_trainer *trainer, int64_t number, bool whole)
{
    bool shares = trainer_shares(trainer) && !whole;
    mt_tape_reset(trainer->tape);
    mt_tape_set_rank(trainer->tape,
                     shares ? mt_communicator_rank(trainer->config.communicator) : 0);
    return put_windows(trainer, number, shares);
}

int64_t trainer_symbols_at_hand(const mt_trainer *trainer)
{
    int64_t symbols = 0;
    for (int64_t k = 0; k < trainer->at_hand.count; k++) {
        const mt_tensor *input = trainer->at_hand.items[k].batch.input;
        symbols += input->shape[0] * input->shape[1];
    }
    return symbols;
}

static void keep(const mt_tensor *tensor, mt_tensor *kept)
{
    *kept = tensor != NULL ? *tensor : (mt_tensor){.data = NULL};
}

/* Forward and backward, from what the batch before it carried on. */
static mt_status differentiate(mt_trainer *trainer, mt_tensor *table, batch_results *results,
                               mt_tensor **carried_on)
{
    mt_tensor *loss, *counts;
    mt_status status =
        windows_loss(&trainer->at_hand, trainer->tape, table, &loss, &counts, carried_on);
    if (status == MT_OK) {
        status = mt_backward(trainer->tape, loss);
    }
    if (status == MT_OK) {
        status = mt_adam_watch(trainer->adam, loss);
    }
    if (status == MT_OK) {
        status = trainer_carried_watch(trainer, *carried_on);
    }
    if (status == MT_OK) {
        keep(loss, &results->loss);
        keep(counts, &results->counts);
        results->symbols = trainer_symbols_at_hand(trainer);
    }
    return status;
}

/* The update itself, behind the last of its batches; else what that batch carries on is handed to
 * the next. */
static mt_status apply(mt_trainer *trainer, bool last, const mt_tensor *carried_on)
{
    if (!last) {
        return trainer_carried_pass(trainer, carried_on);
    }
    mt_status status = mt_adam_update(trainer->adam, 1.0 / (double)trainer->config.accumulate);
    if (trainer_splits(trainer)) { /* by all ranks, one that has failed, too */
        mt_status spread = trainer_spread_parts(trainer);
        status = status == MT_OK ? spread : status;
    }
    return status == MT_OK ? trainer_carried_keep(trainer, carried_on) : status;
}

static mt_status differentiate_and_apply(mt_trainer *trainer, bool first, bool last,
                                         batch_results *results)
{
    mt_tensor *carried_on = NULL;
    mt_status status =
        differentiate(trainer, trainer_carried_before(trainer, first), results, &carried_on);
    return status == MT_OK ? apply(trainer, last, carried_on) : status;
}

/* ---- updates of several ranks ---- */

/* A number that all ranks know, as a scalar to be watched or shown; `second` too, where it is one
 * of two. */
static mt_tensor *shown_reals(mt_tape *tape, mt_dtype dtype, int rank, double first, double second)
{
    const double doubles[] = {first, second};
    const float floats[] = {(float)first, (float)second};
    return mt_tape_input(tape, dtype, rank, (int64_t[]){2},
                         dtype == MT_F64 ? (const void *)doubles : floats, false);
}

/* Backward of what this rank's share of a batch is to its mean loss, which all show. */
static mt_status differentiate_share(mt_trainer *trainer, const batch_vote *whole, mt_tensor *loss,
                                     bool counted, batch_results *results)
{
    mt_tape *tape = trainer->tape;
    mt_dtype dtype = loss->dtype;
    mt_tensor *shown = shown_reals(tape, dtype, 0, whole->loss, 0.0);
    mt_tensor *counts = counted ? shown_reals(tape, dtype, 1, whole->counted, whole->hits) : NULL;
    mt_tensor *carried = shown_reals(tape, dtype, 0, whole->carried, 0.0);
    mt_status status = mt_backward(tape, mt_scale(tape, loss, whole->share));
    if (status == MT_OK) {
        status = mt_adam_watch(trainer->adam, shown);
    }
    if (status == MT_OK) {
        status = mt_adam_watch(trainer->adam, carried);
    }
    if (status == MT_OK) {
        keep(shown, &results->loss);
        keep(counts, &results->counts);
        results->symbols =
            trainer_symbols_at_hand(trainer) * mt_communicator_size(trainer->config.communicator);
    }
    return status;
}

/* The same for a share of a batch, which may have failed with `status`; where it is the last of an
 * update, with the sum of all gradients. */
static mt_status run_shared(mt_trainer *trainer, mt_status status, bool first, bool last,
                            batch_results *results)
{
    mt_tape *tape = trainer->tape;
    mt_tensor *loss = NULL, *counts = NULL, *carried_on = NULL;
    batch_vote whole;
    if (status == MT_OK) {
        grad_pieces_count(trainer->pieces, tape);
        status = windows_loss(&trainer->at_hand, tape, trainer_carried_before(trainer, first),
                              &loss, &counts, &carried_on);
        mt_tape_observe(tape, NULL, NULL);
    }
    status = trainer_vote(trainer, status, loss, counts, carried_on, &whole);
    if (status != MT_OK || loss == NULL) {
        return status;
    }
    if (last) {
        grad_pieces_begin(trainer->pieces, tape);
    }
    status = differentiate_share(trainer, &whole, loss, counts != NULL, results);
    if (last) {
        status = grad_pieces_end(trainer->pieces, tape, status);
    }
    status = trainer_agree(trainer, status);
    return status == MT_OK ? apply(trainer, last, carried_on) : status;
}

/* ---- recorded updates ---- */

static bool same_place(const mt_tensor *kept, const mt_tensor *tensor)
{
    return tensor == NULL ? kept->data == NULL
                          : kept->data == tensor->data && kept->dtype == tensor->dtype &&
                                kept->rank == tensor->rank &&
                                memcmp(kept->shape, tensor->shape, sizeof kept->shape) == 0;
}

static bool same_window(const window_places *kept, const window *at)
{
    bool same = same_place(&kept->input, at->batch.input) &&
                same_place(&kept->target, at->batch.target) && same_place(&kept->rows, at->rows);
    for (int i = 0; i < MT_BATCH_OTHERS; i++) {
        same = same && same_place(&kept->others[i], at->batch.others[i]);
    }
    return same;
}

static recorded_update *find_recorded(mt_trainer *trainer)
{
    const windows *at_hand = &trainer->at_hand;
    for (int i = 0; i < trainer->recorded_count; i++) {
        bool same = true;
        for (int64_t k = 0; k < at_hand->count && same; k++) {
            same = same_window(&trainer->recorded[i].places[k], &at_hand->items[k]);
        }
        if (same) {
            return &trainer->recorded[i];
        }
    }
    return NULL;
}

static void keep_places(const windows *at_hand, window_places *places)
{
    for (int64_t k = 0; k < at_hand->count; k++) {
        const mt_batch *batch = &at_hand->items[k].batch;
        keep(batch->input, &places[k].input);
        keep(batch->target, &places[k].target);
        keep(at_hand->items[k].rows, &places[k].rows);
        for (int i = 0; i < MT_BATCH_OTHERS; i++) {
            keep(batch->others[i], &places[k].others[i]);
        }
    }
}

/* A place for what was not seen before; the oldest makes room. */
static recorded_update *new_recorded(mt_trainer *trainer)
{
    recorded_update *place = &trainer->recorded[trainer->next_recorded];
    trainer->device->forget(trainer->device, place->recording);
    *place = (recorded_update){.places = trainer->places +
                                         trainer->next_recorded * trainer->at_hand.count};
    trainer->next_recorded = (trainer->next_recorded + 1) % RECORDINGS;
    trainer->recorded_count += trainer->recorded_count < RECORDINGS;
    keep_places(&trainer->at_hand, place->places);
    return place;
}

/* Records the update of a batch, without doing it. */
static mt_status record_update(mt_trainer *trainer, recorded_update *place)
{
    mt_device *device = trainer->device;
    mt_status status = device->record(device);
    if (status != MT_OK) {
        return status;
    }
    status = differentiate_and_apply(trainer, true, true, &place->results);
    if (status == MT_OK) {
        return device->recorded(device, &place->recording);
    }
    device->recorded(device, NULL);
    return status;
}

/* The whole update of a batch whose shapes may repeat: done, the first time; recorded the second,
 * when nothing has to be allocated any more; and from then on replayed. */
static mt_status run_recorded(mt_trainer *trainer, batch_results *results)
{
    recorded_update *known = find_recorded(trainer);
    mt_status status = MT_OK;
    if (known == NULL) {
        known = new_recorded(trainer);
        status = differentiate_and_apply(trainer, true, true, &known->results);
    } else {
        if (known->recording == NULL) {
            status = record_update(trainer, known);
        }
        if (status == MT_OK) {
            status = trainer->device->replay(trainer->device, known->recording);
        }
    }
    *results = known->results;
    return status;
}

/* An update of several batches is not recorded: its first batch does other work than the rest. */
static bool records(const mt_trainer *trainer)
{
    return trainer->config.record && trainer->config.accumulate == 1 &&
           trainer->device->record != NULL;
}

/* ---- an update ---- */

static mt_status enqueue_batch(mt_trainer *trainer, int64_t number, bool first, bool last,
                               double lr)
{
    batch_results results;
    mt_status status = trainer_put_batch(trainer, number, false);
    trainer->lacks_batch = status != MT_OK && status != MT_ERROR_DEVICE;
    if (trainer_shares(trainer)) {
        status = run_shared(trainer, status, first, last, &results);
    } else if (status == MT_OK) {
        status = records(trainer) ? run_recorded(trainer, &results)
                                  : differentiate_and_apply(trainer, first, last, &results);
    }
    return status == MT_OK ? trainer_read_later(trainer, &results, last, lr)
                           : of_update(trainer, status);
}

/* Forgets the batches of an update that lacks another: but for their gradients, which the next
 * update does not take, they changed nothing. `count` is that of the ring before them. */
static void take_back(mt_trainer *trainer, int64_t count)
{
    trainer->count = count;
    if (trainer->updates == 0) { /* else there was room, and none of them was collected */
        trainer->sums = (batch_sums){0};
    }
}

mt_status trainer_enqueue(mt_trainer *trainer)
{
    int64_t accumulate = trainer->config.accumulate, begun = trainer_begun(trainer);
    int64_t count = trainer->count;
    trainer->lacks_batch = false;
    trainer->carried.is_gathered = false; /* what is kept changes, by a replay, too */
    double lr = mt_schedule_lr(&trainer->config.schedule, begun + 1);
    mt_parameters_renew_grad(trainer->parameters);
    mt_status status = mt_adam_set_lr(trainer->adam, lr);
    for (int64_t i = 0; i < accumulate && status == MT_OK; i++) {
        if (trainer->count == BATCHES) { /* of this update, which has more than the ring holds */
            status = trainer_collect_batch(trainer, NULL);
        }
        if (status == MT_OK) {
            status =
                enqueue_batch(trainer, begun * accumulate + i, i == 0, i == accumulate - 1, lr);
        }
    }
    if (status == MT_OK) {
        trainer->adam->step++;
        trainer->updates++;
    } else if (trainer->lacks_batch) {
        take_back(trainer, count);
    }
    return status;
}
