#include "train/command/dry_run.h"

#include "autograd/observe.h"
#include "io/arrays.h"
#include "kernels/dry.h"
#include "train/command/held_out.h"
#include "train/command/loop_internal.h"
#include "train/windows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes, each with those before it. */
typedef struct run_memory {
    size_t model; /* parameters, gradients and moments; and what is carried */
    size_t step;
    size_t validation;
} run_memory;

/* Batches whose shapes differ leave a tape larger than the longest alone would: as many as this are
 * tried. */
enum { MOST_VARIED = 256 };

typedef struct counted_batches {
    session_batches of; /* first: the context of the session's own loss */
    mt_objective objective;
    int64_t rows;   /* sequences of a batch */
    int64_t varied; /* batches as the run has them; those from there on are the longest */
} counted_batches;

/* A batch of the longest sequences that there are, of no values. */
static void put_longest(const train_session *session, int64_t B, mt_tape *tape, mt_batch *batch)
{
    const run_config *config = &session->config;
    int64_t T = session->task->longest(config, session->data);
    if (session->task->regression) {
        int64_t features = session->model->config.input_size;
        batch->input = mt_tape_sequence(tape, config->dtype, B, T, features, NULL);
        batch->target = mt_tape_rows(tape, config->dtype, B, 1, NULL);
    } else {
        batch->input = mt_tape_labels(tape, B, T, NULL);
        batch->target = mt_tape_labels(tape, B, T, NULL);
    }
}

static bool is_on_host(const train_session *session)
{
    return strcmp(mt_device_name(session->device), "cpu") == 0;
}

static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    counted_batches *batches = context;
    if (index < batches->varied) {
        batches->objective.put(batches->objective.context, tape, index, batch);
    } else {
        put_longest(batches->of.session, batches->rows, tape, batch);
    }
}

/* How many batches of so many are tried as they are. */
static int64_t varied_of(const train_session *session, int64_t batches)
{
    int64_t tried = batches < MOST_VARIED ? batches : MOST_VARIED;
    return session->task->transcripts ? tried : 0;
}

/* The host's memory is taken when it is touched, a device's when it is allocated. */
static size_t taken(const train_session *session, mt_tape *tape)
{
    size_t untouched = is_on_host(session) ? mt_tape_untouched(tape) : 0;
    return mt_dry_most(session->device) - untouched;
}

/* A batch of a validation, whose results nobody asks for. */
static mt_status evaluate(const mt_objective *objective, mt_tape *tape, int64_t index,
                          mt_tensor *table, int32_t *scratch)
{
    window put;
    windows of = {.objective = objective, .count = 1, .items = &put};
    mt_tensor *loss, *counts, *carried_on;
    mt_tape_reset(tape);
    mt_status status = window_put(objective, tape, index, &put);
    if (status == MT_OK) {
        status = window_put_rows(objective, tape, 0, objective->carried.rows, scratch, &put);
    }
    return status == MT_OK ? windows_loss(&of, tape, table, &loss, &counts, &carried_on) : status;
}

static mt_status validate(train_session *session, mt_tape *tape)
{
    held_out held;
    held_out_begin(session, &held);
    counted_batches batches = {.of = held.of,
                               .objective = held_out_objective(&held),
                               .rows = held.rows,
                               .varied = varied_of(session, held.batches)};
    const mt_objective objective = {put, session_loss, &batches, session->carried};
    mt_tensor table;
    int32_t *scratch = calloc((size_t)held.rows, sizeof *scratch);
    mt_status status =
        scratch != NULL ? carried_table_make(session->device, &session->carried, held.rows, &table)
                        : mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " rows", held.rows);
    bool made = status == MT_OK, recording = mt_tape_set_recording(tape, false);
    for (int64_t i = 0; i <= batches.varied && status == MT_OK; i++) {
        status = evaluate(&objective, tape, i, &table, scratch);
    }
    mt_tape_set_recording(tape, recording);
    if (made) {
        carried_table_free(&table);
    }
    free(scratch);
    return status;
}

static mt_status run(train_session *session, run_memory *memory)
{
    mt_trainer *trainer;
    mt_trainer_config config = loop_trainer_config(&session->config);
    counted_batches batches = {.of = {session, TRAIN},
                               .objective = session_objective(session),
                               .rows = session->config.batch,
                               .varied = varied_of(session, session->config.steps)};
    const mt_objective objective = {put, session_loss, &batches, session->carried};
    config.accumulate = config.accumulate < 2 ? 1 : 2; /* the others are as the second */
    mt_status status = mt_trainer_create(session_trained(session), &config, &objective, &trainer);
    if (status != MT_OK) {
        return status;
    }
    mt_tape *tape = mt_trainer_tape(trainer);
    memory->model = taken(session, tape);
    status = mt_trainer_run(trainer, batches.varied + 1, NULL, NULL);
    memory->step = taken(session, tape);
    if (status == MT_OK) {
        status = validate(session, tape);
    }
    memory->validation = taken(session, tape);
    mt_trainer_destroy(trainer);
    return status;
}

/* Bytes that a file of the system tells, in KiB behind a name; 0: it does not. */
static size_t told_by_system(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
    char line[128];
    unsigned long long kib = 0;
    while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL) {
        kib = strncmp(line, name, strlen(name)) == 0 ? strtoull(line + strlen(name), NULL, 10) : 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return (size_t)kib * 1024;
}

/* What the C library, OpenBLAS, and HDF5 take of the host when they begin to work: found of runs
 * whose models are too small to count, 6 to 11 MB, as what of their files is in memory varies. */
enum { LIBRARIES = 8000000 };

/* What the program has of the host now, with its data; 0: the system does not tell. */
static size_t held_by_program(void)
{
    return told_by_system("/proc/self/status", "VmRSS:");
}

/* What the system could give to another such program in the place of this one, without swapping. */
static size_t available(void)
{
    size_t left = told_by_system("/proc/meminfo", "MemAvailable:");
    return left > 0 ? left + held_by_program() : 0;
}

/* What a run takes of the host beside all that is counted, where that is on the host: the program
 * with its data, and its libraries at work. */
static size_t taken_by_program(const train_session *session)
{
    size_t now = is_on_host(session) ? held_by_program() : 0;
    return now > 0 ? now + LIBRARIES : 0;
}

/* What rows carry, kept by the trainer: for the next update, and of one of several batches for the
 * next of these. */
static size_t taken_by_rows(const train_session *session)
{
    const mt_carried *carried = &session->carried;
    size_t row = (size_t)carried->width * mt_dtype_size(carried->dtype);
    size_t table = (size_t)(carried->rows + 1) * row;
    return session->config.accumulate > 1 ? 2 * table : table;
}

/* Of the host's memory: a checkpoint that is written beside the run is a copy of the parameters and
 * their two moments; one that the run waits for is written a piece at a time, while the next one is
 * filled. What rows carry is fetched first. */
static size_t taken_by_save(const train_session *session)
{
    const run_config *config = &session->config;
    const mt_parameters *parameters = session_trained(session);
    const mt_carried *carried = &session->carried;
    size_t rows = (size_t)(carried->rows * carried->width) * mt_dtype_size(carried->dtype);
    size_t largest = 0, all = 0;
    for (int i = 0; i < parameters->count; i++) {
        size_t bytes = mt_tensor_bytes(&parameters->items[i]->tensor);
        largest = bytes > largest ? bytes : largest;
        all += bytes;
    }
    bool beside = config->save_every > 0 && config->save_every < config->steps;
    size_t piece = largest < MT_PIECE_BYTES ? largest : MT_PIECE_BYTES;
    return (beside ? 3 * all : 0) + 2 * piece + (beside ? 2 : 1) * rows;
}

static void print_row(size_t bytes, const char *what)
{
    printf("%12.1f MB %s\n", 1e-6 * (double)bytes, what);
}

static void print_step(const train_session *session, size_t bytes)
{
    const run_config *config = &session->config;
    char text[128], times[32] = "";
    bool several = config->carry && config->carry_gradient > 1;
    if (several) {
        snprintf(times, sizeof times, "%" PRId64 " times ", config->carry_gradient);
    }
    snprintf(text, sizeof text, "a step of %" PRId64 " by %s%" PRId64 "%s", config->batch, times,
             session->task->longest(config, session->data),
             several || config->model.recompute ? ", recomputed" : "");
    print_row(bytes, text);
}

static void describe_parameters(const train_session *session, char *text, size_t size)
{
    int64_t trained = mt_parameters_size(session_trained(session));
    if (session->model->adapter == NULL) {
        snprintf(text, size, "%" PRId64 " parameters, their gradients and two moments", trained);
    } else {
        snprintf(text, size,
                 "%" PRId64 " parameters that stay; %" PRId64 ", their gradients and two moments",
                 mt_parameters_size(session->model->parameters), trained);
    }
}

static void print(const train_session *session, const run_memory *memory)
{
    const run_config *config = &session->config;
    bool host = is_on_host(session);
    size_t save = taken_by_save(session), program = taken_by_program(session);
    size_t most = memory->validation + program;
    char text[128];
    most += host ? save : 0;
    printf("%.1f MB at most on %s:\n", 1e-6 * (double)most, mt_device_name(session->device));
    describe_parameters(session, text, sizeof text);
    size_t rows = config->carry ? taken_by_rows(session) : 0;
    print_row(memory->model - rows, text);
    if (rows > 0) {
        snprintf(text, sizeof text, "what %" PRId64 " rows carry", config->batch);
        print_row(rows, text);
    }
    print_step(session, memory->step - memory->model);
    print_row(memory->validation - memory->step, "a validation beside that");
    print_row(save, host ? "a save beside that" : "a save, of the host's memory");
    if (program > 0) {
        print_row(program, "the program itself");
    }
    size_t left = host ? available() : 0;
    if (left > 0) {
        printf("the system has %.1f MB%s\n", 1e-6 * (double)left,
               most > left ? ", which is too little" : "");
    }
}

mt_status dry_run(train_session *session)
{
    run_memory memory;
    mt_status status = run(session, &memory);
    if (status == MT_OK) {
        print(session, &memory);
    }
    return status;
}
