/* The CUDA device when things go wrong: every allocation and every launch made to fail once. */
#include <mixtape/adam.h>
#include <mixtape/model.h>
#include <mixtape/operators.h>

#include "control.h"
#include "kernels/device.h"
#include "tests/check_main.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A whole small run on a device of its own: opened, two updates, closed. */
static mt_status run_once(void)
{
    mt_device *device;
    mt_tape *tape = NULL;
    mt_model *model = NULL;
    mt_adam *adam = NULL;
    mt_model_config config = mt_model_config_default(5, 4);
    config.num_blocks = 1;
    const int64_t shape[] = {2, 3};
    const int32_t labels[] = {1, 2, 3, 4, 0, 1};
    mt_status status = mt_device_open("cuda", &device);
    if (status != MT_OK) {
        ck_assert_ptr_null(device);
        return status;
    }
    status = mt_tape_create(device, &tape);
    if (status == MT_OK) {
        status = mt_model_create(device, MT_F32, &config, 1, &model);
    }
    if (status == MT_OK) {
        status = mt_adam_create(model->parameters, mt_adam_config_default(), &adam);
    }
    for (int step = 0; step < 2 && status == MT_OK; step++) {
        double norm;
        mt_tape_reset(tape);
        mt_parameters_zero_grad(model->parameters);
        mt_tensor *input = mt_tape_input(tape, MT_I32, 2, shape, labels, false);
        mt_tensor *output = mt_model_decode(tape, model, input, NULL, true);
        mt_tensor *logits = mt_model_head(tape, model, output);
        status = mt_backward(tape, mt_cross_entropy(tape, logits, input, -1, 0.0, NULL));
        if (status == MT_OK) {
            status = mt_adam_step(adam, 0.01, 1.0, &norm);
        } else {
            mt_fail(status, "%s", mt_tape_error(tape));
        }
    }
    mt_adam_destroy(adam);
    mt_model_destroy(model);
    mt_tape_destroy(tape);
    mt_device_close(device);
    return status;
}

/* A run for each `stride`-th of the events that `spoil` makes go wrong, at least `least` of them in
 * all: it ends with that status and message, gives everything back, and the next one works. */
static void fail_each(int (*spoil)(int), int least, int stride, mt_status expected,
                      const char *says)
{
    int before = cuda_on_cpu_live();
    spoil(0);
    ck_assert_int_eq(run_once(), MT_OK);
    int events = spoil(0);
    ck_assert_int_gt(events, least);
    for (int failing = 1; failing <= events; failing += stride) {
        spoil(failing);
        mt_status status = run_once();
        ck_assert_msg(status == expected && strstr(mt_error_message(), says) != NULL,
                      "event %d: status %d: %s", failing, (int)status, mt_error_message());
        ck_assert_int_eq(cuda_on_cpu_live(), before);
    }
    spoil(0);
    ck_assert_int_eq(run_once(), MT_OK);
    ck_assert_int_eq(cuda_on_cpu_live(), before);
}

START_TEST(test_every_allocation_can_fail_once_and_nothing_is_lost)
{
    fail_each(cuda_on_cpu_fail_allocation, 10, 1, MT_ERROR_MEMORY, "cuda");
}
END_TEST

START_TEST(test_every_launch_can_fail_once_and_nothing_is_lost)
{
    fail_each(cuda_on_cpu_fail_launch, 50, 1, MT_ERROR_DEVICE, "unspecified launch failure");
}
END_TEST

/* A kernel that faults is found out later, and nothing works from then on. */
START_TEST(test_a_device_that_is_lost_is_told_and_nothing_is_lost_with_it)
{
    fail_each(cuda_on_cpu_crash_launch, 50, 3, MT_ERROR_DEVICE, "unspecified launch failure");
}
END_TEST

START_TEST(test_memory_that_is_not_there_is_refused_with_what_is_free)
{
    mt_device *device;
    void *memory;
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    ck_assert_int_eq(device->allocate(device, (size_t)1 << 40, &memory), MT_ERROR_MEMORY);
    ck_assert_ptr_null(memory);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "1099511627776 bytes"));
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "are free"));
    ck_assert_int_eq(device->allocate(device, 100, &memory), MT_OK);
    device->release(device, memory);
    mt_device_close(device);
}
END_TEST

START_TEST(test_machines_without_driver_or_device)
{
    mt_device *device;
    static const struct {
        cuda_on_cpu_machine machine;
        const char *says;
    } machines[] = {{CUDA_ON_CPU_NO_DRIVER, "driver"}, {CUDA_ON_CPU_NO_DEVICE, "no CUDA-capable"}};
    for (int i = 0; i < 2; i++) {
        cuda_on_cpu_set_machine(machines[i].machine);
        ck_assert_int_eq(mt_device_open("cuda", &device), MT_ERROR_DEVICE);
        ck_assert_ptr_null(device);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), machines[i].says));
        ck_assert_int_eq(mt_device_open("auto", &device), MT_OK);
        ck_assert_str_eq(device->name, "cpu");
        mt_device_close(device);
    }
    cuda_on_cpu_set_machine(CUDA_ON_CPU_WORKS);
    ck_assert_int_eq(mt_device_open("auto", &device), MT_OK);
    ck_assert_str_eq(device->name, "cuda:0");
    mt_device_close(device);
    ck_assert_int_eq(mt_device_open("cuda:1", &device), MT_ERROR_DEVICE);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "cuda:1"));
}
END_TEST

START_TEST(test_only_matrix_products_need_cublas)
{
    mt_device *device;
    void *array;
    cuda_on_cpu_set_machine(CUDA_ON_CPU_NO_BLAS);
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    ck_assert_int_eq(device->allocate(device, sizeof(float), &array), MT_OK);
    ck_assert_int_eq(device->kernels[MT_F32]->fill(device, 1, 1.0, array), MT_OK);
    const mt_matmul_args product = {false, false, 1, 1, 1, 1.0, 0.0, array, array, array};
    ck_assert_int_eq(device->kernels[MT_F32]->matmul(device, &product), MT_ERROR_DEVICE);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "cuBLAS was not found"));
    ck_assert_int_eq(device->record(device), MT_ERROR_DEVICE);
    device->release(device, array);
    mt_device_close(device);
    cuda_on_cpu_set_machine(CUDA_ON_CPU_WORKS);
}
END_TEST

/* The status of a call in a child, which is told why. */
static bool is_refused(mt_status status)
{
    return status == MT_ERROR_DEVICE && strstr(mt_error_message(), "was forked") != NULL;
}

static bool is_told_in_the_child(mt_device *device, mt_tape *tape, mt_model *model, void *memory)
{
    const int64_t shape[] = {1, 1};
    const int32_t label = 1;
    float value = 1.0f;
    void *more;
    mt_device *other;
    bool told =
        is_refused(mt_device_write(device, memory, &value, sizeof value)) &&
        is_refused(mt_device_read(device, &value, memory, sizeof value)) &&
        is_refused(mt_device_allocate(device, sizeof value, &more)) &&
        is_refused(mt_device_synchronize(device)) &&
        is_refused(mt_device_allow_tf32(device, true)) && is_refused(device->record(device)) &&
        is_refused(device->read_arrived(device, 0, &value, sizeof value)) &&
        is_refused(mt_device_open("cuda", &other)) && mt_device_open("auto", &other) == MT_OK;
    told = told && strcmp(mt_device_name(other), "cpu") == 0;
    mt_tape_reset(tape);
    mt_tensor *input = mt_tape_input(tape, MT_I32, 2, shape, &label, false);
    mt_model_decode(tape, model, input, NULL, true);
    told = told && mt_tape_status(tape) == MT_ERROR_DEVICE &&
           strstr(mt_tape_error(tape), "was forked") != NULL;
    mt_device_release(device, memory);
    mt_model_destroy(model);
    mt_tape_destroy(tape);
    mt_device_close(device);
    return told;
}

START_TEST(test_a_child_of_fork_is_told_that_cuda_does_not_serve_it)
{
    mt_device *device;
    mt_tape *tape;
    mt_model *model;
    void *memory;
    int status;
    mt_model_config config = mt_model_config_default(5, 4);
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    ck_assert_int_eq(mt_tape_create(device, &tape), MT_OK);
    ck_assert_int_eq(mt_model_create(device, MT_F32, &config, 1, &model), MT_OK);
    ck_assert_int_eq(mt_device_allocate(device, sizeof(float), &memory), MT_OK);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        _exit(is_told_in_the_child(device, tape, model, memory) ? 7 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
    ck_assert_int_eq(mt_device_synchronize(device), MT_OK); /* the parent's is as before */
    mt_device_release(device, memory);
    mt_model_destroy(model);
    mt_tape_destroy(tape);
    mt_device_close(device);
    ck_assert_int_eq(run_once(), MT_OK);
}
END_TEST

static Suite *faults_suite(void)
{
    return SUITE("cuda_on_cpu/faults", test_every_allocation_can_fail_once_and_nothing_is_lost,
                 test_every_launch_can_fail_once_and_nothing_is_lost,
                 test_a_device_that_is_lost_is_told_and_nothing_is_lost_with_it,
                 test_memory_that_is_not_there_is_refused_with_what_is_free,
                 test_machines_without_driver_or_device, test_only_matrix_products_need_cublas,
                 test_a_child_of_fork_is_told_that_cuda_does_not_serve_it);
}

MT_TEST_MAIN(faults_suite)
