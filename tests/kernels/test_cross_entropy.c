/* Softmax cross-entropy against its formula, and its gradient against central differences, both in
 * double. */
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

typedef struct entropy_case {
    int64_t N, V;
    int32_t ignore_index; /* -1: none is ignored */
    double smoothing;
} entropy_case;

static const entropy_case cases[] = {
    {1, 1, -1, 0.0}, {3, 17, -1, 0.0},  {33, 5, 0, 0.0},    {17, 33, 2, 0.1},
    {7, 3, -1, 0.5}, {5, 600, 1, 0.05}, {3, 33, -100, 0.0},
};
static const entropy_case large = {500, 100, 3, 0.1};

enum { CASES = sizeof cases / sizeof *cases };

typedef struct entropy_data {
    mt_cross_entropy_forward_args forward;
    double *logits;
    int32_t *targets;
} entropy_data;

static entropy_data make_data(kernel_build *build, const entropy_case *c)
{
    entropy_data data = {.forward = {.N = c->N,
                                     .V = c->V,
                                     .ignore_index = c->ignore_index,
                                     .label_smoothing = c->smoothing,
                                     .logits = uniform(build, c->N * c->V, -4.0, 4.0, 1),
                                     .targets = indices(build, c->N, (int32_t)c->V, 2),
                                     .loss = blank(build, 1),
                                     .lse = blank(build, c->N),
                                     .stats = blank(build, 2)}};
    data.logits = values_of(build, data.forward.logits, c->N * c->V);
    data.targets = (int32_t *)(void *)host_doubles(build, c->N);
    assert_ok(build->device->read_back(build->device, data.targets, data.forward.targets,
                                       (size_t)c->N * sizeof(int32_t)));
    return data;
}

static double row_loss(const entropy_case *c, const double *logits, int32_t target)
{
    double sum = 0.0, loss = 0.0;
    for (int64_t v = 0; v < c->V; v++) {
        sum += exp(logits[v]);
    }
    for (int64_t v = 0; v < c->V; v++) {
        double probability = (v == target ? 1.0 - c->smoothing : 0.0) + c->smoothing / (double)c->V;
        loss -= probability * (logits[v] - log(sum));
    }
    return loss;
}

/* The loss, and (if asked for) the counts of rows and of hits. */
static double reference(const entropy_case *c, const entropy_data *data, double stats[2])
{
    double loss = 0.0;
    stats[0] = stats[1] = 0.0;
    for (int64_t n = 0; n < c->N; n++) {
        const double *logits = data->logits + n * c->V;
        int64_t largest = 0;
        if (data->targets[n] == c->ignore_index) {
            continue;
        }
        for (int64_t v = 1; v < c->V; v++) {
            largest = logits[v] > logits[largest] ? v : largest;
        }
        loss += row_loss(c, logits, data->targets[n]);
        stats[0] += 1.0;
        stats[1] += largest == data->targets[n];
    }
    return stats[0] > 0.0 ? loss / stats[0] : 0.0;
}

static void compare_loss(kernel_build *build, const entropy_case *c)
{
    entropy_data data = make_data(build, c);
    double stats[2], loss = reference(c, &data, stats);
    assert_ok(build->kernels->cross_entropy_forward(build->device, &data.forward));
    assert_close(build, "loss", data.forward.loss, &loss, 1, 16.0);
    assert_close(build, "stats", data.forward.stats, stats, 2, 0.0);
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

static void *run_backward(kernel_build *build, const entropy_case *c, const entropy_data *data)
{
    mt_cross_entropy_backward_args args = {.N = c->N,
                                           .V = c->V,
                                           .ignore_index = c->ignore_index,
                                           .label_smoothing = c->smoothing,
                                           .logits = data->forward.logits,
                                           .targets = data->forward.targets,
                                           .lse = data->forward.lse,
                                           .stats = data->forward.stats,
                                           .dloss = upload(build, (double[]){-1.5}, 1),
                                           .dlogits = blank(build, c->N * c->V)};
    assert_ok(build->kernels->cross_entropy_forward(build->device, &data->forward));
    assert_ok(build->kernels->cross_entropy_backward(build->device, &args));
    return args.dlogits;
}

static void check_gradient(kernel_build *build)
{
    for (int i = 0; i < CASES; i++) {
        const entropy_case *c = &cases[i];
        entropy_data data = make_data(build, c);
        void *dlogits = run_backward(build, c, &data);
        double *expected = host_doubles(build, c->N * c->V), stats[2];
        reference(c, &data, stats);
        for (int64_t e = 0; e < c->N * c->V; e++) {
            const double h = 1e-5;
            double sides[2], at = data.logits[e];
            int32_t target = data.targets[e / c->V];
            for (int side = 0; side < 2; side++) {
                data.logits[e] = side == 0 ? at + h : at - h;
                sides[side] = row_loss(c, data.logits + e / c->V * c->V, target);
            }
            data.logits[e] = at;
            expected[e] = target == c->ignore_index
                              ? 0.0
                              : -1.5 * (sides[0] - sides[1]) / (2.0 * h) / stats[0];
        }
        double units = build->dtype == MT_F64 ? 1e-8 / DBL_EPSILON : 32.0;
        assert_close(build, "dlogits", dlogits, expected, c->N * c->V, units);
    }
}

START_TEST(test_gradient_is_the_central_difference)
{
    for_each_build(check_gradient);
}
END_TEST

static void check_threads(kernel_build *build)
{
    entropy_data data = make_data(build, &large);
    const double *dlogits = values_of(build, run_backward(build, &large, &data), large.N * large.V);
    for (int64_t n = 0; n < large.N; n++) {
        double sum = 0.0;
        for (int64_t v = 0; v < large.V; v++) {
            sum += dlogits[n * large.V + v];
        }
        ck_assert_double_lt(fabs(sum), 16.0 * build->epsilon);
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
}

START_TEST(test_all_rows_ignored_is_no_loss_and_no_gradient)
{
    for_each_build(check_all_ignored);
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
                                          .loss = blank(build, 1),
                                          .lse = blank(build, 4),
                                          .stats = blank(build, 2)};
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
                                              .loss = blank(build, 1),
                                              .lse = blank(build, 1),
                                              .stats = blank(build, 2)};
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
                                              .loss = blank(build, 1),
                                              .lse = blank(build, 3),
                                              .stats = blank(build, 2)};
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
    return SUITE("cross_entropy", test_loss_is_the_mean_over_counted_rows,
                 test_gradient_is_the_central_difference, test_gradient_of_each_row_sums_to_zero,
                 test_all_rows_ignored_is_no_loss_and_no_gradient,
                 test_extreme_logits_do_not_overflow_and_the_first_of_equals_counts,
                 test_nan_logits_make_the_loss_nan,
                 test_target_out_of_range_is_refused_with_row_value_and_bound);
}

MT_TEST_MAIN(cross_entropy_suite)
