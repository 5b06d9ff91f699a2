/* The tests of autograd, layers, optim and train share a device, a tape, tensors of repeatable
 * values. */
#ifndef MT_TESTS_AUTOGRAD_GRAPH_TEST_H
#define MT_TESTS_AUTOGRAD_GRAPH_TEST_H

#include <mixtape/extend.h>
#include <mixtape/gradcheck.h>
#include <mixtape/operators.h>
#include <mixtape/random.h>

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The device that a test computes on: MIXTAPE_TEST_DEVICE, or the CPU. */
static mt_device *test_device;
static mt_tape *test_tape;  /* the one under test */
static mt_tape *value_tape; /* holds inputs while test_tape is reset */

static void graph_setup(void)
{
    const char *name = getenv("MIXTAPE_TEST_DEVICE");
    ck_assert_msg(mt_device_open(name != NULL ? name : "cpu", &test_device) == MT_OK, "%s",
                  mt_error_message());
    ck_assert_int_eq(mt_tape_create(test_device, &test_tape), MT_OK);
    ck_assert_int_eq(mt_tape_create(test_device, &value_tape), MT_OK);
}

static void graph_teardown(void)
{
    mt_tape_destroy(test_tape);
    mt_tape_destroy(value_tape);
    mt_device_close(test_device);
}

/* A tensor of values in (-1, 1) that `seed` determines, with a gradient if its type has one. */
static inline mt_tensor *random_tensor(mt_dtype dtype, int rank, const int64_t *shape,
                                       uint64_t seed)
{
    mt_tensor *tensor = mt_tape_input(value_tape, dtype, rank, shape, NULL, dtype != MT_I32);
    ck_assert_msg(tensor != NULL, "%s", mt_tape_error(value_tape));
    int64_t n = mt_tensor_count(tensor);
    mt_random random = mt_random_make(seed, 7);
    void *values = malloc(mt_tensor_bytes(tensor));
    ck_assert_ptr_nonnull(values);
    for (int64_t i = 0; i < n; i++) {
        double value = 2.0 * mt_random_uniform(&random) - 1.0;
        if (dtype == MT_F64) {
            ((double *)values)[i] = value;
        } else if (dtype == MT_F32) {
            ((float *)values)[i] = (float)value;
        } else {
            ((int32_t *)values)[i] = 0;
        }
    }
    ck_assert_int_eq(mt_tensor_write(tensor, values), MT_OK);
    free(values);
    return tensor;
}

#define SHAPE(...)                                                                                 \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[])                         \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define RANDOM(seed, ...)   random_tensor(MT_F64, SHAPE(__VA_ARGS__), seed)
#define RANDOM32(seed, ...) random_tensor(MT_F32, SHAPE(__VA_ARGS__), seed)

/* int32 values on value_tape. */
static inline mt_tensor *index_tensor(int rank, const int64_t *shape, const int32_t *values)
{
    mt_tensor *tensor = mt_tape_input(value_tape, MT_I32, rank, shape, values, false);
    ck_assert_msg(tensor != NULL, "%s", mt_tape_error(value_tape));
    return tensor;
}

/* A scalar that weighs every element of x differently, so that no error in a gradient cancels. */
static inline mt_tensor *weighed_sum(mt_tape *tape, mt_tensor *x)
{
    if (x == NULL) {
        return NULL;
    }
    int64_t n = mt_tensor_count(x);
    double *weights = malloc((size_t)n * sizeof *weights);
    float *narrow = malloc((size_t)n * sizeof *narrow);
    ck_assert_ptr_nonnull(weights);
    ck_assert_ptr_nonnull(narrow);
    for (int64_t i = 0; i < n; i++) {
        weights[i] = cos(0.7 * (double)i + 0.3);
        narrow[i] = (float)weights[i];
    }
    mt_tensor *w = mt_tape_input(tape, x->dtype, x->rank, x->shape,
                                 x->dtype == MT_F64 ? (const void *)weights : narrow, false);
    free(weights);
    free(narrow);
    return mt_sum(tape, mt_multiply(tape, x, w));
}

/* The distance of two arrays by their norm, in units of the expected one's unless that is zero. */
static inline double relative_difference(const double *found, const double *expected, int64_t n)
{
    double apart = 0.0, norm = 0.0;
    for (int64_t i = 0; i < n; i++) {
        apart += (found[i] - expected[i]) * (found[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    return norm > 0.0 ? sqrt(apart / norm) : sqrt(apart);
}

/* Asserts that backward agrees with central differences, to 1e-6. */
static inline void assert_gradients(mt_gradcheck_function function, void *context, int count,
                                    mt_tensor *const *inputs)
{
    mt_gradcheck_result result;
    mt_status status = mt_gradcheck(test_tape, function, context, count, inputs, 200, &result);
    ck_assert_msg(status == MT_OK, "%s", mt_error_message());
    ck_assert_msg(result.error <= 1e-6, "input %d, element %lld: %g, expected %g (error %g)",
                  result.input, (long long)result.index, result.analytic, result.numeric,
                  result.error);
}

static inline void assert_tape_fails_with(const char *part)
{
    ck_assert_int_ne(mt_tape_status(test_tape), MT_OK);
    ck_assert_msg(strstr(mt_tape_error(test_tape), part) != NULL, "'%s' not in '%s'", part,
                  mt_tape_error(test_tape));
}

#endif
