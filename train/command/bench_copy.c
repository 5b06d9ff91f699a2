#include "train/command/bench.h"

#include <stdio.h>

enum { FROM, TO, ARRAYS };

static const size_t COPIED_BYTES = (size_t)1 << 30;

typedef struct copy_bench {
    mt_device *device;
    void *arrays[ARRAYS];
} copy_bench;

static mt_status copy(void *context)
{
    const copy_bench *bench = context;
    return bench->device->copy(bench->device, bench->arrays[TO], bench->arrays[FROM], COPIED_BYTES);
}

mt_status bench_large_copy(mt_device *device, long long repeat, double *rate)
{
    copy_bench bench = {.device = device};
    double seconds = 0.0;
    mt_status status = MT_OK;
    *rate = 0.0;
    for (int array = 0; array < ARRAYS && status == MT_OK; array++) {
        status = device->allocate(device, COPIED_BYTES, &bench.arrays[array]);
    }
    if (status == MT_OK) {
        status = device->zero(device, bench.arrays[FROM], COPIED_BYTES);
    } else if (status == MT_ERROR_MEMORY) {
        fprintf(stderr, "mixtape bench: a copy of 1 GiB is not measured: %s\n", mt_error_message());
    }
    if (status == MT_OK) {
        status = bench_time(device, repeat, copy, &bench, &seconds);
    }
    for (int array = 0; array < ARRAYS; array++) {
        device->release(device, bench.arrays[array]);
    }
    if (status == MT_OK) {
        *rate = 2.0 * (double)COPIED_BYTES / seconds;
        bench_say("copy of 1 GiB  %.3f ms  %.0f GB/s\n", 1e3 * seconds, *rate / 1e9);
    }
    return status == MT_ERROR_MEMORY ? MT_OK : status;
}
