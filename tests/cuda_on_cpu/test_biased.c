/* Products with a bias on the CUDA device: when cuBLASLt adds it, and what is done where it does
 * not. All numbers are small integers, so every way has the same result. */
#include "control.h"
#include "kernels/bfloat16.h"
#include "kernels/device.h"
#include "kernels/matmul_steps.h"
#include "tests/check_main.h"

#include <string.h>

enum { M = 6, N = 16, K = 24, MOST = 3, ROOM = 1 << 14 };

static mt_device *device;

static void open_device(void)
{
    ck_assert_int_eq(mt_device_open("cuda", &device), MT_OK);
}

static void close_device(void)
{
    mt_device_close(device);
    cuda_on_cpu_set_machine(CUDA_ON_CPU_WORKS);
    ck_assert_int_eq(cuda_on_cpu_live(), 0);
}

/* ---- numbers in arrays of the device ---- */

static int integer(int64_t i, int which)
{
    return (int)((i * 7 + which * 3 + i / 5) % 5) - 2;
}

static void put_number(mt_dtype dtype, void *array, int64_t i, double number)
{
    if (dtype == MT_F64) {
        ((double *)array)[i] = number;
    } else if (dtype == MT_F32) {
        ((float *)array)[i] = (float)number;
    } else {
        ((mt_bf16 *)array)[i] = mt_bf16_rounded((float)number);
    }
}

static double number_at(mt_dtype dtype, const void *array, int64_t i)
{
    return dtype == MT_F64   ? ((const double *)array)[i]
           : dtype == MT_F32 ? ((const float *)array)[i]
                             : mt_bf16_value(((const mt_bf16 *)array)[i]);
}

/* The integers of array `which`, from element `first` on. */
static void *upload(mt_dtype dtype, int which, int64_t first)
{
    static double room[ROOM];
    void *array;
    memset(room, 0, sizeof room);
    for (int64_t i = first; i < ROOM; i++) {
        put_number(dtype, room, i, integer(i - first, which));
    }
    ck_assert_int_eq(device->allocate(device, ROOM * mt_dtype_size(dtype), &array), MT_OK);
    ck_assert_int_eq(device->write(device, array, room, ROOM * mt_dtype_size(dtype)), MT_OK);
    return array;
}

/* ---- products ---- */

/* The types of the factors and of the result. */
typedef struct types {
    mt_dtype factors, result;
} types;

static const types all_types[] = {
    {MT_F32, MT_F32}, {MT_F64, MT_F64}, {MT_BF16, MT_BF16}, {MT_BF16, MT_F32}};
enum { TYPES = sizeof all_types / sizeof *all_types };

/* In elements, from a multiple of 16 bytes on. */
typedef struct places {
    int64_t a, b, c, bias, narrow_bias;
} places;

typedef struct calls {
    int biased, biases, products; /* products with a bias, biases by themselves, other products */
} calls;

static mt_status count_call(void *context, const char *name, double seconds)
{
    calls *made = context;
    (void)seconds;
    made->biased += strstr(name, "+ bias") != NULL;
    made->biases += strcmp(name, "bias") == 0;
    made->products += strncmp(name, "product", 7) == 0 && strstr(name, "+ bias") == NULL;
    return MT_OK;
}

static void *from(void *array, mt_dtype dtype, int64_t first)
{
    return (char *)array + (size_t)first * mt_dtype_size(dtype);
}

static double expected_at(const mt_matmul_args *args, int64_t index, int64_t m, int64_t n)
{
    double sum = integer(index * args->bias_step + n, 3);
    for (int64_t k = 0; k < args->K; k++) {
        int64_t in_a = args->transpose_a ? k * args->M + m : m * args->K + k;
        int64_t in_b = args->transpose_b ? n * args->K + k : k * args->N + n;
        sum += integer(index * args->a_step + in_a, 1) * integer(index * args->b_step + in_b, 2);
    }
    return sum;
}

static void check_result(const mt_matmul_args *args, mt_dtype dtype, const void *c)
{
    static double room[ROOM];
    const mt_matmul_args of = mt_matmul_spelled_out(args);
    int64_t last = (of.batch - 1) * of.c_step + of.M * of.N;
    ck_assert_int_eq(device->read_back(device, room, c, (size_t)last * mt_dtype_size(dtype)),
                     MT_OK);
    for (int64_t i = 0; i < of.batch * of.M * of.N; i++) {
        int64_t index = i / (of.M * of.N), at = i % (of.M * of.N);
        ck_assert_double_eq(number_at(dtype, room, index * of.c_step + at),
                            expected_at(&of, index, at / of.N, at % of.N));
    }
}

/* Makes the product with the arrays in their places, checks it, and tells by which calls. */
static calls multiply_from(types of, mt_matmul_args args, places at, bool has_narrow)
{
    mt_dtype wide = mt_dtype_wide(of.factors);
    void *arrays[] = {upload(of.factors, 1, at.a), upload(of.factors, 2, at.b),
                      upload(of.result, 0, 0), upload(wide, 3, at.bias),
                      upload(of.factors, 3, at.narrow_bias)};
    calls made = {0, 0, 0};
    args.alpha = 1.0;
    args.wide = of.result != of.factors;
    args.a = from(arrays[0], of.factors, at.a);
    args.b = from(arrays[1], of.factors, at.b);
    args.c = from(arrays[2], of.result, at.c);
    args.bias = from(arrays[3], wide, at.bias);
    args.narrow_bias =
        has_narrow && of.factors == MT_BF16 ? from(arrays[4], of.factors, at.narrow_bias) : NULL;
    ck_assert_int_eq(device->trace(device), MT_OK);
    mt_status status = device->kernels[of.factors]->matmul(device, &args);
    ck_assert_msg(status == MT_OK, "%s", mt_error_message());
    ck_assert_int_eq(device->traced(device, count_call, &made), MT_OK);
    check_result(&args, of.result, args.c);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        device->release(device, arrays[i]);
    }
    return made;
}

static void expect_calls(calls made, bool biased)
{
    ck_assert_int_eq(made.biased, biased);
    ck_assert_int_eq(made.biases, !biased);
    ck_assert_int_eq(made.products, !biased);
}

static const places together = {0, 0, 0, 0, 0};

static void check_products(bool biased)
{
    for (int i = 0; i < 8 * TYPES; i++) {
        mt_matmul_args one = {.transpose_a = i & 1, .transpose_b = i & 2, .M = M, .N = N, .K = K};
        mt_matmul_args several = one;
        several.batch = MOST;
        several.a_step = M * K + 8;
        several.b_step = K * N + 16;
        several.c_step = M * N + 24;
        several.bias_step = N + 32;
        expect_calls(multiply_from(all_types[i / 8], i & 4 ? several : one, together, true),
                     biased);
    }
}

START_TEST(test_a_bias_is_added_within_the_product)
{
    check_products(true);
}
END_TEST

START_TEST(test_without_cublaslt_results_begin_as_the_bias)
{
    cuda_on_cpu_set_machine(CUDA_ON_CPU_NO_BLAS_LT);
    check_products(false);
}
END_TEST

START_TEST(test_without_an_algorithm_results_begin_as_the_bias)
{
    cuda_on_cpu_set_machine(CUDA_ON_CPU_NO_ALGORITHM);
    check_products(false);
}
END_TEST

/* cuBLASLt counts on 16 bytes: whatever lies otherwise is not its. */
START_TEST(test_what_lies_at_other_addresses_is_not_for_cublaslt)
{
    static const places moved[] = {{1, 0, 0, 0, 0}, {0, 1, 0, 0, 0}, {0, 0, 1, 0, 0}};
    const mt_matmul_args one = {.M = M, .N = N, .K = K};
    for (int i = 0; i < TYPES; i++) {
        types of = all_types[i];
        for (size_t k = 0; k < sizeof moved / sizeof *moved; k++) {
            expect_calls(multiply_from(of, one, moved[k], true), false);
        }
        bool narrow = of.result == MT_BF16;
        expect_calls(multiply_from(of, one, (places){0, 0, 0, 1, 0}, true), narrow);
        expect_calls(multiply_from(of, one, (places){0, 0, 0, 0, 1}, true), !narrow);
    }
}
END_TEST

/* Of a shape that is known from arrays at larger powers of two, too. */
START_TEST(test_sixteen_bytes_are_enough)
{
    const mt_matmul_args one = {.M = M, .N = N, .K = K};
    for (int i = 0; i < TYPES; i++) {
        int64_t in_factors = 16 / (int64_t)mt_dtype_size(all_types[i].factors),
                in_result = 16 / (int64_t)mt_dtype_size(all_types[i].result);
        const places at = {in_factors, in_factors, in_result, in_result, in_factors};
        expect_calls(multiply_from(all_types[i], one, together, true), true);
        expect_calls(multiply_from(all_types[i], one, at, true), true);
    }
}
END_TEST

START_TEST(test_odd_steps_are_not_for_cublaslt)
{
    for (int i = 0; i < 4 * TYPES; i++) {
        mt_matmul_args several = {.M = M, .N = N, .K = K, .batch = MOST};
        several.a_step = M * K + (i % 4 == 0);
        several.b_step = K * N + (i % 4 == 1);
        several.c_step = M * N + (i % 4 == 2);
        several.bias_step = N + (i % 4 == 3);
        expect_calls(multiply_from(all_types[i / 4], several, together, true), false);
    }
}
END_TEST

/* A bias is of its result's type, and is rounded to bfloat16 by nobody within the product. */
START_TEST(test_a_result_in_bf16_needs_a_bias_in_it)
{
    const mt_matmul_args one = {.M = M, .N = N, .K = K};
    for (int i = 0; i < TYPES; i++) {
        expect_calls(multiply_from(all_types[i], one, together, false),
                     all_types[i].result != MT_BF16);
    }
}
END_TEST

/* 257 is not in bfloat16: rounded before the bias came to it, the sum would be 256. */
START_TEST(test_the_sum_and_the_bias_are_rounded_once)
{
    enum { TERMS = 257 };
    mt_bf16 ones[TERMS], result;
    const float bias = 1.0f;
    void *a, *wide, *c;
    for (int i = 0; i < TERMS; i++) {
        ones[i] = mt_bf16_rounded(1.0f);
    }
    ck_assert_int_eq(device->allocate(device, sizeof ones, &a), MT_OK);
    ck_assert_int_eq(device->allocate(device, sizeof bias, &wide), MT_OK);
    ck_assert_int_eq(device->allocate(device, sizeof result, &c), MT_OK);
    ck_assert_int_eq(device->write(device, a, ones, sizeof ones), MT_OK);
    ck_assert_int_eq(device->write(device, wide, &bias, sizeof bias), MT_OK);
    const mt_matmul_args args = {.M = 1,
                                 .N = 1,
                                 .K = TERMS,
                                 .alpha = 1.0,
                                 .a = a,
                                 .b = a,
                                 .c = c,
                                 .bias = wide,
                                 .narrow_bias = a};
    calls made = {0, 0, 0};
    ck_assert_int_eq(device->trace(device), MT_OK);
    ck_assert_int_eq(device->kernels[MT_BF16]->matmul(device, &args), MT_OK);
    ck_assert_int_eq(device->traced(device, count_call, &made), MT_OK);
    expect_calls(made, true);
    ck_assert_int_eq(device->read_back(device, &result, c, sizeof result), MT_OK);
    ck_assert_float_eq(mt_bf16_value(result), 258.0f);
    device->release(device, a);
    device->release(device, wide);
    device->release(device, c);
}
END_TEST

/* 1 + 2^-12 is a float, and 1 in TF32; the bias is no factor. */
START_TEST(test_factors_round_to_tf32_where_allowed_alone)
{
    const float numbers[16] = {[0] = 1.0f + 0x1p-12f, [4] = 1.0f, [8] = 1.0f + 0x1p-12f};
    float result;
    void *array;
    ck_assert_int_eq(device->allocate(device, sizeof numbers, &array), MT_OK);
    ck_assert_int_eq(device->write(device, array, numbers, sizeof numbers), MT_OK);
    const mt_matmul_args args = {.M = 1,
                                 .N = 1,
                                 .K = 1,
                                 .alpha = 1.0,
                                 .a = array,
                                 .b = (float *)array + 4,
                                 .bias = (float *)array + 8,
                                 .c = (float *)array + 12};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(device->write(device, array, numbers, sizeof numbers), MT_OK);
        ck_assert_int_eq(device->allow_tf32(device, i == 1), MT_OK);
        ck_assert_int_eq(device->kernels[MT_F32]->matmul(device, &args), MT_OK);
        ck_assert_int_eq(device->read_back(device, &result, args.c, sizeof result), MT_OK);
        ck_assert_float_eq(result, 2.0f + (i == 1 ? 0x1p-12f : 0x1p-11f));
    }
    device->release(device, array);
}
END_TEST

static calls multiply_rows(int64_t rows)
{
    const mt_matmul_args args = {.M = rows, .N = N, .K = K};
    return multiply_from(all_types[0], args, together, true);
}

START_TEST(test_more_shapes_than_are_kept_take_no_more_memory)
{
    enum { KEPT = 64, SHAPES = 100 };
    for (int64_t rows = 1; rows <= KEPT; rows++) {
        expect_calls(multiply_rows(rows), true);
    }
    int live = cuda_on_cpu_live();
    for (int64_t rows = KEPT + 1; rows <= SHAPES; rows++) {
        expect_calls(multiply_rows(rows), true);
    }
    for (int64_t rows = 1; rows <= SHAPES; rows++) {
        expect_calls(multiply_rows(rows), true);
    }
    ck_assert_int_eq(cuda_on_cpu_live(), live);
}
END_TEST

/* Five arrays are allocated for each product here. */
START_TEST(test_a_shape_that_is_known_allocates_nothing)
{
    expect_calls(multiply_rows(M), true);
    expect_calls(multiply_rows(M + 1), true);
    cuda_on_cpu_fail_allocation(0);
    expect_calls(multiply_rows(M), true);
    expect_calls(multiply_rows(M + 1), true);
    ck_assert_int_eq(cuda_on_cpu_fail_allocation(0), 2 * 5);
}
END_TEST

START_TEST(test_memory_that_cublaslt_does_not_get_is_told)
{
    mt_status status = MT_ERROR_MEMORY;
    int failing = 0;
    expect_calls(multiply_rows(M), true); /* which opens cuBLAS */
    void *array = upload(MT_F32, 0, 0);
    const mt_matmul_args args = {
        .M = M + 1, .N = N, .K = K, .a = array, .b = array, .bias = array, .c = array};
    while (status != MT_OK) {
        cuda_on_cpu_fail_allocation(++failing);
        status = device->kernels[MT_F32]->matmul(device, &args);
        cuda_on_cpu_fail_allocation(0);
        ck_assert(status == MT_OK || status == MT_ERROR_MEMORY);
        ck_assert(status == MT_OK || strstr(mt_error_message(), "cuBLAS") != NULL);
    }
    ck_assert_int_eq(failing, 6); /* an operation, three layouts and a preference were made */
    expect_calls(multiply_rows(M + 1), true);
    device->release(device, array);
}
END_TEST

START_TEST(test_a_shape_may_be_new_while_work_is_recorded)
{
    mt_recording *recording;
    const mt_matmul_args shape = {.M = M, .N = N, .K = K, .batch = 1};
    void *a = upload(MT_F32, 1, 0), *b = upload(MT_F32, 2, 0), *bias = upload(MT_F32, 3, 0),
         *c = upload(MT_F32, 0, 0);
    mt_matmul_args args = shape;
    args.alpha = 1.0;
    args.a = a;
    args.b = b;
    args.bias = bias;
    args.c = c;
    ck_assert_int_eq(device->record(device), MT_OK);
    ck_assert_int_eq(device->kernels[MT_F32]->matmul(device, &args), MT_OK);
    ck_assert_int_eq(device->recorded(device, &recording), MT_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(device->zero(device, c, M * N * sizeof(float)), MT_OK);
        ck_assert_int_eq(device->replay(device, recording), MT_OK);
        check_result(&args, MT_F32, c);
    }
    device->forget(device, recording);
    device->release(device, a);
    device->release(device, b);
    device->release(device, bias);
    device->release(device, c);
}
END_TEST

static Suite *biased_suite(void)
{
    return SUITE_WITH(
        "cuda_on_cpu/biased", open_device, close_device, test_a_bias_is_added_within_the_product,
        test_without_cublaslt_results_begin_as_the_bias,
        test_without_an_algorithm_results_begin_as_the_bias,
        test_what_lies_at_other_addresses_is_not_for_cublaslt, test_odd_steps_are_not_for_cublaslt,
        test_sixteen_bytes_are_enough, test_a_result_in_bf16_needs_a_bias_in_it,
        test_the_sum_and_the_bias_are_rounded_once, test_factors_round_to_tf32_where_allowed_alone,
        test_more_shapes_than_are_kept_take_no_more_memory,
        test_a_shape_that_is_known_allocates_nothing,
        test_memory_that_cublaslt_does_not_get_is_told,
        test_a_shape_may_be_new_while_work_is_recorded);
}

MT_TEST_MAIN(biased_suite)
