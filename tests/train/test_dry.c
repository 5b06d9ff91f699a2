/* The device that only counts: a step takes of it what it takes of the device whose place it is
 * in. */
#include <mixtape/model.h>
#include <mixtape/trainer.h>

#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"
#include "tests/sanitizers.h"

#include "autograd/observe.h"
#include "kernels/dry.h"
#include "layers/layer.h"

#include <inttypes.h>

/* What a step may depend on. */
typedef struct step_shape {
    mt_dtype dtype;
    int64_t vocabulary, size, blocks, B, T, accumulate;
    double dropout;
    bool recompute;
    mt_norm_kind norm;
} step_shape;

static const step_shape shapes[] = {
    {.vocabulary = 65, .size = 16, .blocks = 2, .B = 1, .T = 90, .accumulate = 1},
    {.vocabulary = 7, .size = 32, .blocks = 1, .B = 1, .T = 65, .accumulate = 3, .dropout = 0.1},
    {.vocabulary = 30,
     .size = 16,
     .blocks = 3,
     .B = 4,
     .T = 33,
     .accumulate = 1,
     .recompute = true},
    {MT_F64, 9, 16, 2, 2, 70, 2, 0.2, true, MT_RMS_NORM},
    {MT_F64, 50, 96, 1, 1, 1, 1, 0.0, false, MT_SCALE_NORM},
    {MT_BF16, 50, 32, 2, 2, 33, 1, 0.1, false, MT_LAYER_NORM},
    /* the loss in blocks of rows */
    {.vocabulary = 300000, .size = 8, .blocks = 1, .B = 4, .T = 15, .accumulate = 1},
    {.vocabulary = 64, .size = 32, .blocks = 2, .B = 4, .T = 65, .accumulate = 1},
};

enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct counted_model {
    mt_model *model;
    const step_shape *shape;
    bool training;
} counted_model;

static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    const counted_model *counted = context;
    const step_shape *shape = counted->shape;
    int64_t n = shape->B * shape->T;
    int32_t *labels = calloc((size_t)n, sizeof *labels);
    (void)index;
    ck_assert_ptr_nonnull(labels);
    batch->input = mt_tape_labels(tape, shape->B, shape->T, labels);
    batch->target = mt_tape_labels(tape, shape->B, shape->T, labels);
    free(labels);
}

static mt_tensor *loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    const counted_model *counted = context;
    mt_tensor *output =
        mt_model_decode(tape, counted->model, batch->input, NULL, counted->training);
    return mt_model_cross_entropy(tape, counted->model, output, batch->target, -1, 0.0, counts);
}

/* Bytes of the tape, and of them untouched, after updates and after an evaluation. */
typedef struct step_bytes {
    size_t updates, evaluation, untouched;
} step_bytes;

static step_bytes measure(mt_device *device, const step_shape *shape)
{
    mt_trainer *trainer;
    mt_evaluation found;
    step_bytes bytes;
    mt_trainer_config config = mt_trainer_config_default();
    mt_model_config model = mt_model_config_default(shape->vocabulary, shape->size);
    counted_model counted = {.shape = shape, .training = true};
    const mt_objective objective = {put, loss, &counted};
    model.num_blocks = shape->blocks;
    model.recompute = shape->recompute;
    model.norm.kind = shape->norm;
    model.embed_dropout = model.att_dropout = model.ffn_dropout = shape->dropout;
    config.accumulate = shape->accumulate;
    config.record = false;
    ck_assert_msg(mt_model_create(device, shape->dtype, &model, 1, &counted.model) == MT_OK, "%s",
                  mt_error_message());
    ck_assert_int_eq(mt_trainer_create(counted.model->parameters, &config, &objective, &trainer),
                     MT_OK);
    mt_tape *tape = mt_trainer_tape(trainer);
    ck_assert_msg(mt_trainer_run(trainer, 2, NULL, NULL) == MT_OK, "%s", mt_error_message());
    bytes.updates = mt_tape_memory(tape);
    counted.training = false;
    mt_evaluate(tape, &objective, 1, &found); /* a dry loss counts nothing, which is told */
    bytes.evaluation = mt_tape_memory(tape);
    bytes.untouched = mt_tape_untouched(tape);
    mt_trainer_destroy(trainer);
    mt_model_destroy(counted.model);
    return bytes;
}

/* Sanitizers take a minute for its logits on CUDA-on-CPU. */
static bool is_left_out(const step_shape *shape)
{
#if WATCHES_ADDRESSES
    return shape->vocabulary > 100000 && strcmp(test_device->name, "cpu") != 0;
#else
    (void)shape;
    return false;
#endif
}

START_TEST(test_a_step_takes_what_it_takes_elsewhere)
{
    for (int i = 0; i < SHAPES; i++) {
        mt_device *dry;
        if (is_left_out(&shapes[i])) {
            continue;
        }
        ck_assert_int_eq(mt_dry_open(test_device, &dry), MT_OK);
        ck_assert_str_eq(mt_device_name(dry), mt_device_name(test_device));
        step_bytes told = measure(dry, &shapes[i]), found = measure(test_device, &shapes[i]);
        ck_assert_msg(told.updates == found.updates && told.evaluation == found.evaluation &&
                          told.untouched == found.untouched,
                      "shape %d: told %zu, %zu, %zu, found %zu, %zu, %zu", i, told.updates,
                      told.evaluation, told.untouched, found.updates, found.evaluation,
                      found.untouched);
        ck_assert_uint_ge(mt_dry_most(dry), told.evaluation);
        mt_device_close(dry);
    }
}
END_TEST

START_TEST(test_what_no_machine_has_is_counted)
{
    mt_device *dry;
    mt_model *model;
    const int64_t size = 1 << 15;
    mt_model_config config = mt_model_config_default(1 << 20, size);
    config.num_blocks = 64;
    ck_assert_int_eq(mt_dry_open(test_device, &dry), MT_OK);
    ck_assert_int_eq(mt_model_reserve(dry, MT_F64, &config, &model), MT_OK);
    size_t least = (size_t)mt_model_config_size(&config) * 2 * sizeof(double);
    ck_assert_uint_ge(mt_dry_most(dry), least);
    ck_assert_uint_le(mt_dry_most(dry), least + least / 100);
    mt_model_destroy(model);
    mt_device_close(dry);
}
END_TEST

START_TEST(test_memory_that_is_free_again_counts_once)
{
    mt_device *dry;
    void *first, *second, *third;
    ck_assert_int_eq(mt_dry_open(test_device, &dry), MT_OK);
    ck_assert_int_eq(mt_device_allocate(dry, 100, &first), MT_OK);
    ck_assert_int_eq(mt_device_allocate(dry, 1000, &second), MT_OK);
    ck_assert_ptr_ne(first, second);
    mt_device_release(dry, first);
    mt_device_release(dry, NULL);
    ck_assert_int_eq(mt_device_allocate(dry, 10, &third), MT_OK);
    ck_assert_uint_eq(mt_dry_most(dry), 1100);
    ck_assert_int_eq(mt_device_allocate(dry, SIZE_MAX, &first), MT_ERROR_MEMORY);
    ck_assert_ptr_null(first);
    mt_device_release(dry, second);
    mt_device_close(dry); /* with what is left on it */
}
END_TEST

/* Where bfloat16 is multiplied as float32, the room for widened factors grows to the largest. */
START_TEST(test_widened_factors_take_memory)
{
    mt_device *cpu, *dry;
    const mt_matmul_args products[] = {{.M = 20, .N = 30, .K = 40, .batch = 2, .wide = true},
                                       {.M = 20, .N = 31, .K = 40},
                                       {.M = 50, .N = 60, .K = 70}};
    const size_t most[] = {4 * 2 * (20 * 40 + 40 * 30), 4 * 2 * (20 * 40 + 40 * 30),
                           4 * (50 * 70 + 70 * 60 + 50 * 60)};
    setenv("MIXTAPE_ISA", "baseline", 1);
    ck_assert_int_eq(mt_device_open("cpu", &cpu), MT_OK);
    ck_assert_int_eq(mt_dry_open(cpu, &dry), MT_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(dry->kernels[MT_F32]->matmul(dry, &products[i]), MT_OK);
        ck_assert_uint_eq(mt_dry_most(dry), i > 0 ? most[i - 1] : 0);
        ck_assert_int_eq(dry->kernels[MT_BF16]->matmul(dry, &products[i]), MT_OK);
        ck_assert_uint_eq(mt_dry_most(dry), most[i]);
    }
    mt_device_close(dry);
    mt_device_close(cpu);
    unsetenv("MIXTAPE_ISA");
}
END_TEST

static Suite *dry_suite(void)
{
    return SUITE_WITH("dry", graph_setup, graph_teardown, test_a_step_takes_what_it_takes_elsewhere,
                      test_what_no_machine_has_is_counted,
                      test_memory_that_is_free_again_counts_once, test_widened_factors_take_memory);
}

MT_TEST_MAIN(dry_suite)
