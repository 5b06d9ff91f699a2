/* sums [MEGABYTES [DEVICE]]: how long the ranks of a communicator take to sum an array of float32.
 * Started as any program of several processes is: by mpirun, or by torchrun, or with the variables
 * that torchrun sets. Rank 0 tells the median of nine sums, and the bytes that a process sends in
 * one for each second of it. */
#include <mixtape/communicator.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SUMS = 9 };

static double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static mt_status measure(mt_communicator *communicator, mt_device *device, int64_t n, void *values,
                         double seconds[SUMS])
{
    mt_status status = MT_OK;
    for (int i = -1; i < SUMS && status == MT_OK; i++) { /* the first warms up */
        double begun = clock_seconds();
        status = mt_communicator_sum(communicator, device, MT_F32, n, values);
        status = status == MT_OK ? mt_device_synchronize(device) : status;
        status = status == MT_OK ? mt_communicator_agree(communicator, status) : status;
        seconds[i < 0 ? 0 : i] = clock_seconds() - begun;
    }
    qsort(seconds, SUMS, sizeof *seconds, compare);
    return status;
}

static int fail(void)
{
    fprintf(stderr, "sums: %s\n", mt_error_message());
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    int64_t n = (argc > 1 ? strtoll(argv[1], NULL, 10) : 100) * 1000000 / (int64_t)sizeof(float);
    mt_communicator *communicator;
    mt_device *device;
    void *values;
    double seconds[SUMS] = {0.0};
    if (mt_communicator_open(&communicator) != MT_OK ||
        mt_communicator_open_device(communicator, argc > 2 ? argv[2] : "cpu", &device) != MT_OK ||
        mt_communicator_use_device(communicator, device) != MT_OK ||
        mt_device_allocate(device, (size_t)n * sizeof(float), &values) != MT_OK ||
        measure(communicator, device, n, values, seconds) != MT_OK) {
        return fail();
    }
    int ranks = mt_communicator_size(communicator);
    if (mt_communicator_rank(communicator) == 0) {
        double sent = 2.0 * (ranks - 1) / ranks * (double)n * sizeof(float);
        printf("%d processes, %lld MB on %s: %.4f s, %.2f GB/s, by %s\n", ranks,
               (long long)(n * (int64_t)sizeof(float) / 1000000), mt_device_name(device),
               seconds[SUMS / 2], 1e-9 * sent / seconds[SUMS / 2],
               mt_communicator_sums(communicator));
    }
    mt_device_release(device, values);
    mt_communicator_leave_device(communicator, device);
    mt_device_close(device);
    mt_communicator_close(communicator);
    return EXIT_SUCCESS;
}
