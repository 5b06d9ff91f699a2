/* A device that can be made to fail: one of its kernels, or one call of its own. */
#ifndef MT_TESTS_AUTOGRAD_FAILING_DEVICE_H
#define MT_TESTS_AUTOGRAD_FAILING_DEVICE_H

#include "kernels/device.h"
#include "tests/autograd/graph_test.h"

#include <stdio.h>

#define DEVICE_FAILS "the device fails: "

static mt_device plain;       /* test_device as it was */
static bool has_failed;       /* what was made to fail was called */
static int calls_before_fail; /* 1: the next call fails; 0: none does */
static int live_arrays;

static inline mt_status fail_now(const char *what)
{
    has_failed = true;
    return mt_fail(MT_ERROR_DEVICE, DEVICE_FAILS "%s", what);
}

/* ---- kernels ---- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define MT_KERNEL(result, name, parameters)                                                        \
    static result failing_##name parameters                                                        \
    {                                                                                              \
        return (result)fail_now(#name);                                                            \
    }
#include <mixtape/kernels/list.h>
#pragma GCC diagnostic pop

enum {
#define MT_KERNEL(result, name, parameters) KERNEL_##name,
#include <mixtape/kernels/list.h>
    KERNELS
};

/* Puts a failing kernel into the table, unless it is one that gives a size. */
static inline void spoil_table(mt_kernels *kernels, int which)
{
    switch (which) {
#define MT_KERNEL(result, name, parameters)                                                        \
    case KERNEL_##name:                                                                            \
        kernels->name = _Generic((result)0, size_t : kernels->name, default : failing_##name);     \
        break;
#include <mixtape/kernels/list.h>
    }
}

/* ---- calls of the device's own ---- */

static inline bool call_fails(void)
{
    return calls_before_fail > 0 && --calls_before_fail == 0;
}

#define FAILING_CALL(name, parameters, arguments)                                                  \
    static mt_status failing_##name parameters                                                     \
    {                                                                                              \
        return call_fails() ? fail_now(#name) : plain.name arguments;                              \
    }

FAILING_CALL(write, (mt_device * device, void *to, const void *from, size_t bytes),
             (device, to, from, bytes))
FAILING_CALL(read_back, (mt_device * device, void *to, const void *from, size_t bytes),
             (device, to, from, bytes))
FAILING_CALL(copy, (mt_device * device, void *to, const void *from, size_t bytes),
             (device, to, from, bytes))
FAILING_CALL(zero, (mt_device * device, void *memory, size_t bytes), (device, memory, bytes))
FAILING_CALL(poison, (mt_device * device, void *memory, size_t bytes), (device, memory, bytes))
FAILING_CALL(synchronize, (mt_device * device), (device))
FAILING_CALL(read_later, (mt_device * device, int slot, const void *memory, size_t bytes),
             (device, slot, memory, bytes))
FAILING_CALL(read_arrived, (mt_device * device, int slot, void *memory, size_t bytes),
             (device, slot, memory, bytes))
FAILING_CALL(record, (mt_device * device), (device))
FAILING_CALL(replay, (mt_device * device, mt_recording *recording), (device, recording))

static mt_status failing_recorded(mt_device *device, mt_recording **recording)
{
    if (recording != NULL && call_fails()) {
        plain.recorded(device, NULL);
        *recording = NULL;
        return fail_now("recorded");
    }
    return plain.recorded(device, recording);
}

static mt_status failing_allocate(mt_device *device, size_t bytes, void **memory)
{
    *memory = NULL;
    mt_status status = call_fails() ? fail_now("allocate") : plain.allocate(device, bytes, memory);
    live_arrays += status == MT_OK;
    return status;
}

static void counting_release(mt_device *device, void *memory)
{
    live_arrays -= memory != NULL;
    plain.release(device, memory);
}

static inline void failing_setup(void)
{
    graph_setup();
    plain = *test_device;
    test_device->allocate = failing_allocate;
    test_device->release = counting_release;
    test_device->write = failing_write;
    test_device->read_back = failing_read_back;
    test_device->copy = failing_copy;
    test_device->zero = failing_zero;
    test_device->poison = plain.poison != NULL ? failing_poison : NULL;
    test_device->synchronize = failing_synchronize;
    test_device->read_later = failing_read_later;
    test_device->read_arrived = failing_read_arrived;
    if (plain.record != NULL) {
        test_device->record = failing_record;
        test_device->recorded = failing_recorded;
        test_device->replay = failing_replay;
    }
}

/* Something that is tried, and its status where nothing fails. */
typedef mt_status (*attempt)(void *context);

/* Asserts that what failed within the attempt is what it tells; and else that it tells what it does
 * where nothing fails. */
static inline void check_attempt(attempt try, void *context, mt_status otherwise, const char *what)
{
    has_failed = false;
    mt_status status = try(context);
    calls_before_fail = 0;
    ck_assert_msg(status == (has_failed ? MT_ERROR_DEVICE : otherwise), "%s: status %d: %s", what,
                  (int)status, mt_error_message());
    ck_assert_msg(!has_failed || strstr(mt_error_message(), DEVICE_FAILS) != NULL, "%s: %s", what,
                  mt_error_message());
}

/* Tries with each of the kernels failing in turn. */
static inline void fail_each_kernel(attempt try, void *context, mt_status otherwise)
{
    for (int which = 0; which < KERNELS; which++) {
        mt_kernels spoilt[MT_REAL_DTYPES];
        char what[32];
        for (int dtype = 0; dtype < MT_REAL_DTYPES; dtype++) {
            spoilt[dtype] = *plain.kernels[dtype];
            spoil_table(&spoilt[dtype], which);
            test_device->kernels[dtype] = &spoilt[dtype];
        }
        snprintf(what, sizeof what, "kernel %d", which);
        check_attempt(try, context, otherwise, what);
        memcpy(test_device->kernels, plain.kernels, sizeof plain.kernels);
    }
}

/* Tries with each of the device's calls failing in turn, of which there are `least` at least. */
static inline void fail_each_call(attempt try, void *context, mt_status otherwise, int least)
{
    int call = 0;
    do {
        char what[32];
        calls_before_fail = ++call;
        snprintf(what, sizeof what, "call %d", call);
        check_attempt(try, context, otherwise, what);
    } while (has_failed);
    ck_assert_int_gt(call, least);
}

#endif
