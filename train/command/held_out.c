#include "train/command/held_out.h"

#include <string.h>

/* Steps of a batch: with fewer than half as many, products do not repay what they prepare; more
 * leave the caches of the CPU between two operators (docs/performance.md). */
enum { MOST_STEPS = 1024 };

/* ESPnet's rule for its kernel, and so the library's (mt_wkv_check). */
static bool may_go_together(const train_session *session, int64_t rows)
{
    int64_t A = session->model->config.attention_size;
    return rows * A % (A < 32 ? A : 32) == 0;
}

/* Sequences of a batch: those of some batches of training together, or a part of one. */
static int64_t rows_that_serve(const train_session *session, int64_t batches)
{
    int64_t B = session->config.batch, T = session->task->longest(&session->config, session->data);
    bool host = strcmp(mt_device_name(session->device), "cpu") == 0;
    if (!session->task->rows_apart || session->config.carry) {
        return B;
    }
    int64_t together = MOST_STEPS / 2 / T / B, rows = B;
    if (together > 1) {
        return B * (together < batches ? together : batches);
    }
    for (int64_t parts = 2; host && rows * T > MOST_STEPS && parts <= B; parts++) {
        rows = B % parts == 0 && may_go_together(session, B / parts) ? B / parts : rows;
    }
    return rows;
}

void held_out_begin(train_session *session, held_out *held)
{
    int64_t B = session->config.batch;
    int64_t batches = session->task->valid_batches(&session->config, session->data);
    memset(held, 0, sizeof *held);
    held->of = (session_batches){session, VALID};
    held->config = session->config;
    held->rows = rows_that_serve(session, batches);
    if (held->rows >= B) {
        int64_t together = held->rows / B;
        held->whole = batches / together;
        held->rest = held->whole * together;
        held->batches = held->whole + batches - held->rest;
        return;
    }
    held->config.batch = held->rows;
    held->config.eval_batches = batches * (B / held->rows);
    held->whole = session->task->valid_batches(&held->config, session->data);
    held->batches = held->whole;
}

static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    held_out *held = context;
    const train_session *session = held->of.session;
    bool is_whole = index < held->whole;
    if (session->ending != NULL && *session->ending != 0) {
        mt_tape_fail(tape, mt_fail(MT_ERROR_INVALID, "interrupted"));
        return;
    }
    if (session->progress != NULL) {
        progress_validate(session->progress, index, held->batches);
    }
    held->config.batch = is_whole ? held->rows : session->config.batch;
    int64_t number = is_whole ? index : held->rest + index - held->whole;
    mt_status status =
        session->task->make(&held->config, session->data, tape, VALID, number, batch);
    if (status != MT_OK) {
        mt_tape_fail(tape, status);
    }
}

mt_objective held_out_objective(held_out *held)
{
    return (mt_objective){put, session_loss, held, held->of.session->carried};
}

mt_status session_evaluate(train_session *session, mt_trainer *trainer, mt_evaluation *found)
{
    held_out held;
    held_out_begin(session, &held);
    mt_objective objective = held_out_objective(&held);
    mt_status status = trainer != NULL
                           ? mt_trainer_evaluate(trainer, &objective, held.batches, found)
                           : mt_evaluate(session->tape, &objective, held.batches, found);
    if (session->progress != NULL) {
        progress_clear(session->progress);
    }
    return status;
}
