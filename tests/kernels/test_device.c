/* Opening devices, and the CPU's memory, threads and instruction sets. */
#include "kernels/cpu/blas.h"
#include "kernels/cpu/device.h"
#include "tests/check_main.h"
#include "tests/kernels/address_space.h"
#include "tests/kernels/kernel_test.h"

#include <stdio.h>

/* AddressSanitizer ends the program at an absurd size unless it is told to fail like malloc. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* As above, for ThreadSanitizer. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

START_TEST(test_unknown_names_are_refused)
{
    static const char *const names[] = {
        "",       "gpu",     "CPU",     "cpu:0",   "auto:1",  "cuda:",
        "cuda:x", "cuda:-1", "cuda:+1", "cuda: 1", "cuda:1x", "cuda0",
        "cpu ",   "cud",     "cudaa",   ":",       "cuda:1:", "cuda:9999999999"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mt_device *device;
        mt_status status = mt_device_open(names[i], &device);
        ck_assert_msg(status == MT_ERROR_INVALID, "'%s' gives status %d", names[i], (int)status);
        char quoted[64];
        snprintf(quoted, sizeof quoted, "'%s'", names[i]);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), quoted));
        ck_assert_ptr_null(device);
    }
}
END_TEST

START_TEST(test_cuda_opens_or_says_why_not)
{
    static const char *const names[] = {"cuda", "cuda:0", "cuda:7"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mt_device *device;
        mt_status status = mt_device_open(names[i], &device);
        if (status == MT_OK) {
            ck_assert_ptr_eq(strstr(device->name, "cuda:"), device->name);
            mt_device_close(device);
        } else {
            ck_assert_int_eq(status, MT_ERROR_DEVICE);
            ck_assert_ptr_null(device);
            ck_assert_ptr_nonnull(strstr(mt_error_message(), "device"));
        }
    }
}
END_TEST

START_TEST(test_auto_always_opens)
{
    mt_device *device;
    assert_ok(mt_device_open("auto", &device));
    ck_assert(strcmp(device->name, "cpu") == 0 || strncmp(device->name, "cuda:", 5) == 0);
    mt_device_close(device);
    mt_device_close(NULL);
}
END_TEST

START_TEST(test_a_device_without_room_for_a_buffer_of_openblas_is_a_memory_error)
{
    enum { MOST = 64, ROOM = 4 };
    mt_device *devices[MOST];
    mt_status status = MT_OK;
    int opened = 0;
    struct rlimit before = limit_address_space(ROOM * MT_BLAS_BUFFER_MIB);
    while (opened < MOST && (status = mt_device_open("cpu", &devices[opened])) == MT_OK) {
        opened++;
    }
    restore_address_space(before);
    assert_fails_with(status, MT_ERROR_MEMORY, "128 MiB");
    while (opened > 0) {
        mt_device_close(devices[--opened]);
    }
    assert_ok(mt_device_open("cpu", &devices[0]));
    mt_device_close(devices[0]);
}
END_TEST

static const struct {
    const char *name;
    bool of_float16;
} listed[] = {
#define MT_KERNEL(result, name, parameters)     {#name, false},
#define MT_KERNEL_F16(result, name, parameters) {#name, true},
#include <mixtape/kernels/list.h>
};

/* A table is an array of functions, and none of them is missing; of float16 there are some. */
START_TEST(test_every_kernel_is_there)
{
    mt_device *device;
    assert_ok(mt_device_open("cpu", &device));
    for (int type = 0; type < MT_KERNEL_TABLES; type++) {
        void (*functions[sizeof(mt_kernels) / sizeof(void (*)(void))])(void);
        memcpy(functions, device->kernels[type], sizeof functions);
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
            bool is_there = functions[i] != NULL;
            ck_assert_msg(is_there == (type != MT_F16 || listed[i].of_float16), "%s of %s",
                          listed[i].name, mt_dtype_name((mt_dtype)type));
        }
    }
    mt_device_close(device);
}
END_TEST

START_TEST(test_a_device_says_why_it_does_not_multiply_bfloat16)
{
    mt_device *device;
    setenv("MIXTAPE_ISA", "baseline", 1);
    assert_ok(mt_device_open("cpu", &device));
    const char *lacks = mt_device_lacks_bf16(device);
    ck_assert_msg(lacks != NULL && strstr(lacks, "avx512") != NULL, "%s",
                  lacks != NULL ? lacks : "NULL");
    mt_device_close(device);
    unsetenv("MIXTAPE_ISA");
    ck_assert_ptr_null(mt_device_lacks_bf16(NULL));
}
END_TEST

START_TEST(test_absurd_sizes_are_memory_errors_with_the_size)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2, (size_t)1 << 50};
    mt_device *device;
    assert_ok(mt_device_open("cpu", &device));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char figure[32];
        void *memory;
        snprintf(figure, sizeof figure, "%zu", sizes[i]);
        assert_fails_with(device->allocate(device, sizes[i], &memory), MT_ERROR_MEMORY, figure);
        assert_fails_with(mt_cpu_workspace(device, sizes[i], &memory), MT_ERROR_MEMORY, figure);
    }
    void *memory;
    assert_ok(mt_cpu_workspace(device, 100, &memory));
    mt_device_close(device);
}
END_TEST

START_TEST(test_workspace_grows_and_stays)
{
    mt_device *device;
    void *large, *small;
    assert_ok(mt_device_open("cpu", &device));
    assert_ok(mt_cpu_workspace(device, 10, &small));
    assert_ok(mt_cpu_workspace(device, 100000, &large));
    ck_assert_uint_eq((uintptr_t)large % 64, 0);
    memset(large, 1, 100000);
    assert_ok(mt_cpu_workspace(device, 50000, &small));
    ck_assert_ptr_eq(small, large);
    mt_device_close(device);
}
END_TEST

START_TEST(test_threads_are_as_set_and_zero_restores_the_default)
{
    int initial = mt_cpu_threads();
    ck_assert_int_ge(initial, 1);
    for (int threads = 1; threads <= 5; threads++) {
        mt_cpu_set_threads(threads);
        ck_assert_int_eq(mt_cpu_threads(), threads);
        mt_cpu_set_threads(0);
        ck_assert_int_eq(mt_cpu_threads(), initial);
        mt_cpu_set_threads(threads);
        mt_cpu_set_threads(-1);
        ck_assert_int_eq(mt_cpu_threads(), initial);
    }
}
END_TEST

START_TEST(test_isa_can_be_lowered_and_a_foreign_one_is_refused)
{
    mt_device *device;
    setenv("MIXTAPE_ISA", "baseline", 1);
    ck_assert_str_eq(mt_cpu_isa(), "baseline");
    assert_ok(mt_device_open("cpu", &device));
    mt_device_close(device);
    setenv("MIXTAPE_ISA", "sse9", 1);
    assert_fails_with(mt_device_open("cpu", &device), MT_ERROR_INVALID, "sse9");
    ck_assert_ptr_null(device);
    assert_fails_with(mt_device_open("abacus", &device), MT_ERROR_INVALID, "abacus");
    ck_assert_ptr_nonnull(mt_cpu_isa()); /* which says nothing of sse9 */
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "abacus"));
    setenv("MIXTAPE_ISA", "", 1);
    assert_ok(mt_device_open("cpu", &device));
    mt_device_close(device);
    unsetenv("MIXTAPE_ISA");
    ck_assert_ptr_nonnull(mt_cpu_isa());
}
END_TEST

static const mt_device *closed;

static void note_closing(mt_device *device)
{
    closed = device;
}

START_TEST(test_closing_a_device_is_its_own_work)
{
    mt_device device = {.close = note_closing};
    mt_device_close(&device);
    ck_assert_ptr_eq(closed, &device);
}
END_TEST

static Suite *device_suite(void)
{
    return SUITE("device", test_unknown_names_are_refused, test_cuda_opens_or_says_why_not,
                 test_auto_always_opens, test_closing_a_device_is_its_own_work,
                 test_a_device_without_room_for_a_buffer_of_openblas_is_a_memory_error,
                 test_every_kernel_is_there, test_a_device_says_why_it_does_not_multiply_bfloat16,
                 test_absurd_sizes_are_memory_errors_with_the_size, test_workspace_grows_and_stays,
                 test_threads_are_as_set_and_zero_restores_the_default,
                 test_isa_can_be_lowered_and_a_foreign_one_is_refused);
}

MT_TEST_MAIN(device_suite)
