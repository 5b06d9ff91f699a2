/* A training step's demands on the CUDA device: memory, waiting, launches, the precision of
 * products. */
#include <mixtape/adam.h>
#include <mixtape/model.h>
#include <mixtape/operators.h>

#include "control.h"
#include "kernels/device.h"
#include "tests/check_main.h"

#include <string.h>

static mt_device *device;
static mt_tape *tape;
static mt_model *model;
static mt_adam *adam;

static void open_model(mt_dtype dtype, int64_t blocks, double weight_decay)
{
    mt_model_config config = mt_model_config_default(5, 4);
    mt_adam_config options = mt_adam_config_default();
    config.num_blocks = blocks;
    options.weight_decay = weight_decay;
    options.clip = 1.0;
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    ck_assert_int_eq(mt_tape_create(device, &tape), MT_OK);
    ck_assert_int_eq(mt_model_create(device, dtype, &config, 1, &model), MT_OK);
    ck_assert_int_eq(mt_adam_create(model->parameters, options, &adam), MT_OK);
}

static void close_model(void)
{
    mt_adam_destroy(adam);
    mt_model_destroy(model);
    mt_tape_destroy(tape);
    mt_device_close(device);
}

/* Adds to the gradients that there are. */
static void add_gradients(void)
{
    const int64_t shape[] = {2, 3};
    const int32_t labels[] = {1, 2, 3, 4, 0, 1};
    mt_tape_reset(tape);
    mt_tensor *input = mt_tape_input(tape, MT_I32, 2, shape, labels, false);
    mt_tensor *logits = mt_model_head(tape, model, mt_model_decode(tape, model, input, NULL, true));
    ck_assert_int_eq(mt_backward(tape, mt_cross_entropy(tape, logits, input, -1, 0.0, NULL)),
                     MT_OK);
}

static void differentiate(void)
{
    mt_parameters_zero_grad(model->parameters);
    add_gradients();
}

START_TEST(test_later_steps_allocate_nothing_and_wait_for_nothing)
{
    open_model(MT_F32, 2, 0.01);
    for (int step = 0; step < 4; step++) {
        cuda_on_cpu_fail_allocation(0);
        cuda_on_cpu_waits();
        differentiate();
        ck_assert_int_eq(mt_adam_set_lr(adam, 0.01), MT_OK);
        ck_assert_int_eq(mt_adam_update(adam, 1.0), MT_OK);
        ck_assert_int_eq(cuda_on_cpu_waits(), 0);
        int allocations = cuda_on_cpu_fail_allocation(0);
        ck_assert(step == 0 || allocations == 0);
    }
    close_model();
}
END_TEST

static int launches_of_update(int64_t blocks, double weight_decay)
{
    open_model(MT_F32, blocks, weight_decay);
    differentiate();
    ck_assert_int_eq(mt_parameters_settle_grad(model->parameters), MT_OK);
    ck_assert_int_eq(mt_adam_set_lr(adam, 0.01), MT_OK);
    cuda_on_cpu_fail_launch(0);
    ck_assert_int_eq(mt_adam_update(adam, 1.0), MT_OK);
    int launches = cuda_on_cpu_fail_launch(0);
    close_model();
    return launches;
}

/* The gradient's norm takes two launches, what stops a bad step two more, and Adam one, however
 * many parameters there are. */
START_TEST(test_adam_is_one_launch_over_all_parameters)
{
    ck_assert_int_eq(launches_of_update(1, 0.0), 5);
    ck_assert_int_eq(launches_of_update(3, 0.0), 5);
    ck_assert_int_eq(launches_of_update(3, 0.01), 5);
}
END_TEST

typedef struct product_counts {
    int products, biased, biases; /* products, of which some add a bias, and biases by themselves */
} product_counts;

static mt_status count_product(void *context, const char *kernel, double seconds)
{
    product_counts *counts = context;
    (void)seconds;
    counts->products += strncmp(kernel, "product", strlen("product")) == 0;
    counts->biased += strstr(kernel, "+ bias") != NULL;
    counts->biases += strcmp(kernel, "bias") == 0;
    return MT_OK;
}

/* Key, value and receptance of self-attention are one product, and there are its output and three
 * of feed-forward: five in each direction for values, inputs and weights of a block, and one of the
 * head. All of the values add their bias, but that of feed-forward's key. In the second step
 * gradients are added to others. */
START_TEST(test_projections_are_one_product_that_adds_biases)
{
    enum { BLOCKS = 2 };
    static const mt_dtype dtypes[] = {MT_F32, MT_BF16};
    for (int i = 0; i < 4; i++) {
        product_counts counts = {0, 0, 0};
        if (i % 2 == 0) {
            open_model(dtypes[i / 2], BLOCKS, 0.0);
        }
        ck_assert_int_eq(device->trace(device), MT_OK);
        add_gradients();
        ck_assert_int_eq(device->traced(device, count_product, &counts), MT_OK);
        ck_assert_int_eq(counts.products, 3 * (5 * BLOCKS + 1));
        ck_assert_int_eq(counts.biased, 4 * BLOCKS + 1);
        ck_assert_int_eq(counts.biases, 0);
        if (i % 2 == 1) {
            close_model();
        }
    }
}
END_TEST

/* 1 + 2^-12 is a float, and 1 in TF32. */
START_TEST(test_products_round_to_tf32_where_allowed_alone)
{
    const float near_one = 1.0f + 0x1p-12f, one = 1.0f;
    float product;
    void *a, *b, *c;
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    ck_assert_int_eq(device->allocate(device, sizeof near_one, &a), MT_OK);
    ck_assert_int_eq(device->allocate(device, sizeof one, &b), MT_OK);
    ck_assert_int_eq(device->allocate(device, sizeof product, &c), MT_OK);
    ck_assert_int_eq(device->write(device, a, &near_one, sizeof near_one), MT_OK);
    ck_assert_int_eq(device->write(device, b, &one, sizeof one), MT_OK);
    const mt_matmul_args args = {false, false, 1, 1, 1, 1.0, 0.0, a, b, c};
    for (int i = 0; i < 3; i++) {
        bool allowed = i == 1;
        if (i > 0) {
            ck_assert_int_eq(device->allow_tf32(device, allowed), MT_OK);
        }
        ck_assert_int_eq(device->kernels[MT_F32]->matmul(device, &args), MT_OK);
        ck_assert_int_eq(device->read_back(device, &product, c, sizeof product), MT_OK);
        ck_assert_float_eq(product, allowed ? one : near_one);
    }
    device->release(device, a);
    device->release(device, b);
    device->release(device, c);
    mt_device_close(device);
}
END_TEST

/* A large GPU takes more blocks at once than a block can have threads. */
START_TEST(test_more_than_a_million_numbers_are_dropped_on_a_large_device)
{
    enum { N = (1 << 20) + 1 };
    float *x = malloc(N * sizeof *x);
    void *array, *step;
    int64_t kept = 0;
    setenv("CUDA_ON_CPU_MULTIPROCESSORS", "132", 1);
    ck_assert_ptr_nonnull(x);
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    ck_assert_int_eq(mt_device_allocate(device, N * sizeof *x, &array), MT_OK);
    ck_assert_int_eq(mt_device_allocate(device, sizeof(uint64_t), &step), MT_OK);
    ck_assert_int_eq(device->zero(device, step, sizeof(uint64_t)), MT_OK);
    ck_assert_int_eq(device->kernels[MT_F32]->fill(device, N, 1.0, array), MT_OK);
    const mt_dropout_args args = {.n = N, .p = 0.5, .step = step, .x = array, .y = array};
    mt_status status = device->kernels[MT_F32]->dropout(device, &args);
    ck_assert_msg(status == MT_OK, "%s", mt_error_message());
    ck_assert_int_eq(mt_device_read(device, x, array, N * sizeof *x), MT_OK);
    for (int i = 0; i < N; i++) {
        ck_assert(x[i] == 0.0f || x[i] == 2.0f);
        kept += x[i] != 0.0f;
    }
    ck_assert_int_gt(kept, N / 2 - N / 100);
    ck_assert_int_lt(kept, N / 2 + N / 100);
    mt_device_release(device, step);
    mt_device_release(device, array);
    mt_device_close(device);
    unsetenv("CUDA_ON_CPU_MULTIPROCESSORS");
    free(x);
}
END_TEST

static Suite *steps_suite(void)
{
    return SUITE("cuda_on_cpu/steps", test_later_steps_allocate_nothing_and_wait_for_nothing,
                 test_adam_is_one_launch_over_all_parameters,
                 test_projections_are_one_product_that_adds_biases,
                 test_products_round_to_tf32_where_allowed_alone,
                 test_more_than_a_million_numbers_are_dropped_on_a_large_device);
}

MT_TEST_MAIN(steps_suite)
