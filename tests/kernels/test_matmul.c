/* Matrix products against sums in double, in every layout. */
#include "kernels/cpu/blas.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/team.h"
#include "tests/check_main.h"
#include "tests/kernels/address_space.h"
#include "tests/kernels/kernel_test.h"

#include <limits.h>
#include <stdio.h>

/* Most of the time here: sanitizers need not look at it. */
__attribute__((no_sanitize("address"), no_sanitize("undefined"), no_sanitize("thread"))) static void
multiply(const mt_matmul_args *args, const double *a, const double *b, double *c)
{
    for (int64_t m = 0; m < args->M; m++) {
        for (int64_t n = 0; n < args->N; n++) {
            double sum = 0.0;
            for (int64_t k = 0; k < args->K; k++) {
                sum += (args->transpose_a ? a[k * args->M + m] : a[m * args->K + k]) *
                       (args->transpose_b ? b[n * args->K + k] : b[k * args->N + n]);
            }
            double *to = &c[m * args->N + n];
            *to = args->alpha * sum + (args->beta != 0.0 ? args->beta * *to : 0.0);
        }
    }
}

/* With beta = 0 the output is NaN before, which must not be read. */
static void check_output(kernel_build *build, mt_matmul_args args)
{
    mt_dtype dtype = args.wide ? mt_dtype_wide(build->dtype) : build->dtype;
    int64_t batch = args.batch > 0 ? args.batch : 1;
    int64_t of_a = args.M * args.K, of_b = args.K * args.N, of_c = args.M * args.N,
            n = batch * of_c;
    args.c = args.beta == 0.0 ? blank_as(build, dtype, n)
                              : upload_as(build, dtype, draw(build, n, -1.0, 1.0, 3), n);
    const double *a = values_of(build, args.a, batch * of_a),
                 *b = values_of(build, args.b, batch * of_b);
    double *expected = values_of(build, args.c, n);
    for (int64_t i = 0; i < batch; i++) {
        multiply(&args, a + i * of_a, b + i * of_b, expected + i * of_c);
    }
    assert_ok(build->kernels->matmul(build->device, &args));
    uint64_t fingerprint = build->fingerprint; /* BLAS may sum otherwise with other threads */
    assert_close(build, args.wide ? "wide c" : "c", args.c, expected, n, 8.0 + (double)args.K);
    build->fingerprint = fingerprint;
}

/* Into both types that the output may have. */
static void check_outputs(kernel_build *build, mt_matmul_args args)
{
    check_output(build, args);
    args.wide = true;
    check_output(build, args);
}

/* The same product with factors. */
static mt_matmul_args with_factors(kernel_build *build, mt_matmul_args args)
{
    int64_t batch = args.batch > 0 ? args.batch : 1;
    args.a = uniform(build, batch * args.M * args.K, -1.0, 1.0, 1);
    args.b = uniform(build, batch * args.K * args.N, -1.0, 1.0, 2);
    return args;
}

static void check_product(kernel_build *build, int64_t M, int64_t N, int64_t K, bool transpose_a,
                          bool transpose_b, double alpha, double beta)
{
    const mt_matmul_args args = {transpose_a, transpose_b, M, N, K, alpha, beta};
    check_outputs(build, with_factors(build, args));
}

static void check_layouts(kernel_build *build)
{
    /* The last two are shared out among threads, by columns and by rows. */
    static const int64_t sizes[][3] = {{1, 1, 1},    {1, 3, 17},    {17, 1, 3},   {3, 17, 33},
                                       {33, 65, 70}, {70, 200, 65}, {300, 45, 50}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int layout = 0; layout < 4; layout++) {
            int64_t M = sizes[i][0], N = sizes[i][1], K = sizes[i][2];
            check_product(build, M, N, K, layout & 1, layout & 2, 1.0, 0.0);
            check_product(build, M, N, K, layout & 1, layout & 2, 1.0, 1.0);
            check_product(build, M, N, K, layout & 1, layout & 2, -0.5, 1.0);
            check_product(build, M, N, K, layout & 1, layout & 2, 2.0, 0.25);
        }
    }
}

START_TEST(test_every_layout_alpha_and_beta)
{
    for_each_build(check_layouts);
}
END_TEST

/* Few rows by many weights, which the CPU has a kernel for: in pieces of K, groups of N that do not
 * come out even, and enough work for threads, on which no bit depends. */
static void check_few_rows(kernel_build *build)
{
    static const int64_t sizes[][3] = {{1, 1, 1025}, {1, 9, 2100}, {2, 4, 1024},  {3, 6, 1500},
                                       {4, 7, 33},   {5, 7, 33},   {1, 301, 150}, {4, 302, 150}};
    bool is_cpu = strcmp(build->device->name, "cpu") == 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t M = sizes[i][0], N = sizes[i][1], K = sizes[i][2];
        check_product(build, M, N, K, false, true, 1.0, 0.0);
        check_product(build, M, N, K, M == 1, true, 1.0, 1.0);
        check_product(build, M, N, K, false, true, -0.5, 0.25);
        mt_matmul_args args = with_factors(build, (mt_matmul_args){false, true, M, N, K, 1.0, 0.0});
        args.c = blank(build, M * N);
        assert_ok(build->kernels->matmul(build->device, &args));
        if (is_cpu && M <= 4) {
            values_of(build, args.c, M * N); /* which counts for the bits */
        }
    }
}

START_TEST(test_few_rows_have_the_same_bits_on_any_threads)
{
    for_each_build(check_few_rows);
}
END_TEST

/* Larger ones with a short side, which the CPU's builds for AVX-512 have tiles for: rows and
 * columns that do not come out even, one column more than vectors have, several panels, K in
 * pieces. No bit depends on the threads. */
static void check_tiles(kernel_build *build)
{
    static const int64_t sizes[][3] = {
        {128, 64, 300}, {1000, 33, 64}, {97, 129, 257}, {701, 65, 47}, {64, 50, 1111}};
    static const double factors[][2] = {{1.0, 0.0}, {0.3, 0.7}};
    bool is_cpu = strcmp(build->device->name, "cpu") == 0;
    if (!is_cpu || strcmp(mt_cpu_isa(), "avx512") != 0 || build->dtype == MT_BF16) {
        return;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int layout = 0; layout < 4; layout++) {
            int64_t M = sizes[i][0], N = sizes[i][1], K = sizes[i][2];
            check_product(build, M, N, K, layout & 1, layout & 2, -0.5, layout < 2 ? 0.25 : 0.0);
            if ((layout & 2) != 0 && N > M) {
                continue; /* OpenBLAS's */
            }
            for (int factor = 0; factor < 2; factor++) {
                double alpha = factors[factor][0], beta = factors[factor][1];
                mt_matmul_args args = {layout & 1, layout & 2, M, N, K, alpha, beta, .batch = 2};
                args = with_factors(build, args);
                args.c = uniform(build, 2 * M * N, -1.0, 1.0, 3);
                check_output(build, args);
                assert_ok(build->kernels->matmul(build->device, &args));
                values_of(build, args.c, 2 * M * N); /* which counts for the bits */
            }
        }
    }
}

START_TEST(test_tiles_have_the_same_bits_on_any_threads)
{
    for_each_build(check_tiles);
}
END_TEST

/* Weights in fewer bits, and the values that they stand for. */
typedef struct compact_weights {
    mt_dtype type;
    const void *weights;
    const float *scales;
    double *values;
} compact_weights;

static compact_weights make_compact(kernel_build *build, mt_dtype type, int64_t N, int64_t K)
{
    compact_weights made = {.type = type};
    if (type == MT_BF16) {
        made.weights = upload_as(build, MT_BF16, draw(build, N * K, -1.0, 1.0, 6), N * K);
        made.values = values_of(build, made.weights, N * K);
        return made;
    }
    mt_random random = mt_random_make(7, 1);
    int8_t *integers = malloc((size_t)(N * K));
    ck_assert_ptr_nonnull(integers);
    double *scales = draw(build, N, 0.0, 1.0 / 127.0, 8);
    float *on_device = upload_as(build, MT_F32, scales, N);
    double *rounded = values_of(build, on_device, N);
    made.values = host_doubles(build, N * K);
    for (int64_t i = 0; i < N * K; i++) {
        integers[i] = (int8_t)((int)mt_random_below(&random, 255) - 127);
        made.values[i] = rounded[i / K] * integers[i];
    }
    void *memory = blank_bytes(build, (size_t)(N * K));
    assert_ok(build->device->write(build->device, memory, integers, (size_t)(N * K)));
    free(integers);
    made.weights = memory;
    made.scales = on_device;
    return made;
}

static void check_compact(kernel_build *build, mt_dtype type, const int64_t size[3], double beta)
{
    int64_t M = size[0], N = size[1], K = size[2];
    compact_weights weights = make_compact(build, type, N, K);
    mt_matmul_compact_args args = {.M = M,
                                   .N = N,
                                   .K = K,
                                   .beta = beta,
                                   .x = uniform(build, M * K, -1.0, 1.0, 1),
                                   .type = type,
                                   .weights = weights.weights,
                                   .scales = weights.scales};
    args.y = beta == 0.0 ? blank(build, M * N) : uniform(build, M * N, -1.0, 1.0, 3);
    double *expected = values_of(build, args.y, M * N);
    mt_matmul_args plain = {
        .transpose_b = true, .M = M, .N = N, .K = K, .alpha = 1.0, .beta = beta};
    multiply(&plain, values_of(build, args.x, M * K), weights.values, expected);
    assert_ok(build->kernels->matmul_compact(build->device, &args));
    assert_close(build, mt_dtype_name(type), args.y, expected, M * N, 8.0 + (double)K);
}

/* Single numbers, rests of vectors and of groups, few rows and more than a tile of them, pieces. */
static void check_compact_sizes(kernel_build *build)
{
    static const int64_t sizes[][3] = {{1, 1, 1},    {1, 3, 17},    {2, 9, 16},    {1, 16, 2100},
                                       {3, 8, 33},   {4, 15, 1024}, {5, 17, 1025}, {9, 7, 1},
                                       {67, 19, 70}, {130, 8, 64},  {1, 301, 150}, {2, 3, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_compact(build, MT_BF16, sizes[i], 0.0);
        check_compact(build, MT_BF16, sizes[i], 0.5);
        check_compact(build, MT_I8, sizes[i], 0.0);
        check_compact(build, MT_I8, sizes[i], 1.0);
    }
}

START_TEST(test_weights_in_fewer_bits_are_multiplied_as_what_they_stand_for)
{
    for_each_build(check_compact_sizes);
}
END_TEST

/* So a prompt fed at once leaves the state that it leaves symbol by symbol. */
static void check_rows_alone(kernel_build *build)
{
    enum { M = 70, N = 13, K = 1100 };
    size_t row = (size_t)K * mt_dtype_size(build->dtype);
    for (int integers = 0; integers < 2; integers++) {
        compact_weights weights = make_compact(build, integers ? MT_I8 : MT_BF16, N, K);
        char *x = uniform(build, M * K, -1.0, 1.0, 1);
        mt_matmul_compact_args args = {.M = M,
                                       .N = N,
                                       .K = K,
                                       .x = x,
                                       .type = weights.type,
                                       .weights = weights.weights,
                                       .scales = weights.scales,
                                       .y = blank(build, M * N)};
        assert_ok(build->kernels->matmul_compact(build->device, &args));
        const double *together = values_of(build, args.y, M * N);
        args.y = blank(build, 2 * N);
        for (int64_t m = 0; m < M; m += args.M) {
            args.M = m % 3 == 0 && m + 1 < M ? 2 : 1;
            args.x = x + (size_t)m * row;
            assert_ok(build->kernels->matmul_compact(build->device, &args));
            const double *alone = values_of(build, args.y, args.M * N);
            ck_assert_mem_eq(alone, together + m * N, (size_t)(args.M * N) * sizeof *alone);
        }
    }
}

START_TEST(test_rows_have_the_same_bits_however_many_there_are)
{
    for_each_build(check_rows_alone);
}
END_TEST

/* As many products as one after the other, fewer and more than there are threads. */
static void check_batch(kernel_build *build)
{
    static const int64_t sizes[][4] = {{1, 3, 5, 7}, {2, 70, 65, 130}, {11, 33, 17, 65}};
    for (int layout = 0; layout < 12; layout++) {
        const int64_t *size = sizes[layout / 4];
        int64_t batch = size[0], M = size[1], N = size[2], K = size[3];
        mt_matmul_args args = {layout & 1, layout & 2, M, N, K, 1.0, 0.5, .batch = batch};
        args = with_factors(build, args);
        check_outputs(build, args);
        args.beta = 1.0;
        check_outputs(build, args);
    }
}

START_TEST(test_a_batch_is_one_product_after_the_other)
{
    for_each_build(check_batch);
}
END_TEST

/* Matrices with gaps between them, of which nothing is read or written, and with a bias for each or
 * without. */
static void check_step(kernel_build *build, mt_matmul_args args, int64_t gap, bool has_bias)
{
    enum { BATCH = 3 };
    int64_t M = args.M, N = args.N, K = args.K;
    mt_dtype dtype = args.wide ? mt_dtype_wide(build->dtype) : build->dtype;
    args.batch = BATCH;
    args.a_step = M * K + gap;
    args.b_step = K * N + gap;
    args.c_step = M * N + gap;
    args.bias_step = N + gap;
    args.a = uniform(build, BATCH * args.a_step, -1.0, 1.0, 1);
    args.b = uniform(build, BATCH * args.b_step, -1.0, 1.0, 2);
    args.c = upload_as(build, dtype, draw(build, BATCH * args.c_step, -1.0, 1.0, 3),
                       BATCH * args.c_step);
    const void *of_bias = uniform_wide(build, BATCH * args.bias_step, -1.0, 1.0, 4);
    args.bias = has_bias ? of_bias : NULL;
    args.narrow_bias = has_bias && build->dtype == MT_BF16
                           ? uniform(build, BATCH * args.bias_step, -1.0, 1.0, 4)
                           : NULL;
    const double *a = values_of(build, args.a, BATCH * args.a_step),
                 *b = values_of(build, args.b, BATCH * args.b_step),
                 *bias = values_of(build, of_bias, BATCH * args.bias_step);
    double *expected = values_of(build, args.c, BATCH * args.c_step);
    for (int64_t i = 0; i < BATCH; i++) {
        mt_matmul_args one = args;
        double *c = expected + i * args.c_step;
        for (int64_t n = 0; n < M * N && has_bias; n++) {
            double begun = bias[i * args.bias_step + n % N];
            c[n] = dtype == MT_BF16 ? nearest_of(MT_BF16, begun) : begun;
        }
        one.beta = has_bias ? 1.0 : args.beta;
        multiply(&one, a + i * args.a_step, b + i * args.b_step, c);
    }
    assert_ok(build->kernels->matmul(build->device, &args));
    uint64_t fingerprint = build->fingerprint; /* BLAS may sum otherwise with other threads */
    assert_close(build, has_bias ? "c with a bias" : "c in steps", args.c, expected,
                 BATCH * args.c_step, 8.0 + (double)K);
    build->fingerprint = fingerprint;
}

/* Few rows, nothing to sum, and enough for threads: whole products and parts of them. */
static void check_steps(kernel_build *build)
{
    static const int64_t sizes[][3] = {{1, 5, 9},    {3, 16, 33},   {4, 8, 1},    {2, 3, 0},
                                       {33, 65, 40}, {100, 70, 80}, {40, 200, 70}};
    for (int layout = 0; layout < 8; layout++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            mt_matmul_args args = {.transpose_a = layout & 1,
                                   .transpose_b = layout & 2,
                                   .wide = layout & 4,
                                   .M = sizes[i][0],
                                   .N = sizes[i][1],
                                   .K = sizes[i][2],
                                   .alpha = 1.0,
                                   .beta = 0.5};
            check_step(build, args, i % 2 == 0 ? 16 : 3, true);
            check_step(build, args, 3, false);
            args.beta = 0.0;
            check_step(build, args, 8, false);
        }
    }
}

START_TEST(test_matrices_lie_steps_apart_and_begin_as_a_bias)
{
    for_each_build(check_steps);
}
END_TEST

static void check_empty(kernel_build *build)
{
    check_product(build, 0, 3, 5, false, false, 1.0, 0.0);
    check_product(build, 3, 0, 5, false, true, 1.0, 1.0);
    check_product(build, 3, 5, 0, false, false, 1.0, 0.0);
    check_product(build, 3, 5, 0, true, false, 1.0, 1.0);
    check_product(build, 3, 5, 0, false, true, 1.0, 0.5);
}

START_TEST(test_empty_sums_are_zero_and_keep_beta_c)
{
    for_each_build(check_empty);
}
END_TEST

/* OpenBLAS counts in 32 bits, cuBLAS in 64. */
static void check_too_large(kernel_build *build)
{
    if (strcmp(build->device->name, "cpu") != 0) {
        return;
    }
    const int64_t large = (int64_t)INT_MAX + 1;
    const int64_t sizes[][3] = {{large, 1, 1}, {1, large, 1}, {1, 1, large}};
    for (int i = 0; i < 3; i++) {
        mt_matmul_args args = {.M = sizes[i][0], .N = sizes[i][1], .K = sizes[i][2], .alpha = 1.0};
        char figure[32];
        snprintf(figure, sizeof figure, "%lld", (long long)large);
        assert_fails_with(build->kernels->matmul(build->device, &args), MT_ERROR_INVALID, figure);
    }
}

START_TEST(test_dimensions_beyond_blas_are_refused_with_the_figure)
{
    for_each_build(check_too_large);
}
END_TEST

static bool onednn_fails;

mt_status __real_mt_onednn_multiply(const mt_product *product);
mt_status __wrap_mt_onednn_multiply(const mt_product *product);
mt_status __wrap_mt_onednn_multiply(const mt_product *product)
{
    return onednn_fails ? MT_ERROR_DEVICE : __real_mt_onednn_multiply(product);
}

/* Its products are right where they are slow, too. */
const char *__real_mt_cpu_lacks_fast_bf16(void);
const char *__wrap_mt_cpu_lacks_fast_bf16(void);
const char *__wrap_mt_cpu_lacks_fast_bf16(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512bf16")) {
        return NULL;
    }
#endif
    return __real_mt_cpu_lacks_fast_bf16();
}

static void check_failing_onednn(kernel_build *build)
{
    enum { SIZE = 40 };
    mt_matmul_args args =
        with_factors(build, (mt_matmul_args){false, false, SIZE, SIZE, SIZE, 1.0, 0.0});
    args.c = blank(build, SIZE * SIZE);
    bool is_asked = strcmp(build->device->name, "cpu") == 0 && build->dtype == MT_BF16 &&
                    strcmp(mt_cpu_isa(), "avx512") == 0 && mt_onednn_lacks() == NULL;
    onednn_fails = true;
    mt_status status = build->kernels->matmul(build->device, &args);
    onednn_fails = false;
    if (is_asked) {
        assert_fails_with(status, MT_ERROR_DEVICE, "a matrix product failed in oneDNN");
    } else {
        assert_ok(status);
    }
}

START_TEST(test_a_product_that_fails_in_onednn_is_told)
{
    for_each_build(check_failing_onednn);
}
END_TEST

int openblas_get_num_threads(void); /* of cblas.h */

/* A build of OpenBLAS on OpenMP takes all of its threads whenever they are to be had. */
START_TEST(test_openblas_stays_on_the_thread_that_calls_it)
{
    enum { SIZE = 256 };
    static float a[SIZE * SIZE], b[SIZE * SIZE], c[SIZE * SIZE];
    mt_device *device;
    for (int threads = 1; threads <= 3; threads++) {
        mt_cpu_set_threads(threads);
        assert_ok(mt_device_open("cpu", &device));
        mt_matmul_args args = {
            .M = SIZE, .N = SIZE, .K = SIZE, .alpha = 1.0, .a = a, .b = b, .c = c};
        assert_ok(device->kernels[MT_F32]->matmul(device, &args));
        ck_assert_int_eq(openblas_get_num_threads(), 1);
        mt_device_close(device);
    }
    mt_cpu_set_threads(0);
}
END_TEST

static void rest(const void *loop, int64_t first, int64_t end)
{
    (void)loop;
    (void)first;
    (void)end;
}

/* Without address space for more buffers, OpenBLAS would ask for them for ever. The threads are
 * made before, for which AddressSanitizer needs more; what malloc sets apart for each of them, in
 * pieces of 64 MiB, leaves some of the room. */
START_TEST(test_products_take_the_threads_that_openblas_has_buffers_for)
{
    enum { SIZE = 1280, THREADS = 40, ROOM = 4 * MT_BLAS_BUFFER_MIB + 48 };
    static float a[SIZE * SIZE], c[2][SIZE * SIZE];
    for (int i = 0; i < SIZE * SIZE; i++) {
        a[i] = (float)(i % 7);
    }
    mt_cpu_set_threads(THREADS);
    mt_team_run(THREADS, THREADS, rest, NULL);
    for (int limited = 1; limited >= 0; limited--) {
        mt_device *device;
        struct rlimit before = limit_address_space(limited ? ROOM : 0);
        assert_ok(mt_device_open("cpu", &device));
        mt_matmul_args args = {
            .M = SIZE, .N = SIZE, .K = SIZE, .alpha = 1.0, .a = a, .b = a, .c = c[limited]};
        assert_ok(device->kernels[MT_F32]->matmul(device, &args));
        int threads = mt_blas_threads(THREADS);
        mt_device_close(device);
        restore_address_space(before);
        ck_assert_int_ge(threads, limited ? 1 : THREADS);
        ck_assert_int_le(threads, limited ? THREADS - 1 : THREADS);
    }
    mt_cpu_set_threads(0);
    ck_assert_mem_eq(c[0], c[1], sizeof c[0]);
}
END_TEST

static Suite *matmul_suite(void)
{
    return SUITE(
        "matmul", test_every_layout_alpha_and_beta, test_few_rows_have_the_same_bits_on_any_threads,
        test_tiles_have_the_same_bits_on_any_threads,
        test_weights_in_fewer_bits_are_multiplied_as_what_they_stand_for,
        test_rows_have_the_same_bits_however_many_there_are,
        test_a_batch_is_one_product_after_the_other,
        test_matrices_lie_steps_apart_and_begin_as_a_bias, test_empty_sums_are_zero_and_keep_beta_c,
        test_dimensions_beyond_blas_are_refused_with_the_figure,
        test_a_product_that_fails_in_onednn_is_told,
        test_openblas_stays_on_the_thread_that_calls_it,
        test_products_take_the_threads_that_openblas_has_buffers_for);
}

MT_TEST_MAIN(matmul_suite)
