/* Calls each kernel of the CPU device in each type that it is there for, on one thread, for
 * bench/instructions.py, which has the instructions of `counted` counted by Valgrind. Prints what
 * it was compiled by, and the name and the type of each call in their order. MIXTAPE_ISA names the
 * kernels' build. */
#include <mixtape/random.h>

#include "kernels/device.h"
#include "kernels/float16.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Clang's version has its name. */
#if defined(__GNUC__) && !defined(__clang__)
#define COMPILER "GCC " __VERSION__
#else
#define COMPILER __VERSION__
#endif

/* Sizes of a small model, of whole vectors but for NUMBERS and SYMBOLS. */
enum {
    NUMBERS = 10007,
    BATCH = 2,
    ROWS = 64,
    CHANNELS = 256,
    SYMBOLS = 500,
    LABELS = 100,
    MANY_STEPS = 256,
    FEW_CHANNELS = 64,
    FRAMES = 16,
    EMITTED = 7,
    MOST = CHANNELS * CHANNELS /* numbers of an array */
};

/* What is called, for the type at hand. */
static mt_device *device;
static const mt_kernels *kernels;

/* Arrays of that type or wide ones, in memory for any: the CPU device's is the host's. */
static _Alignas(64) double x[4][MOST];     /* inputs in -1 .. 1 */
static _Alignas(64) double positive[MOST]; /* in 0.5 .. 1 */
static _Alignas(64) double wide[3][MOST];  /* wide inputs in -1 .. 1 */
static _Alignas(64) double decay[MOST];    /* in -1 .. -0.5 */
static _Alignas(64) double y[6][MOST];     /* outputs */
static const float scales[CHANNELS];       /* of rows of weights */
static int32_t labels[ROWS];               /* in 1 .. LABELS - 1 */
static const int32_t frames[BATCH] = {FRAMES, FRAMES - 3}, lengths[BATCH] = {EMITTED, EMITTED - 2};
static const uint64_t step = 3;
static const double norm_squared = 4.0;
static const mt_adam_rates rates = {.lr = 1e-3, .bias1 = 0.1, .bias2 = 0.01};

#define CALL(kernel, variant, ...)                                                                 \
    static mt_status kernel##variant(void)                                                         \
    {                                                                                              \
        return kernels->kernel(device, __VA_ARGS__);                                               \
    }
#include "bench/kernel_calls.h"

static const struct {
    const char *kernel, *name;
    mt_status (*call)(void);
} calls[] = {
#define CALL(kernel, variant, ...) {#kernel, #kernel #variant, kernel##variant},
#include "bench/kernel_calls.h"
};

enum { CALLS = sizeof calls / sizeof *calls };

static const struct {
    const char *name, *result;
    bool of_float16;
} listed[] = {
#define MT_KERNEL(result, name, parameters)     {#name, #result, false},
#define MT_KERNEL_F16(result, name, parameters) {#name, #result, true},
#include <mixtape/kernels/list.h>
};

enum { LISTED = sizeof listed / sizeof *listed };

static bool is_there(const char *kernel, mt_dtype dtype)
{
    int at = 0;
    while (at < LISTED && strcmp(listed[at].name, kernel) != 0) {
        at++;
    }
    return dtype != MT_F16 || (at < LISTED && listed[at].of_float16);
}

static bool is_called(const char *kernel)
{
    int at = 0;
    while (at < CALLS && strcmp(calls[at].kernel, kernel) != 0) {
        at++;
    }
    return at < CALLS;
}

/* A kernel that the calls lack, or NULL. Those that return no status do no work. */
static const char *forgotten_kernel(void)
{
    for (int i = 0; i < LISTED; i++) {
        if (strcmp(listed[i].result, "mt_status") == 0 && !is_called(listed[i].name)) {
            return listed[i].name;
        }
    }
    return NULL;
}

/* Draws wide numbers, which depend on `index` alone. */
static void draw(mt_dtype dtype, uint64_t index, double from, double to, void *array)
{
    mt_random random = mt_random_make(1, index);
    for (int i = 0; i < MOST; i++) {
        double number = from + (to - from) * mt_random_uniform(&random);
        if (mt_dtype_wide(dtype) == MT_F64) {
            ((double *)array)[i] = number;
        } else {
            ((float *)array)[i] = (float)number;
        }
    }
}

/* y = x, to the type at hand. */
static mt_status narrow_inputs(mt_dtype dtype, const double *wide_numbers, double *narrowed)
{
    if (dtype != MT_F16) {
        return kernels->narrow(device, MOST, wide_numbers, narrowed);
    }
    for (int i = 0; i < MOST; i++) {
        ((mt_f16 *)narrowed)[i] = mt_f16_rounded(((const float *)wide_numbers)[i]);
    }
    return MT_OK;
}

static mt_status fill_inputs(mt_dtype dtype)
{
    mt_status status = MT_OK;
    for (uint64_t i = 0; i < 5 && status == MT_OK; i++) {
        draw(dtype, i, i < 4 ? -1.0 : 0.5, 1.0, y[0]);
        status = narrow_inputs(dtype, y[0], i < 4 ? x[i] : positive);
    }
    for (uint64_t i = 0; i < 3; i++) {
        draw(dtype, 5 + i, -1.0, 1.0, wide[i]);
    }
    draw(dtype, 8, -1.0, -0.5, decay);
    mt_random random = mt_random_make(2, 0);
    for (int i = 0; i < ROWS; i++) {
        labels[i] = 1 + (int32_t)mt_random_below(&random, LABELS - 1);
    }
    memset(y, 0, sizeof y);
    return status;
}

/* Its calls begin and end what is counted: so it is not inlined, nor left by a jump. */
mt_status counted(mt_status (*call)(void));
__attribute__((noinline)) mt_status counted(mt_status (*call)(void))
{
    volatile mt_status status = call();
    return status;
}

/* The first call does what later ones need not do again, as to get memory to work in. */
static mt_status call_all(mt_dtype dtype)
{
    kernels = device->kernels[dtype];
    mt_status status = fill_inputs(dtype);
    for (int i = 0; i < CALLS && status == MT_OK; i++) {
        if (!is_there(calls[i].kernel, dtype)) {
            continue;
        }
        status = calls[i].call();
        if (status == MT_OK) {
            status = counted(calls[i].call);
            printf("%s\t%s\n", calls[i].name, mt_dtype_name(dtype));
        }
    }
    return status;
}

int main(void)
{
    const mt_dtype dtypes[] = {MT_F32, MT_BF16, MT_F64, MT_F16};
    const char *forgotten = forgotten_kernel();
    if (forgotten != NULL) {
        fprintf(stderr, "bench/kernel_calls.h: no call of %s\n", forgotten);
        return 1;
    }
    mt_cpu_set_threads(1);
    mt_status status = mt_device_open("cpu", &device);
    if (status == MT_OK) {
        puts(COMPILER);
    }
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes && status == MT_OK; i++) {
        status = call_all(dtypes[i]);
    }
    if (status != MT_OK) {
        fprintf(stderr, "%s\n", mt_error_message());
    }
    mt_device_close(device);
    return status == MT_OK ? 0 : 1;
}
