#include "train/command/bench.h"
#include "train/command/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct kernel_time {
    const char *name;
    long long calls;
    double seconds;
} kernel_time;

/* The times that kernels took, one row a name. */
typedef struct kernel_table {
    kernel_time *rows;
    size_t count;
    double seconds; /* of all */
} kernel_table;

static mt_status add_call(void *context, const char *kernel, double seconds)
{
    kernel_table *table = context;
    size_t at = 0;
    while (at < table->count && strcmp(table->rows[at].name, kernel) != 0) {
        at++;
    }
    if (at == table->count) {
        kernel_time *rows = realloc(table->rows, (table->count + 1) * sizeof *rows);
        if (rows == NULL) {
            return mt_fail(MT_ERROR_MEMORY, "bench: no memory for the times of %zu kernels",
                           table->count + 1);
        }
        table->rows = rows;
        table->rows[table->count++] = (kernel_time){.name = kernel};
    }
    table->rows[at].calls++;
    table->rows[at].seconds += seconds;
    table->seconds += seconds;
    return MT_OK;
}

/* The longest first. */
static int compare(const void *a, const void *b)
{
    double left = ((const kernel_time *)a)->seconds, right = ((const kernel_time *)b)->seconds;
    return left > right ? -1 : left < right;
}

/* One run in a trace of its own. */
static mt_status trace_run(mt_device *device, mt_status (*run)(void *context), void *context,
                           kernel_table *table)
{
    mt_status status = device->trace(device);
    if (status == MT_OK) {
        status = run(context);
    }
    if (status != MT_OK) {
        device->traced(device, NULL, NULL);
        return status;
    }
    return device->traced(device, add_call, table);
}

/* Without the trace, the time of a run; then the times of its kernels, by as many runs again. The
 * first trace has to make its events, and does not count. */
static mt_status time_kernels(mt_device *device, long long runs, mt_status (*run)(void *context),
                              void *context, kernel_table *table, double *wall)
{
    const int64_t warm_at_a_time = 3;
    int64_t enough;
    kernel_table unused = {0};
    mt_status status = bench_warm_up(device, warm_at_a_time, run, context, &enough);
    double start = clock_seconds();
    if (status == MT_OK) {
        status = bench_several(device, runs, run, context);
        *wall = (clock_seconds() - start) / (double)runs;
    }
    if (status == MT_OK) {
        status = trace_run(device, run, context, &unused);
        free(unused.rows);
    }
    for (long long i = 0; i < runs && status == MT_OK; i++) {
        status = trace_run(device, run, context, table);
    }
    if (table->count > 0) {
        qsort(table->rows, table->count, sizeof *table->rows, compare);
    }
    return status;
}

/* Prints the table; in the object, all times are those of one run. False where memory lacks. */
static bool tell_kernels(const kernel_table *table, long long runs, double wall, json_t *row)
{
    json_t *kernels = json_array();
    bool whole = true;
    bench_say("  %-30s %9s %12s %8s\n", "kernel", "calls", "microseconds", "share");
    for (size_t i = 0; i < table->count; i++) {
        const kernel_time *kernel = &table->rows[i];
        double calls = (double)kernel->calls / (double)runs;
        double seconds = kernel->seconds / (double)runs;
        double share = table->seconds > 0.0 ? kernel->seconds / table->seconds : 0.0;
        bench_say("  %-30s %9g %12.2f %6.1f %%\n", kernel->name, calls, 1e6 * seconds,
                  100.0 * share);
        whole &= json_array_append_new(kernels, json_pack("{s:s, s:f, s:f, s:f}", "name",
                                                          kernel->name, "calls", calls, "seconds",
                                                          seconds, "share", share)) == 0;
    }
    double total = table->seconds / (double)runs;
    bench_say("  all kernels %.2f microseconds a run, which takes %.2f by the wall's clock\n",
              1e6 * total, 1e6 * wall);
    whole &= json_object_set_new(row, "kernels", kernels) == 0;
    whole &= json_object_set_new(row, "kernels_s", json_real(total)) == 0;
    return json_object_set_new(row, "wall_s", json_real(wall)) == 0 && whole;
}

mt_status bench_alone(mt_device *device, const bench_alone_how *how, const char *what,
                      mt_status (*run)(void *context), void *context, json_t *results)
{
    kernel_table table = {0};
    double wall = 0.0;
    mt_status status = how->kernels ? time_kernels(device, how->runs, run, context, &table, &wall)
                                    : bench_several(device, how->runs, run, context);
    if (status == MT_OK) {
        json_t *row = json_pack("{s:s, s:I}", "what", what, "runs", (json_int_t)how->runs);
        bench_say("%s, %lld %s on %s\n", what, how->runs, how->runs == 1 ? "run" : "runs",
                  device->name);
        bool whole = !how->kernels || tell_kernels(&table, how->runs, wall, row);
        status = bench_append(results, row, whole);
    }
    free(table.rows);
    return status;
}
