/* What WKV's kernels ask of the CUDA device, and how they end where their blocks wait for one
 * another in vain. They take no tickets here, so that they can. */
#include "control.h"
#include "kernels/device.h"
#include "tests/check_main.h"

#include <string.h>

enum { T = 3000, C = 3, ARRAY = T * C * sizeof(double), ARRAYS = 9 };

static mt_device *device;
static unsigned char *memory; /* (ARRAYS, ARRAY) */

static void open_device(void)
{
    void *allocated;
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
    ck_assert_int_eq(mt_device_allocate(device, ARRAYS * ARRAY, &allocated), MT_OK);
    ck_assert_int_eq(device->zero(device, allocated, ARRAYS * ARRAY), MT_OK);
    memory = allocated;
}

static void close_device(void)
{
    mt_device_release(device, memory);
    mt_device_close(device);
}

static void *array(int i)
{
    return memory + i * ARRAY;
}

static void run_forward(int table)
{
    const mt_wkv_forward_args args = {.B = 1,
                                      .T = T,
                                      .C = C,
                                      .w = array(0),
                                      .u = array(0),
                                      .k = array(0),
                                      .v = array(0),
                                      .y = array(1),
                                      .saved = array(2)};
    ck_assert_int_eq(device->kernels[table]->wkv_forward(device, &args), MT_OK);
}

static void run_backward(int table)
{
    const mt_wkv_backward_args args = {.B = 1,
                                       .T = T,
                                       .C = C,
                                       .w = array(0),
                                       .u = array(0),
                                       .k = array(0),
                                       .v = array(0),
                                       .saved = array(2),
                                       .dy = array(1),
                                       .dw = array(3),
                                       .du = array(4),
                                       .dk = array(5),
                                       .dv = array(6)};
    ck_assert_int_eq(device->kernels[table]->wkv_backward(device, &args), MT_OK);
}

/* As many blocks of backward as kernels/cuda/wkv_tuning.cuh counts on need all of it. */
START_TEST(test_backward_prefers_all_shared_memory_to_cache)
{
    for (int table = 0; table < MT_KERNEL_TABLES; table++) {
        run_forward(table);
        ck_assert_int_eq(cuda_on_cpu_carveout(), -1);
        run_backward(table);
        ck_assert_int_eq(cuda_on_cpu_carveout(), 100);
    }
    ck_assert_int_eq(mt_device_synchronize(device), MT_OK);
}
END_TEST

/* Blocks are there one at a time, and hardly ever the one that the present one waits for. */
static void run_out_of_order(void (*run)(int table), int table)
{
    cuda_on_cpu_set_disorder(T);
    run(table);
    ck_assert_int_eq(mt_device_synchronize(device), MT_ERROR_DEVICE);
    ck_assert_str_eq(mt_error_message(),
                     "cuda: waiting for the device: unspecified launch failure");
    ck_assert_int_eq(mt_device_synchronize(device), MT_ERROR_DEVICE); /* from then on */
    cuda_on_cpu_crash_launch(0);
    cuda_on_cpu_set_disorder(0);
}

START_TEST(test_a_chain_that_waits_in_vain_is_the_devices_error)
{
    static float before[T * C], after[T * C];
    cuda_on_cpu_set_residents(1);
    ck_assert_int_eq(device->kernels[MT_F32]->fill(device, T * C, -0.5, array(0)), MT_OK);
    run_forward(MT_F32);
    ck_assert_int_eq(mt_device_read(device, before, array(1), sizeof before), MT_OK);
    for (int table = 0; table < MT_KERNEL_TABLES; table++) {
        run_out_of_order(run_forward, table);
        run_out_of_order(run_backward, table);
    }
    run_forward(MT_F32);
    ck_assert_int_eq(mt_device_read(device, after, array(1), sizeof after), MT_OK);
    ck_assert_mem_eq(before, after, sizeof before);
}
END_TEST

static Suite *wkv_suite(void)
{
    return SUITE_WITH("cuda_on_cpu/wkv", open_device, close_device,
                      test_backward_prefers_all_shared_memory_to_cache,
                      test_a_chain_that_waits_in_vain_is_the_devices_error);
}

MT_TEST_MAIN(wkv_suite)
