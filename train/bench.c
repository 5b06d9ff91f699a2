#include "train/bench.h"

#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

mt_status bench_time(mt_device *device, long long repeat, mt_status (*run)(void *context),
                     void *context, double *median)
{
    const int runs = device->record != NULL ? 10 : 1;
    double *times = malloc((size_t)repeat * sizeof *times);
    if (times == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "bench: no memory for %lld times", repeat);
    }
    mt_status status = run(context);
    if (status == MT_OK) {
        status = device->synchronize(device);
    }
    for (long long i = 0; i < repeat && status == MT_OK; i++) {
        double start = now();
        for (int j = 0; j < runs && status == MT_OK; j++) {
            status = run(context);
        }
        if (status == MT_OK) {
            status = device->synchronize(device);
        }
        times[i] = (now() - start) / runs;
    }
    if (status == MT_OK) {
        qsort(times, (size_t)repeat, sizeof *times, compare);
        *median = times[repeat / 2];
    }
    free(times);
    return status;
}
