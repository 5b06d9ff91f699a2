/* Softmax cross-entropy and its gradient against the reference, and where it has no answer or a
 * simple one. */
#include "kernels/reference/reference.h"
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

typedef struct entropy_case {
    int64_t N, V;
    int32_t ignore_index; /* -1: none is ignored */
    double smoothing, l2wrap;
} entropy_case;

static const entropy_case cases[] = {
    {1, 1, -1, 0.0},      {3, 17, -1, 0.0},      {33, 5, 0, 0.0},    {17, 33, 2, 0.1},
    {7, 3, -1, 0.5},      {5, 600, 1, 0.05},     {3, 33, -100, 0.0}, {1, 1, -1, 0.0, 0.3},
    {33, 5, 0, 0.1, 0.3}, {5, 600, 1, 0.0, 0.1},
};
static const entropy_case large = {501, 100, 3, 0.1}; /* an odd count that bfloat16 has not */

enum { CASES = sizeof cases / sizeof *cases };

typedef struct entropy_data {
    mt_cross_entropy_forward_args forward;
    mt_cross_entropy_forward_args expected; /* the same in double, of the reference */
} entropy_data;

static entropy_data make_data(kernel_build *build, const entropy_case *c)
{
    const size_t top_bytes = (size_t)c->N * sizeof(int32_t);
    entropy_data data = {.forward = {.N = c->N,
                                     .V = c->V,
                                     .ignore_index = c->ignore_index,
                                     .label_smoothing = c->smoothing,
                                     .logits = uniform(build, c->N * c->V, -4.0, 4.0, 1),
                                     .targets = indices(build, c->N, (int32_t)c->V, 2),
                                     .loss = blank_wide(build, 1),
                                     .lse = blank_wide(build, c->N),
                                     .top = c->l2wrap > 0.0 ? blank_bytes(build, top_bytes) : NULL,
                                     .stats = blank_wide(build, 2)}};
    int32_t *targets = (int32_t *)(void *)host_doubles(build, c->N);
    assert_ok(build->device->read_back(build->device, targets, data.forward.targets,
                                       (size_t)c->N * sizeof *targets));
    data.expected = data.forward;
    data.expected.logits = values_of(build, data.forward.logits, c->N * c->V);
    data.expected.targets = targets;
    data.expected.loss = host_doubles(build, 1);
    data.expected.lse = host_doubles(build, c->N);
    data.expected.top = c->l2wrap > 0.0 ? (int32_t *)(void *)host_doubles(build, c->N) : NULL;
    data.expected.stats = host_doubles(build, 2);
    mt_reference_cross_entropy_forward(&data.expected);
    return data;
}

static void compare_loss(kernel_build *build, const entropy_case *c)
{
    entropy_data data = make_data(build, c);
    assert_ok(build->kernels->cross_entropy_forward(build->device, &data.forward));
    assert_close(build, "loss", data.forward.loss, data.expected.loss, 1, 16.0);
    assert_close(build, "stats", data.forward.stats, data.expected.stats, 2, 0.0);
}

static void check_loss(kernel_build *build)
{
    for (int i = 0; i < CASES; i++) {
        compare_loss(build, &cases[i]);
    }
    compare_loss(build, &large);
}

START_TEST(test_loss_is_the_mean_over_counted_rows)
{
    for_each_build(check_loss);
}
END_TEST

static mt_cross_entropy_backward_args backward_of(const mt_cross_entropy_forward_args *forward,
                                                  double l2wrap, const void *dloss, void *dlogits)
{
    return (mt_cross_entropy_backward_args){.N = forward->N,
                                            .V = forward->V,
                                            .ignore_index = forward->ignore_index,
                                            .label_smoothing = forward->label_smoothing,
                                            .logits = forward->logits,
                                            .targets = forward->targets,
                                            .lse = forward->lse,
                                            .top = forward->top,
                                            .l2wrap = l2wrap,
                                            .stats = forward->stats,
                                            .dloss = dloss,
                                            .dlogits = dlogits};
}

static const double dloss = -1.5;

static void *run_backward(kernel_build *build, const entropy_case *c, const entropy_data *data)
{
    mt_cross_entropy_backward_args args = backward_of(
        &data->forward, c->l2wrap, upload_wide(build, &dloss, 1), blank(build, c->N * c->V));
    assert_ok(build->kernels->cross_entropy_forward(build->device, &data->forward));
    assert_ok(build->kernels->cross_entropy_backward(build->device, &args));
    return args.dlogits;
}

static void check_gradient(kernel_build *build)
{
    for (int i = 0; i < CASES; i++) {
        int64_t n = cases[i].N * cases[i].V;
        entropy_data data = make_data(build, &cases[i]);
        void *dlogits = run_backward(build, &cases[i], &data);
        double *expected = host_doubles(build, n);
        mt_cross_entropy_backward_args args =
            backward_of(&data.expected, cases[i].l2wrap, &dloss, expected);
        mt_reference_cross_entropy_backward(&args);
        double units = build->dtype == MT_F64 ? 1e-8 / DBL_EPSILON : 32.0;
        assert_close(build, "dlogits", dlogits, expected, n, units);
    }
}

START_TEST(test_gradient_is_the_references)
{
    for_each_build(check_gradient);
}
END_TEST

/* But for what each number lost when it was stored: of bfloat16's 8 digits, half the last. */
static void check_threads(kernel_build *build)
{
    const double rounding = build->dtype == MT_BF16 ? 0x1p-8 : 0.0;
    entropy_data data = make_data(build, &large);
    const double *dlogits = values_of(build, run_backward(build, &large, &data), large.N * large.V);
    for (int64_t n = 0; n < large.N; n++) {
        double sum = 0.0, lost = 0.0;
        for (int64_t v = 0; v < large.V; v++) {
            sum += dlogits[n * large.V + v];
            lost += rounding * fabs(dlogits[n * large.V + v]);
        }
        ck_assert_double_lt(fabs(sum), 16.0 * build->epsilon + lost);
    }
}

START_TEST(test_gradient_of_each_row_sums_to_zero)
{
    for_each_build(check_threads);
}
END_TEST

static void check_all_ignored(kernel_build *build)
{
    const entropy_case c = {3, 1, 0, 0.1};
    entropy_data data = make_data(build, &c);
    void *dlogits = run_backward(build, &c, &data);
    const double zeros[3] = {0.0};
    assert_close(build, "loss", data.forward.loss, zeros, 1, 0.0);
    assert_close(build, "stats", data.forward.stats, zeros, 2, 0.0);
    assert_close(build, "dlogits", dlogits, zeros, 3, 0.0);
    mt_cross_entropy_total_args total = {.N = 0,
                                         .rows = blank_bytes(build, sizeof *total.rows),
                                         .loss = blank_wide(build, 1),
                                         .stats = blank_wide(build, 2),
                                         .share = blank_wide(build, 1)};
    assert_ok(build->kernels->cross_entropy_total(build->device, &total));
    assert_close(build, "share of no rows", total.share, zeros, 1, 0.0);
}

START_TEST(test_all_rows_ignored_is_no_loss_and_no_gradient)
{
    for_each_build(check_all_ignored);
}
END_TEST

/* The whole and two blocks of its rows: the same bits. */
static void check_blocks(kernel_build *build)
{
    enum { FIRST = 201 };
    entropy_data data = make_data(build, &large);
    const mt_cross_entropy_forward_args *whole = &data.forward;
    assert_ok(build->kernels->cross_entropy_forward(build->device, whole));
    mt_cross_entropy_row *rows = blank_bytes(build, (size_t)large.N * sizeof *rows);
    void *lse = blank_wide(build, large.N);
    size_t logit = mt_dtype_size(build->dtype), real = mt_dtype_size(mt_dtype_wide(build->dtype));
    for (int block = 0; block < 2; block++) {
        int64_t first = block * FIRST;
        mt_cross_entropy_forward_args args = *whole;
        args.N = block == 0 ? FIRST : large.N - FIRST;
        args.logits = (const char *)whole->logits + (size_t)(first * large.V) * logit;
        args.targets = whole->targets + first;
        args.lse = (char *)lse + (size_t)first * real;
        args.loss = args.stats = NULL;
        args.rows = rows + first;
        assert_ok(build->kernels->cross_entropy_forward(build->device, &args));
    }
    mt_cross_entropy_total_args total = {.N = large.N,
                                         .rows = rows,
                                         .loss = blank_wide(build, 1),
                                         .stats = blank_wide(build, 2),
                                         .share = blank_wide(build, 1)};
    assert_ok(build->kernels->cross_entropy_total(build->device, &total));
    assert_close(build, "loss", total.loss, values_of(build, whole->loss, 1), 1, 0.0);
    assert_close(build, "stats", total.stats, values_of(build, whole->stats, 2), 2, 0.0);
    const double share = 1.0 / values_of(build, whole->stats, 1)[0];
    assert_close(build, "share", total.share, &share, 1, 1.0);
}

START_TEST(test_rows_in_blocks_have_the_loss_and_stats_of_all)
{
    for_each_build(check_blocks);
}
END_TEST

static void check_in_place(kernel_build *build)
{
    entropy_case c = large;
    c.l2wrap = 0.3;
    entropy_data data = make_data(build, &c);
    int64_t n = c.N * c.V;
    const double *expected = values_of(build, run_backward(build, &c, &data), n);
    void *logits = upload(build, values_of(build, data.forward.logits, n), n);
    mt_cross_entropy_backward_args args =
        backward_of(&data.forward, c.l2wrap, upload_wide(build, &dloss, 1), logits);
    args.logits = logits;
    assert_ok(build->kernels->cross_entropy_backward(build->device, &args));
    assert_close(build, "dlogits", logits, expected, n, 0.0);
}

START_TEST(test_gradient_may_be_written_over_the_logits)
{
    for_each_build(check_in_place);
}
END_TEST

/* Of the two that are equal the first is wrapped. */
static void check_wrapped(kernel_build *build)
{
    const double logits[] = {1.0, 4.0, 4.0, -2.0}, l2wrap = 0.25;
    double found[2][4];
    const int32_t target = 3;
    int32_t *targets = blank_bytes(build, sizeof target);
    assert_ok(build->device->write(build->device, targets, &target, sizeof target));
    for (int with = 0; with < 2; with++) {
        mt_cross_entropy_forward_args args = {.N = 1,
                                              .V = 4,
                                              .ignore_index = -1,
                                              .logits = upload(build, logits, 4),
                                              .targets = targets,
                                              .loss = blank_wide(build, 1),
                                              .lse = blank_wide(build, 1),
                                              .top = with == 1 ? blank_bytes(build, 4) : NULL,
                                              .stats = blank_wide(build, 2)};
        mt_cross_entropy_backward_args back =
            backward_of(&args, l2wrap, upload_wide(build, &dloss, 1), blank(build, 4));
        assert_ok(build->kernels->cross_entropy_forward(build->device, &args));
        assert_ok(build->kernels->cross_entropy_backward(build->device, &back));
        memcpy(found[with], values_of(build, back.dlogits, 4), sizeof found[with]);
    }
    ck_assert_double_eq_tol(found[1][1] - found[0][1], dloss * l2wrap * 4.0,
                            build->dtype == MT_BF16 ? 0x1p-6 : 1e-6);
    for (int v = 0; v < 4; v++) {
        ck_assert(v == 1 || found[1][v] == found[0][v]);
    }
}

START_TEST(test_l2wrap_is_of_the_first_of_the_largest)
{
    for_each_build(check_wrapped);
}
END_TEST

/* Logits that overflow an exponential, and ties, of which the first counts. */
static void check_extremes(kernel_build *build)
{
    const double logits[] = {1e4, -1e4, 0.0, -1e30, -1e30, -1e30, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0};
    const int32_t targets[] = {0, 1, 0, 1};
    int32_t *array = blank_bytes(build, sizeof targets);
    assert_ok(build->device->write(build->device, array, targets, sizeof targets));
    mt_cross_entropy_forward_args args = {.N = 4,
                                          .V = 3,
                                          .ignore_index = -1,
                                          .logits = upload(build, logits, 12),
                                          .targets = array,
                                          .loss = blank_wide(build, 1),
                                          .lse = blank_wide(build, 4),
                                          .stats = blank_wide(build, 2)};
    double loss = 3.0 * log(3.0) / 4.0, stats[2] = {4.0, 2.0};
    assert_ok(build->kernels->cross_entropy_forward(build->device, &args));
    /* Row 1 loses the distance of its log-sum to -1e30 to rounding. */
    const double *value = values_of(build, args.loss, 1);
    ck_assert_double_le(fabs(value[0] - loss), 0.3);
    assert_close(build, "stats", args.stats, stats, 2, 0.0);
}

START_TEST(test_extreme_logits_do_not_overflow_and_the_first_of_equals_counts)
{
    for_each_build(check_extremes);
}
END_TEST

static void check_not_finite(kernel_build *build)
{
    for (int at = 0; at < 3; at++) {
        double logits[] = {1.0, 2.0, 3.0};
        int32_t target = 1, *array = blank_bytes(build, sizeof target);
        logits[at] = NAN;
        assert_ok(build->device->write(build->device, array, &target, sizeof target));
        mt_cross_entropy_forward_args args = {.N = 1,
                                              .V = 3,
                                              .ignore_index = -1,
                                              .logits = upload(build, logits, 3),
                                              .targets = array,
                                              .loss = blank_wide(build, 1),
                                              .lse = blank_wide(build, 1),
                                              .stats = blank_wide(build, 2)};
        assert_ok(build->kernels->cross_entropy_forward(build->device, &args));
        ck_assert(isnan(values_of(build, args.loss, 1)[0]));
    }
}

START_TEST(test_nan_logits_make_the_loss_nan)
{
    for_each_build(check_not_finite);
}
END_TEST

static void check_range(kernel_build *build)
{
    static const struct {
        int32_t target;
        const char *figure;
    } wrong[] = {{5, "target 5 at 2"}, {-1, "target -1 at 2"}, {INT32_MIN, "-2147483648"}};
    for (int i = 0; i < 3; i++) {
        const int32_t targets[] = {0, -100, wrong[i].target};
        int32_t *array = blank_bytes(build, sizeof targets);
        assert_ok(build->device->write(build->device, array, targets, sizeof targets));
        mt_cross_entropy_forward_args args = {.N = 3,
                                              .V = 5,
                                              .ignore_index = -100,
                                              .logits = uniform(build, 15, -1.0, 1.0, 1),
                                              .targets = array,
                                              .loss = blank_wide(build, 1),
                                              .lse = blank_wide(build, 3),
                                              .stats = blank_wide(build, 2)};
        mt_status status =
            settled(build, build->kernels->cross_entropy_forward(build->device, &args));
        assert_fails_with(status, MT_ERROR_INVALID, wrong[i].figure);
        assert_fails_with(status, MT_ERROR_INVALID, "0 .. 4");
    }
}

START_TEST(test_target_out_of_range_is_refused_with_row_value_and_bound)
{
    for_each_build(check_range);
}
END_TEST

static Suite *cross_entropy_suite(void)
{
    return SUITE(
        "cross_entropy", test_loss_is_the_mean_over_counted_rows, test_gradient_is_the_references,
        test_gradient_of_each_row_sums_to_zero, test_all_rows_ignored_is_no_loss_and_no_gradient,
        test_rows_in_blocks_have_the_loss_and_stats_of_all,
        test_gradient_may_be_written_over_the_logits, test_l2wrap_is_of_the_first_of_the_largest,
        test_extreme_logits_do_not_overflow_and_the_first_of_equals_counts,
        test_nan_logits_make_the_loss_nan,
        test_target_out_of_range_is_refused_with_row_value_and_bound);
}

MT_TEST_MAIN(cross_entropy_suite)
