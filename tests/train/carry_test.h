/* What the tests of carried state share: documents in rows, the model that is trained on them, and
 * a run. */
#ifndef MT_TESTS_TRAIN_CARRY_TEST_H
#define MT_TESTS_TRAIN_CARRY_TEST_H

#include <mixtape/carried.h>
#include <mixtape/model.h>
#include <mixtape/operators.h>
#include <mixtape/random.h>
#include <mixtape/trainer.h>

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { B = 4, L = 3, VOCAB = 7, WINDOWS_OF_DOCUMENT = 5, MOST_UPDATES = 16, MOST_VALUES = 8192 };

/* A run: what is put on the tape, and what became of it. */
typedef struct carry_run {
    mt_model *model;
    int64_t joined;   /* windows of a batch that is put: 1, or more that are one long one */
    bool endless;     /* no row begins after the first batch; else documents end, and are padded */
    bool uncounted;   /* the loss tells no counts */
    int64_t bad;      /* the window whose loss is not finite; -1: none */
    int64_t lost;     /* the window that carries on what is not finite; -1: none */
    int64_t left_out; /* the window that is not there, those behind it one earlier; -1: none */
    bool begins[B];

    int count;
    mt_update updates[MOST_UPDATES];
    char skipped[512];
    mt_trainer *trainer;
    const char *save_path; /* saved behind update `save_at`, */
    int64_t save_at;
    bool saves; /* by this rank */
} carry_run;

static const carry_run plain_run = {.joined = 1, .bad = -1, .lost = -1, .left_out = -1};

/* Window w of row b: documents of WINDOWS_OF_DOCUMENT windows, the last of which is short, begin at
 * a place of each row's own. */
static inline bool is_first(const carry_run *run, int64_t w, int64_t b)
{
    return w == 0 || (!run->endless && (w + b) % WINDOWS_OF_DOCUMENT == 0);
}

static inline int64_t length_of(const carry_run *run, int64_t w, int64_t b)
{
    bool ends = !run->endless && (w + b) % WINDOWS_OF_DOCUMENT == WINDOWS_OF_DOCUMENT - 1;
    return ends ? 1 + b % L : L;
}

/* Windows 4 and 5 have no targets at all. */
static inline void fill_window(const carry_run *run, int64_t w, int64_t b, int32_t *input,
                               int32_t *target)
{
    mt_random random = mt_random_make(9, (uint64_t)(w * B + b));
    for (int64_t t = 0; t < L; t++) {
        bool counts = t < length_of(run, w, b) && w / 2 != 2 && (t + b + w) % 4 != 0;
        input[t] = t < length_of(run, w, b) ? (int32_t)mt_random_below(&random, VOCAB) : 0;
        target[t] = counts ? (int32_t)mt_random_below(&random, VOCAB) : -1;
    }
}

static inline void carry_put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    carry_run *run = context;
    int64_t steps = run->joined * L, first = index * run->joined;
    int32_t input[B * 8 * L], target[B * 8 * L];
    double flag[2] = {0.0, 0.0}, flags[B][2];
    first += run->left_out >= 0 && first >= run->left_out;
    for (int64_t b = 0; b < B; b++) {
        for (int64_t k = 0; k < run->joined; k++) {
            int64_t at = b * steps + k * L;
            fill_window(run, first + k, b, input + at, target + at);
        }
        run->begins[b] = is_first(run, first, b);
    }
    flag[0] = first == run->bad ? (double)INFINITY : 0.0;
    flag[1] = first == run->lost ? (double)INFINITY : 0.0;
    for (int64_t b = 0; b < B; b++) { /* of the last row alone */
        flags[b][0] = b == B - 1 ? flag[0] : 0.0;
        flags[b][1] = b == B - 1 ? flag[1] : 0.0;
    }
    batch->input = mt_tape_labels(tape, B, steps, input);
    batch->target = mt_tape_labels(tape, B, steps, target);
    batch->begins = first == 0 || !run->endless ? run->begins : NULL;
    if (run->model->dtype == MT_F64) {
        batch->others[0] = mt_tape_rows(tape, MT_F64, B, 2, flags);
    } else {
        float narrow[B][2];
        for (int64_t i = 0; i < B * 2; i++) {
            narrow[i / 2][i % 2] = (float)flags[i / 2][i % 2];
        }
        batch->others[0] = mt_tape_rows(tape, MT_F32, B, 2, narrow);
    }
}

static inline mt_tensor *carry_loss(void *context, mt_tape *tape, const mt_batch *batch,
                                    mt_tensor **counts)
{
    const carry_run *run = context;
    mt_tensor *flags = batch->others[0], *loss;
    mt_tensor *output =
        batch->carried != NULL
            ? mt_model_decode_carried(tape, run->model, batch->input, batch->carried, true)
            : mt_model_decode(tape, run->model, batch->input, NULL, true);
    loss = mt_model_cross_entropy(tape, run->model, output, batch->target, -1, 0.1,
                                  run->uncounted ? NULL : counts);
    if (batch->carried != NULL) { /* the first channel of each row is one that may be lost */
        mt_tensor *state = *batch->carried;
        int64_t width = state != NULL ? state->shape[1] : 2;
        mt_tensor *parts[] = {
            mt_add(tape, mt_slice(tape, state, 1, 0, 1), mt_slice(tape, flags, 1, 1, 1)),
            mt_slice(tape, state, 1, 1, width - 1)};
        *batch->carried = mt_concatenate(tape, 1, 2, parts);
    }
    mt_tensor *bad = mt_sum(tape, mt_slice(tape, flags, 1, 0, 1));
    return mt_add(tape, mt_view(tape, loss, 0, NULL), bad);
}

static inline mt_model *carry_model(mt_device *device, mt_dtype dtype, double dropout)
{
    mt_model_config config = mt_model_config_default(VOCAB, 8);
    mt_model *model;
    config.num_blocks = 3;
    config.padding_index = -1;
    config.embed_dropout = config.att_dropout = config.ffn_dropout = dropout;
    ck_assert_msg(mt_model_create(device, dtype, &config, 3, &model) == MT_OK, "%s",
                  mt_error_message());
    return model;
}

static inline mt_trainer_config carry_config(int64_t accumulate, int64_t windows)
{
    mt_trainer_config config = mt_trainer_config_default();
    config.schedule.lr = 0.01;
    config.accumulate = accumulate;
    config.windows = windows;
    return config;
}

/* With what is carried, or without. */
static inline mt_status carry_open(carry_run *run, const mt_trainer_config *config, bool carries)
{
    mt_objective objective = {.put = carry_put, .loss = carry_loss, .context = run};
    mt_status status = carries ? mt_carried_of_model(run->model, B, &objective.carried) : MT_OK;
    if (status == MT_OK) {
        status = mt_trainer_create(run->model->parameters, config, &objective, &run->trainer);
    }
    mt_carried_free(&objective.carried);
    if (status == MT_OK) {
        status = mt_trainer_describe(run->trainer, run->model, NULL, NULL);
    }
    return status;
}

static inline mt_status carry_note(void *context, const mt_update *update)
{
    carry_run *run = context;
    run->updates[run->count++] = *update;
    if (update->skipped != NULL) {
        snprintf(run->skipped, sizeof run->skipped, "%s", update->skipped);
        run->updates[run->count - 1].skipped = NULL; /* of memory that ends */
    }
    return update->step == run->save_at && run->saves
               ? mt_trainer_save(run->trainer, run->save_path)
               : MT_OK;
}

/* Losses of windows of their own are the mean over what is counted. */
static inline double near_to(double found, double expected)
{
    return fabs(found - expected) / (1.0 + fabs(expected));
}

#endif
