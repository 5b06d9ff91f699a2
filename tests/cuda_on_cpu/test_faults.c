/* The CUDA device when things go wrong: every allocation, every launch and every other call made to
 * fail once. */
#include "control.h"
#include "kernels/device.h"
#include "tests/autograd/failing_memory.h"
#include "tests/check_main.h"
#include "tests/train/few_labels.h"

#include <limits.h>
#include <malloc.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what is tried: each on a device of its own, and with an outcome ---- */

static double outcome;

static mt_status keep_loss(void *context, const mt_update *done)
{
    (void)context;
    outcome = done->loss;
    return MT_OK;
}

static bool records = true;

/* The first update is made, the second recorded, and both that and the third are replayed. */
static mt_status record_and_replay(mt_device *device)
{
    mt_model *model = NULL;
    mt_trainer *trainer = NULL;
    mt_trainer_config config = mt_trainer_config_default();
    config.record = records;
    mt_model_config decoder = mt_model_config_default(5, 4);
    decoder.num_blocks = 1;
    mt_status status = mt_model_create(device, MT_F32, &decoder, 1, &model);
    const mt_objective objective = {put, loss, model};
    if (status == MT_OK) {
        status = mt_trainer_create(model->parameters, &config, &objective, &trainer);
    }
    if (status == MT_OK) {
        status = mt_trainer_run(trainer, 3, keep_loss, NULL);
    }
    mt_trainer_destroy(trainer);
    mt_model_destroy(model);
    return status;
}

static mt_status count_call(void *context, const char *name, double seconds)
{
    (void)context;
    outcome += strcmp(name, "fill") == 0 && seconds >= 0.0;
    return MT_OK;
}

static mt_status trace_fills(mt_device *device)
{
    void *array;
    outcome = 0.0;
    mt_status status = device->allocate(device, sizeof(float), &array);
    if (status == MT_OK) {
        status = device->trace(device);
    }
    for (int i = 0; i < 100 && status == MT_OK; i++) {
        status = device->kernels[MT_F32]->fill(device, 1, 1.0, array);
    }
    if (status == MT_OK) {
        status = device->traced(device, count_call, NULL);
    } else {
        device->traced(device, NULL, NULL);
    }
    device->release(device, array);
    return status;
}

enum { LONG = 300, CHANNELS = 3, NUMBERS = LONG * CHANNELS, GRADIENTS = 2 * (NUMBERS + CHANNELS) };

/* Forward and backward of one sequence, whose arrays all stand in `memory`. */
static mt_status run_wkv(mt_device *device, float *memory, size_t saved)
{
    float gradients[GRADIENTS];
    float *arrays = memory + saved;
    mt_wkv_forward_args forward = {.B = 1, .T = LONG, .C = CHANNELS};
    forward.saved = memory;
    forward.w = forward.u = forward.k = forward.v = arrays;
    forward.y = arrays + NUMBERS;
    mt_wkv_backward_args backward = {.B = 1, .T = LONG, .C = CHANNELS, .saved = memory};
    backward.w = backward.u = backward.k = backward.v = arrays;
    backward.dy = forward.y;
    backward.dk = arrays + 2 * NUMBERS;
    backward.dv = arrays + 3 * NUMBERS;
    backward.dw = arrays + 4 * NUMBERS;
    backward.du = arrays + 4 * NUMBERS + CHANNELS;
    mt_status status = device->kernels[MT_F32]->fill(device, NUMBERS, -0.5, arrays);
    if (status == MT_OK) {
        status = device->kernels[MT_F32]->wkv_forward(device, &forward);
    }
    if (status == MT_OK) {
        status = device->kernels[MT_F32]->wkv_backward(device, &backward);
    }
    if (status == MT_OK) {
        status = device->read_back(device, gradients, backward.dk, sizeof gradients);
    }
    for (int i = 0; i < GRADIENTS && status == MT_OK; i++) {
        outcome += (double)gradients[i] * (i + 1);
    }
    return status;
}

static mt_status run_wkv_on_the_devices_own_workspace(mt_device *device)
{
    void *memory;
    size_t saved = device->kernels[MT_F32]->wkv_saved_size(device, 1, LONG, CHANNELS);
    outcome = 0.0;
    mt_status status =
        device->allocate(device, saved + (4 * NUMBERS + 2 * CHANNELS) * sizeof(float), &memory);
    if (status == MT_OK) {
        status = run_wkv(device, memory, saved / sizeof(float));
    }
    device->release(device, memory);
    return status;
}

static mt_status (*const acts[])(mt_device *) = {record_and_replay, trace_fills,
                                                 run_wkv_on_the_devices_own_workspace};
enum { ACTS = sizeof acts / sizeof *acts };

static mt_status run_once(int act)
{
    mt_device *device;
    mt_status status = mt_device_open("cuda", &device);
    if (status == MT_OK) {
        status = acts[act](device);
        mt_device_close(device);
    }
    return status;
}

/* ---- what fails ---- */

static const struct {
    int (*spoil)(int n);
    int stride; /* every one, or some */
    mt_status status;
    const char *says;
} faults[] = {
    {cuda_on_cpu_fail_allocation, 1, MT_ERROR_MEMORY, "cuda"},
    {fail_host_allocation, 1, MT_ERROR_MEMORY, ""},
    {cuda_on_cpu_fail_launch, 1, MT_ERROR_DEVICE, "unspecified launch failure"},
    /* a kernel that faults is found out later, and nothing works from then on */
    {cuda_on_cpu_crash_launch, 3, MT_ERROR_DEVICE, "unspecified launch failure"},
    {cuda_on_cpu_fail_call, 1, MT_ERROR_DEVICE, "unknown error"},
};
enum { FAULTS = sizeof faults / sizeof *faults };

static bool is_told(int fault, mt_status status)
{
    return status == faults[fault].status && strstr(mt_error_message(), faults[fault].says) != NULL;
}

/* Each is told, gives everything back, and the next one works. Check allocates too, so nothing is
 * asserted while allocations are counted. */
START_TEST(test_whatever_fails_once_is_told_and_nothing_is_lost)
{
    int act = _i % ACTS, fault = _i / ACTS, live = cuda_on_cpu_live();
    bool harmless = faults[fault].spoil == cuda_on_cpu_fail_call; /* where it gives back */
    mallopt(M_MMAP_THRESHOLD,
            1 << 30); /* else each device's memory is mapped anew, which is slow */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    run_once(act);
    faults[fault].spoil(0);
    mt_status status = run_once(act);
    int events = faults[fault].spoil(0);
    double expected = outcome;
    ck_assert_int_eq(status, MT_OK);
    ck_assert_int_ge(events, 3);
    for (int failing = 1; failing <= events; failing += faults[fault].stride) {
        int blocks = live_blocks;
        faults[fault].spoil(failing);
        status = run_once(act);
        blocks = live_blocks - blocks;
        faults[fault].spoil(0);
        ck_assert_msg(is_told(fault, status) ||
                          (harmless && status == MT_OK && outcome == expected),
                      "event %d: status %d: %s", failing, (int)status, mt_error_message());
        ck_assert_int_eq(blocks, 0);
        ck_assert_int_eq(cuda_on_cpu_live(), live);
    }
    ck_assert_int_eq(run_once(act), MT_OK);
    ck_assert(outcome == expected);
}
END_TEST

START_TEST(test_an_update_that_is_replayed_launches_nothing_by_itself)
{
    int launches[2];
    double losses[2];
    for (int recorded = 0; recorded < 2; recorded++) {
        records = recorded == 1;
        cuda_on_cpu_fail_launch(0);
        ck_assert_int_eq(run_once(0), MT_OK);
        launches[recorded] = cuda_on_cpu_fail_launch(0);
        losses[recorded] = outcome;
    }
    ck_assert_int_lt(launches[1], launches[0] - launches[0] / 5);
    ck_assert(losses[0] == losses[1]);
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

START_TEST(test_what_is_too_large_for_one_launch_is_refused)
{
    static const mt_wkv_forward_args large[] = {{.B = 1, .T = 1, .C = INT_MAX},
                                                {.B = 1, .T = 1 << 20, .C = 1 << 28}};
    mt_device *device;
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(device->kernels[MT_F32]->wkv_forward(device, &large[i]), MT_ERROR_INVALID);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), "too large for one launch"));
    }
    mt_device_close(device);
}
END_TEST

/* Of several wrong indices, in two launches, before anything waits. */
START_TEST(test_the_first_of_several_findings_is_told)
{
    static const int32_t indices[] = {0, 7, 1, 9};
    static const float table[2] = {0};
    mt_device *device;
    void *memory[3];
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(device->allocate(device, sizeof indices, &memory[i]), MT_OK);
    }
    ck_assert_int_eq(device->write(device, memory[0], indices, sizeof indices), MT_OK);
    ck_assert_int_eq(device->write(device, memory[1], table, sizeof table), MT_OK);
    for (int round = 0; round < 2; round++) {
        for (int first = 0; first < 4; first += 2) {
            const mt_embedding_forward_args args = {
                2, 2, 1, (int32_t *)memory[0] + first, memory[1], memory[2]};
            ck_assert_int_eq(device->kernels[MT_F32]->embedding_forward(device, &args), MT_OK);
        }
        ck_assert_int_eq(device->synchronize(device), MT_ERROR_INVALID);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), "index 7 at 1"));
        ck_assert_int_eq(device->synchronize(device), MT_OK);
    }
    for (int i = 0; i < 3; i++) {
        device->release(device, memory[i]);
    }
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
    ck_assert_int_eq(device->allow_tf32(device, true), MT_ERROR_DEVICE);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "cuBLAS was not found"));
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
    ck_assert_int_eq(run_once(0), MT_OK);
}
END_TEST

static Suite *faults_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("cuda_on_cpu/faults", NULL, NULL, &tcase);
    tcase_add_loop_test(tcase, test_whatever_fails_once_is_told_and_nothing_is_lost, 0,
                        ACTS * FAULTS);
    tcase_add_test(tcase, test_an_update_that_is_replayed_launches_nothing_by_itself);
    tcase_add_test(tcase, test_memory_that_is_not_there_is_refused_with_what_is_free);
    tcase_add_test(tcase, test_what_is_too_large_for_one_launch_is_refused);
    tcase_add_test(tcase, test_the_first_of_several_findings_is_told);
    tcase_add_test(tcase, test_machines_without_driver_or_device);
    tcase_add_test(tcase, test_only_matrix_products_need_cublas);
    tcase_add_test(tcase, test_a_child_of_fork_is_told_that_cuda_does_not_serve_it);
    return suite;
}

MT_TEST_MAIN(faults_suite)
