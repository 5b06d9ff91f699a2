/* The tests of kernels share this. for_each_build runs a check on every instruction set that this
 * machine has, in every real type, with 1, 2 and 3 threads; whatever the check compares must have
 * the same bits for each number of threads. MIXTAPE_TEST_DEVICE names another device to test.
 *
 * Inputs are made here, and references are computed in double from the values that the kernel got.
 * upload, uniform and blank make arrays of the build's type, and upload_wide and so on those that
 * are wide (mixtape/kernels/list.h). An array remembers its type: values_of and assert_close take
 * both. */
#ifndef MT_TESTS_KERNELS_KERNEL_TEST_H
#define MT_TESTS_KERNELS_KERNEL_TEST_H

#include <mixtape/random.h>

#include "kernels/device.h"
#include "kernels/float16.h"
#include "tests/sanitizers.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARRAYS = 4096, GUARD_BYTES = 64, GUARD = 0xA5 };

/* A size beyond which the CPU's kernels use their threads. */
enum { MANY = 40000 };

typedef struct array_record {
    void *memory;
    size_t bytes;
    bool on_device; /* with a guard behind it, which must be whole at the end */
    mt_dtype dtype; /* MT_I32: anything but reals */
} array_record;

typedef struct kernel_build {
    const char *name; /* for messages: "avx512" */
    mt_device *device;
    mt_dtype dtype;
    const mt_kernels *kernels;
    double epsilon; /* of what it computes with */
    array_record arrays[MOST_ARRAYS];
    int count;
    uint64_t fingerprint; /* of all that was compared */
} kernel_build;

static inline void *remember(kernel_build *build, void *memory, size_t bytes, bool on_device)
{
    ck_assert_ptr_nonnull(memory);
    ck_assert_int_lt(build->count, MOST_ARRAYS);
    build->arrays[build->count++] = (array_record){memory, bytes, on_device, MT_I32};
    return memory;
}

/* Rows of so many columns take CUDA-on-CPU minutes where ThreadSanitizer watches each thread. */
static inline bool takes_too_long(const kernel_build *build, int64_t C)
{
    return WATCHES_THREADS && strcmp(build->device->name, "cpu") != 0 && C > MANY / 2;
}

/* Memory on the device, freed when the check ends, with every bit of its reals set: a NaN that
 * shows where a kernel has written nothing. */
static inline void *blank_bytes(kernel_build *build, size_t bytes)
{
    void *memory;
    ck_assert_msg(build->device->allocate(build->device, bytes + GUARD_BYTES, &memory) == MT_OK,
                  "%s", mt_error_message());
    unsigned char *content = malloc(bytes + GUARD_BYTES);
    ck_assert_ptr_nonnull(content);
    memset(content, 0xFF, bytes);
    memset(content + bytes, GUARD, GUARD_BYTES);
    ck_assert_int_eq(build->device->write(build->device, memory, content, bytes + GUARD_BYTES),
                     MT_OK);
    free(content);
    return remember(build, memory, bytes, true);
}

static inline void *blank_as(kernel_build *build, mt_dtype dtype, int64_t n)
{
    void *array = blank_bytes(build, (size_t)n * mt_dtype_size(dtype));
    build->arrays[build->count - 1].dtype = dtype;
    return array;
}

static inline void *blank(kernel_build *build, int64_t n)
{
    return blank_as(build, build->dtype, n);
}

static inline void *blank_wide(kernel_build *build, int64_t n)
{
    return blank_as(build, mt_dtype_wide(build->dtype), n);
}

static inline double *host_doubles(kernel_build *build, int64_t n)
{
    return remember(build, calloc((size_t)(n > 0 ? n : 1), sizeof(double)), 0, false);
}

/* The number of a type nearest to x, of two the even one: a multiple of the unit of its last digit,
 * or of the smallest number. By arithmetic, where kernels do it by bits. */
static inline double nearest_of(mt_dtype dtype, double x)
{
    static const struct {
        int digits, smallest, beyond; /* of the two, powers of 2 */
    } kinds[] = {[MT_BF16] = {8, -133, 128}, [MT_F16] = {11, -24, 16}};
    int exponent;
    if ((dtype != MT_BF16 && dtype != MT_F16) || x == 0.0 || !isfinite(x)) {
        return x;
    }
    (void)frexp(x, &exponent);
    int last = exponent - kinds[dtype].digits, smallest = kinds[dtype].smallest;
    double unit = ldexp(1.0, last > smallest ? last : smallest);
    double nearest = nearbyint(x / unit) * unit;
    return fabs(nearest) < ldexp(1.0, kinds[dtype].beyond) ? nearest
                                                           : copysign((double)INFINITY, x);
}

/* Writes x as a real of the type. */
static inline void put_real(mt_dtype dtype, double x, char *to)
{
    float single = (float)nearest_of(dtype, x);
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    uint16_t upper_half = (uint16_t)(bits >> 16);
    mt_f16 half = mt_f16_rounded(single); /* which it is already */
    const void *reals[] = {
        [MT_F32] = &single, [MT_F64] = &x, [MT_BF16] = &upper_half, [MT_F16] = &half};
    memcpy(to, reals[dtype], mt_dtype_size(dtype));
}

static inline void *upload_as(kernel_build *build, mt_dtype dtype, const double *values, int64_t n)
{
    void *array = blank_as(build, dtype, n);
    size_t size = mt_dtype_size(dtype), bytes = (size_t)n * size;
    char *reals = malloc(bytes > 0 ? bytes : 1);
    ck_assert_ptr_nonnull(reals);
    for (int64_t i = 0; i < n; i++) {
        put_real(dtype, values[i], reals + (size_t)i * size);
    }
    ck_assert_int_eq(build->device->write(build->device, array, reals, bytes), MT_OK);
    free(reals);
    return array;
}

static inline void *upload(kernel_build *build, const double *values, int64_t n)
{
    return upload_as(build, build->dtype, values, n);
}

static inline void *upload_wide(kernel_build *build, const double *values, int64_t n)
{
    return upload_as(build, mt_dtype_wide(build->dtype), values, n);
}

/* n numbers, uniform in low .. high. */
static inline double *draw(kernel_build *build, int64_t n, double low, double high, uint64_t seed)
{
    double *values = host_doubles(build, n);
    mt_random random = mt_random_make(seed, 1);
    for (int64_t i = 0; i < n; i++) {
        values[i] = low + (high - low) * mt_random_uniform(&random);
    }
    return values;
}

static inline void *uniform(kernel_build *build, int64_t n, double low, double high, uint64_t seed)
{
    return upload(build, draw(build, n, low, high, seed), n);
}

static inline void *uniform_wide(kernel_build *build, int64_t n, double low, double high,
                                 uint64_t seed)
{
    return upload_wide(build, draw(build, n, low, high, seed), n);
}

static inline int32_t *indices(kernel_build *build, int64_t n, int32_t bound, uint64_t seed)
{
    mt_random random = mt_random_make(seed, 2);
    int32_t *values = malloc((size_t)(n > 0 ? n : 1) * sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int64_t i = 0; i < n; i++) {
        values[i] = (int32_t)mt_random_below(&random, (uint64_t)bound);
    }
    int32_t *array = blank_bytes(build, (size_t)n * sizeof *values);
    ck_assert_int_eq(build->device->write(build->device, array, values, (size_t)n * sizeof *values),
                     MT_OK);
    free(values);
    return array;
}

/* The type of the array that begins here, or that this is within. */
static inline mt_dtype type_of(const kernel_build *build, const void *array)
{
    uintptr_t at = (uintptr_t)array;
    for (int i = build->count - 1; i >= 0; i--) {
        const array_record *record = &build->arrays[i];
        uintptr_t first = (uintptr_t)record->memory;
        if (record->dtype != MT_I32 && first <= at && at <= first + record->bytes) {
            return record->dtype;
        }
    }
    ck_abort_msg("%s: not an array of reals", build->name);
    return MT_I32;
}

/* The array from its second real on, where no access to several at once may begin. */
static inline void *without_first_real(const kernel_build *build, void *array)
{
    return (char *)array + mt_dtype_size(type_of(build, array));
}

/* The array's values on the host, as doubles. */
static inline double *values_of(kernel_build *build, const void *array, int64_t n)
{
    mt_dtype dtype = type_of(build, array);
    double *values = host_doubles(build, n);
    const char *reals = (const char *)values;
    size_t size = mt_dtype_size(dtype);
    ck_assert_msg(build->device->read_back(build->device, values, array, (size_t)n * size) == MT_OK,
                  "%s", mt_error_message());
    for (int64_t i = 0; i < n; i++) {
        uint64_t word = 0;
        memcpy(&word, reals + (size_t)i * size, size);
        build->fingerprint = (build->fingerprint ^ word) * 1099511628211u;
    }
    mt_reals_widen(dtype, n, values);
    return values;
}

/* Tells if a real of this type is within a bound of what is expected. One of 16 bits was computed
 * in float32 and rounded once, which keeps order: it is between the bounds, rounded as well. */
static inline bool is_within(mt_dtype dtype, double real, double expected, double bound)
{
    if (dtype == MT_BF16 || dtype == MT_F16) {
        return real == nearest_of(dtype, expected) ||
               (real >= nearest_of(dtype, expected - bound) &&
                real <= nearest_of(dtype, expected + bound));
    }
    return real == expected || fabs(real - expected) <= bound;
}

/* Asserts |array - expected| <= units epsilon (1 + |expected|) everywhere, before the rounding to
 * 16 bits where the array has so many. */
static inline void assert_close(kernel_build *build, const char *what, const void *array,
                                const double *expected, int64_t n, double units)
{
    mt_dtype dtype = type_of(build, array);
    const double *values = values_of(build, array, n);
    for (int64_t i = 0; i < n; i++) {
        double bound = units * build->epsilon * (1.0 + fabs(expected[i]));
        /* Not ck_assert, which writes to a pipe each time it holds. */
        if (!is_within(dtype, values[i], expected[i], bound)) {
            ck_abort_msg("%s %s: %s[%lld] is %.17g, expected %.17g", build->name,
                         mt_dtype_name(build->dtype), what, (long long)i, values[i], expected[i]);
        }
    }
}

static inline void assert_ok(mt_status status)
{
    ck_assert_msg(status == MT_OK, "%s", mt_error_message());
}

static inline void assert_fails_with(mt_status status, mt_status expected, const char *part)
{
    ck_assert_int_eq(status, expected);
    ck_assert_msg(strstr(mt_error_message(), part) != NULL, "'%s' not in '%s'", part,
                  mt_error_message());
}

/* `status`, or what the device finds out later. */
static inline mt_status settled(kernel_build *build, mt_status status)
{
    return status == MT_OK ? build->device->synchronize(build->device) : status;
}

static inline void release_arrays(kernel_build *build)
{
    for (int i = 0; i < build->count; i++) {
        array_record *array = &build->arrays[i];
        if (!array->on_device) {
            free(array->memory);
            continue;
        }
        unsigned char guard[GUARD_BYTES];
        assert_ok(build->device->read_back(build->device, guard,
                                           (char *)array->memory + array->bytes, GUARD_BYTES));
        for (int byte = 0; byte < GUARD_BYTES; byte++) {
            ck_assert_msg(guard[byte] == GUARD, "%s: written %d bytes behind an array of %zu bytes",
                          build->name, byte, array->bytes);
        }
        build->device->release(build->device, array->memory);
    }
    build->count = 0;
}

/* Where threads are watched, all of them are there from the beginning; where addresses are, none
 * shows what the fewest and the most do not. */
static inline void check_types(const char *name, mt_device *device, mt_dtype first_type,
                               mt_dtype last_type, void (*check)(kernel_build *))
{
    for (int type = (int)first_type; type <= (int)last_type; type++) {
        uint64_t first = 0;
        int most_threads =
            strcmp(device->name, "cpu") == 0 ? 3 : 2; /* elsewhere: again, same bits */
        int least_threads = WATCHES_THREADS ? most_threads : 1;
        int step = WATCHES_ADDRESSES ? most_threads - 1 : 1;
        for (int threads = least_threads; threads <= most_threads; threads += step) {
            kernel_build build = {.name = name,
                                  .device = device,
                                  .dtype = (mt_dtype)type,
                                  .kernels = device->kernels[type],
                                  .epsilon = type == MT_F64 ? DBL_EPSILON : (double)FLT_EPSILON,
                                  .fingerprint = 14695981039346656037u};
            mt_cpu_set_threads(threads);
            check(&build);
            release_arrays(&build);
            first = threads == least_threads ? build.fingerprint : first;
            ck_assert_msg(build.fingerprint == first,
                          "%s %s: other bits with %d threads than with 1", name,
                          mt_dtype_name(build.dtype), threads);
        }
    }
    mt_cpu_set_threads(0);
}

/* In the real types from the first to the last. What threads do to one another depends on no
 * instruction set: where they are watched, the best is enough. */
static inline void for_each_build_of(mt_dtype first_type, mt_dtype last_type,
                                     void (*check)(kernel_build *))
{
    static const char *const isas[] = {"avx512", "avx2", "baseline"};
    const char *other = getenv("MIXTAPE_TEST_DEVICE");
    mt_device *device;
    if (other != NULL && strcmp(other, "cpu") != 0) {
        assert_ok(mt_device_open(other, &device));
        check_types(other, device, first_type, last_type, check);
        mt_device_close(device);
        return;
    }
    int checked = 0;
    const int enough = WATCHES_THREADS ? 1 : sizeof isas / sizeof *isas;
    for (size_t i = 0; i < sizeof isas / sizeof *isas && checked < enough; i++) {
        setenv("MIXTAPE_ISA", isas[i], 1);
        if (mt_device_open("cpu", &device) == MT_OK) {
            ck_assert_str_eq(mt_cpu_isa(), isas[i]);
            check_types(isas[i], device, first_type, last_type, check);
            mt_device_close(device);
            checked++;
        }
    }
    unsetenv("MIXTAPE_ISA");
    ck_assert_int_gt(checked, 0);
}

static inline void for_each_build(void (*check)(kernel_build *))
{
    for_each_build_of(MT_F32, (mt_dtype)(MT_REAL_DTYPES - 1), check);
}

/* In all types that there are tables of kernels for. */
static inline void for_each_table(void (*check)(kernel_build *))
{
    for_each_build_of(MT_F32, (mt_dtype)(MT_KERNEL_TABLES - 1), check);
}

#endif
