#include "train/command/bench.h"

#include "train/command/lines.h"
#include "train/command/progress.h"

#include <stdarg.h>
#include <stdlib.h>

static FILE *said_on; /* NULL: standard output */

void bench_say_on(FILE *to)
{
    said_on = to;
}

void bench_say(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vfprintf(said_on != NULL ? said_on : stdout, format, values);
    va_end(values);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

mt_status bench_append(json_t *results, json_t *found, bool whole)
{
    flush_output();
    bool appended = json_array_append_new(results, found) == 0;
    return whole && appended ? MT_OK
                             : mt_fail(MT_ERROR_MEMORY, "bench: no memory for what it found");
}

mt_status bench_several(mt_device *device, int64_t count, mt_status (*run)(void *context),
                        void *context)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        status = run(context);
    }
    return status == MT_OK ? device->synchronize(device) : status;
}

/* The host is ready after one run. A device that runs behind first has to raise its clock; and
 * several runs are put on it at a time, so that it is its time that counts and not the way
 * there. */
mt_status bench_warm_up(mt_device *device, int64_t at_a_time, mt_status (*run)(void *context),
                        void *context, int64_t *runs)
{
    const double least_warm = 0.3, least_measured = 2e-3; /* seconds */
    *runs = 1;
    if (device->record == NULL) {
        return bench_several(device, 1, run, context);
    }
    double start = clock_seconds(), passed = 0.0;
    int64_t warmed = 0;
    mt_status status = MT_OK;
    while (status == MT_OK && passed < least_warm) {
        status = bench_several(device, at_a_time, run, context);
        warmed += at_a_time;
        passed = clock_seconds() - start;
    }
    int64_t needed = (int64_t)(least_measured * (double)warmed / passed) + 1;
    *runs = needed > at_a_time ? needed : at_a_time;
    return status;
}

mt_status bench_time(mt_device *device, long long repeat, mt_status (*run)(void *context),
                     void *context, double *median)
{
    int64_t runs;
    double *times = malloc((size_t)repeat * sizeof *times);
    if (times == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "bench: no memory for %lld times", repeat);
    }
    mt_status status = bench_warm_up(device, 10, run, context, &runs);
    for (long long i = 0; i < repeat && status == MT_OK; i++) {
        double start = clock_seconds();
        status = bench_several(device, runs, run, context);
        times[i] = (clock_seconds() - start) / (double)runs;
    }
    if (status == MT_OK) {
        qsort(times, (size_t)repeat, sizeof *times, compare);
        *median = times[repeat / 2];
    }
    free(times);
    return status;
}
