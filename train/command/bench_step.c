#include <mixtape/trainer.h>

#include "train/command/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct step_bench {
    const bench_step_shape *shape;
    mt_device *device;
    mt_model *model;
    mt_trainer *trainer;
    int32_t *labels;

    /* Of matrix products alone: their factors, and what most of them make. */
    mt_tape *tape;
    mt_tensor *x, *dy, *result;
} step_bench;

static void put_labels(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)index; /* every batch is the same */
    const step_bench *bench = context;
    batch->input = mt_tape_labels(tape, bench->shape->B, bench->shape->T, bench->labels);
}

static mt_tensor *loss_of_labels(void *context, mt_tape *tape, const mt_batch *batch,
                                 mt_tensor **counts)
{
    (void)counts;
    const step_bench *bench = context;
    mt_tensor *output = mt_model_decode(tape, bench->model, batch->input, NULL, true);
    return mt_model_cross_entropy(tape, bench->model, output, batch->input, -1, 0.0, NULL);
}

static mt_status open_trainer(step_bench *bench, bool record)
{
    mt_trainer_config config = mt_trainer_config_default();
    const mt_objective objective = {put_labels, loss_of_labels, bench};
    config.record = record;
    return mt_trainer_create(bench->model->parameters, &config, &objective, &bench->trainer);
}

static void close_trainer(step_bench *bench)
{
    mt_trainer_destroy(bench->trainer);
    bench->trainer = NULL;
}

/* The update is not waited for, but an older one where the trainer has no room. */
static mt_status train_step(void *context)
{
    step_bench *bench = context;
    mt_update update;
    mt_status status = MT_OK;
    if (!mt_trainer_has_room(bench->trainer)) {
        status = mt_trainer_finish(bench->trainer, &update);
    }
    return status == MT_OK ? mt_trainer_begin(bench->trainer) : status;
}

static bool is_multiplied(const step_bench *bench, const mt_tensor *weight)
{
    return weight->rank == 2 && weight != bench->model->embed;
}

/* Of the products' rows: as many numbers as the widest of them has. */
static int64_t widest_row(const step_bench *bench)
{
    const mt_parameters *parameters = bench->model->parameters;
    int64_t widest = 0;
    for (int i = 0; i < parameters->count; i++) {
        const mt_tensor *weight = &parameters->items[i]->tensor;
        for (int d = 0; d < 2 && is_multiplied(bench, weight); d++) {
            widest = weight->shape[d] > widest ? weight->shape[d] : widest;
        }
    }
    return widest;
}

/* N rows of random numbers in [-1, 1). */
static mt_tensor *random_rows(const step_bench *bench, int64_t N, int64_t C, uint64_t stream)
{
    mt_dtype wide = mt_dtype_wide(bench->shape->dtype);
    mt_random random = mt_random_make(9, stream);
    void *reals = malloc((size_t)(N * C) * mt_dtype_size(wide));
    if (reals == NULL) {
        return mt_tape_fail(bench->tape, mt_fail(MT_ERROR_MEMORY, "bench: no memory for rows"));
    }
    for (int64_t i = 0; i < N * C; i++) {
        double number = 2.0 * mt_random_uniform(&random) - 1.0;
        if (wide == MT_F64) {
            ((double *)reals)[i] = number;
        } else {
            ((float *)reals)[i] = (float)number;
        }
    }
    mt_tensor *rows = mt_tape_rows(bench->tape, wide, N, C, reals);
    free(reals);
    return mt_cast(bench->tape, rows, bench->shape->dtype);
}

/* What is multiplied stays as it is: results that were factors again would shrink, until they are
 * numbers of which a processor takes many times as long. */
static mt_status open_products(step_bench *bench)
{
    int64_t N = bench->shape->B * bench->shape->T, C = widest_row(bench);
    mt_status status = mt_tape_create(bench->device, &bench->tape);
    if (status != MT_OK) {
        return status;
    }
    bench->x = random_rows(bench, N, C, 1);
    bench->dy = random_rows(bench, N, C, 2);
    bench->result =
        mt_tape_input(bench->tape, bench->shape->dtype, 2, (int64_t[]){N, C}, NULL, false);
    return mt_tape_status(bench->tape);
}

/* The matrix products of a step, each by itself, and nothing else: what the rest is measured
 * against. */
static mt_status matrix_products(void *context)
{
    const step_bench *bench = context;
    mt_device *device = bench->device;
    const mt_parameters *parameters = bench->model->parameters;
    const void *x = bench->x->data, *dy = bench->dy->data;
    void *result = bench->result->data;
    int64_t N = bench->shape->B * bench->shape->T;
    for (int i = 0; i < parameters->count; i++) {
        const mt_tensor *weight = &parameters->items[i]->tensor;
        if (!is_multiplied(bench, weight)) {
            continue;
        }
        int64_t out = weight->shape[0], in = weight->shape[1];
        const void *W = weight->narrow != NULL ? weight->narrow : weight->data;
        const mt_matmul_args products[] = {
            {false, true, N, out, in, 1.0, 0.0, x, W, result},   /* y = x W^T */
            {false, false, N, in, out, 1.0, 0.0, dy, W, result}, /* dx = dy W */
            {true, false, out, in, N, 1.0, 0.0, dy, x, weight->grad,
             .wide = true}, /* dW = dy^T x */
        };
        for (int p = 0; p < 3; p++) {
            mt_status status = device->kernels[bench->shape->dtype]->matmul(device, &products[p]);
            if (status != MT_OK) {
                return status;
            }
        }
    }
    return MT_OK;
}

static mt_status open_step(mt_device *device, const bench_step_shape *shape, step_bench *bench)
{
    *bench = (step_bench){.shape = shape, .device = device};
    int64_t n = shape->B * shape->T;
    mt_model_config config = mt_model_config_default(shape->vocabulary, shape->size);
    config.num_blocks = shape->blocks;
    bench->labels = malloc((size_t)n * sizeof *bench->labels);
    if (bench->labels == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "bench: no memory for labels");
    }
    mt_random random = mt_random_make(9, 0);
    for (int64_t i = 0; i < n; i++) {
        bench->labels[i] = (int32_t)mt_random_below(&random, (uint64_t)shape->vocabulary);
    }
    return mt_model_create(device, shape->dtype, &config, 1, &bench->model);
}

static void close_step(step_bench *bench)
{
    mt_model_destroy(bench->model);
    mt_tape_destroy(bench->tape);
    free(bench->labels);
}

/* The time of a step, recorded and replayed or not. */
static mt_status time_step(step_bench *bench, bool record, long long repeat, double *seconds)
{
    mt_status status = open_trainer(bench, record);
    if (status == MT_OK) {
        status = bench_time(bench->device, repeat, train_step, bench, seconds);
    }
    close_trainer(bench);
    return status;
}

void bench_step_text(const bench_step_shape *shape, char text[BENCH_TEXT])
{
    snprintf(text, BENCH_TEXT,
             "step B%" PRId64 " T%" PRId64 " vocab %" PRId64 " size %" PRId64 " blocks %" PRId64
             " %s",
             shape->B, shape->T, shape->vocabulary, shape->size, shape->blocks,
             mt_dtype_name(shape->dtype));
}

mt_status bench_step(mt_device *device, const bench_step_shape *shape, long long repeat,
                     json_t *results)
{
    step_bench bench;
    double step = 0.0, products = 0.0, replayed = 0.0;
    mt_status status = open_step(device, shape, &bench);
    if (status == MT_OK) {
        status = time_step(&bench, false, repeat, &step);
    }
    if (status == MT_OK) {
        status = open_products(&bench);
    }
    if (status == MT_OK) {
        status = bench_time(device, repeat, matrix_products, &bench, &products);
    }
    if (status == MT_OK && device->record != NULL) {
        status = time_step(&bench, true, repeat, &replayed);
    }
    close_step(&bench);
    if (status == MT_OK) {
        char what[BENCH_TEXT];
        bench_step_text(shape, what);
        bench_say("%s  %.3f ms  matrix products alone %.3f ms (%.2f x)\n", what, 1e3 * step,
                  1e3 * products, step / products);
        if (replayed > 0.0) {
            bench_say("  replayed as a graph %.3f ms\n", 1e3 * replayed);
        }
        status = bench_append(
            results,
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "what", "step", "dtype",
                      mt_dtype_name(shape->dtype), "B", (json_int_t)shape->B, "T",
                      (json_int_t)shape->T, "vocab", (json_int_t)shape->vocabulary, "size",
                      (json_int_t)shape->size, "blocks", (json_int_t)shape->blocks, "step_s", step,
                      "products_s", products, "replayed_s", replayed),
            true);
    }
    return status;
}

mt_status bench_step_alone(mt_device *device, const bench_step_shape *shape,
                           const bench_alone_how *how, json_t *results)
{
    step_bench bench;
    char what[BENCH_TEXT];
    bench_step_text(shape, what);
    mt_status status = open_step(device, shape, &bench);
    if (status == MT_OK) {
        status = open_trainer(&bench, false);
    }
    if (status == MT_OK) {
        status = bench_alone(device, how, what, train_step, &bench, results);
    }
    close_trainer(&bench);
    close_step(&bench);
    return status;
}
