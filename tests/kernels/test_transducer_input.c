/* Where the transducer loss has no answer or a simple one, what it refuses, and its interface for
 * bindings. */
#include <mixtape/transducer.h>

#include "tests/check_main.h"
#include "tests/kernels/transducer_test.h"

static const transducer_case lengths_differ = {4, 4, 3, 7, 6, 4.0};

/* ---- what lies beyond a row's lengths ---- */

static bool is_padding(const transducer_data *data, const transducer_case *c, int64_t node)
{
    int64_t u = node % (c->U + 1), t = node / (c->U + 1) % c->T, b = node / (c->U + 1) / c->T;
    return t >= data->expected.frames[b] || u > data->expected.label_lengths[b];
}

static void check_padding(kernel_build *build)
{
    const transducer_case *c = &lengths_differ;
    int64_t n = nodes_of(c) * c->V;
    transducer_data data = make_data(build, c);
    const double *whole = values_of(build, run_backward(build, c, &data, 0.0), n);
    const double *losses = values_of(build, data.forward.losses, c->B);
    double *logits = values_of(build, data.forward.logits, n);
    for (int64_t i = 0; i < n; i++) {
        logits[i] = is_padding(&data, c, i / c->V) ? NAN : logits[i];
        ck_assert(!is_padding(&data, c, i / c->V) || whole[i] == 0.0);
    }
    double *sums = host_doubles(build, 2 * nodes_of(c));
    size_t bytes = (size_t)nodes_of(c) * sizeof *sums;
    assert_ok(build->device->read_back(build->device, sums, data.forward.betas, bytes));
    assert_ok(
        build->device->read_back(build->device, sums + nodes_of(c), data.forward.alphas, bytes));
    for (int64_t i = 0; i < 2 * nodes_of(c); i++) {
        bool is_beyond = is_padding(&data, c, i % nodes_of(c));
        ck_assert(is_beyond ? sums[i] == 0.0 : isfinite(sums[i]));
    }
    data.forward.logits = upload(build, logits, n);
    assert_close(build, "dlogits", run_backward(build, c, &data, 0.0), whole, n, 0.0);
    assert_close(build, "losses", data.forward.losses, losses, c->B, 0.0);
}

START_TEST(test_what_lies_beyond_the_lengths_is_not_read_and_has_no_gradient)
{
    for_each_build(check_padding);
}
END_TEST

/* ---- numbers that are not finite ---- */

/* Row 1 of two, with this in the place of one of its logits. */
static const double *losses_with(kernel_build *build, const transducer_case *c, int64_t place,
                                 double value, const double **grads)
{
    int64_t n = nodes_of(c) * c->V;
    double *logits = values_of(build, uniform(build, n, -1.0, 1.0, 1), n);
    logits[n / 2 + place] = value;
    transducer_data data = make_data_of(build, c, upload(build, logits, n));
    *grads = values_of(build, run_backward(build, c, &data, 0.0), n);
    return values_of(build, data.forward.losses, c->B);
}

static void check_not_finite(kernel_build *build)
{
    const transducer_case c = {2, 2, 0, 3, 0, 1.0};
    const struct {
        int64_t place;
        double value;
        bool lost, infinite;
    } cases[] = {
        {1, 0.5, false, false},      {1, NAN, true, false},      {0, NAN, true, false},
        {1, INFINITY, true, false},  {0, -INFINITY, true, true}, /* every alignment takes it */
        {1, -INFINITY, false, false}};
    for (int i = 0; i < LENGTH(cases); i++) {
        const double *grads;
        const double *losses = losses_with(build, &c, cases[i].place, cases[i].value, &grads);
        ck_assert(isfinite(losses[0]) && isfinite(losses[1]) == !cases[i].lost);
        ck_assert_int_eq(losses[1] == INFINITY, cases[i].infinite);
        for (int64_t g = 0; g < 3; g++) { /* row 1 has one node */
            ck_assert(isfinite(grads[g]) && isfinite(grads[3 + g]) &&
                      isfinite(grads[6 + g]) == !cases[i].lost);
        }
        ck_assert(cases[i].value != -INFINITY || cases[i].lost || fabs(grads[7]) < 1e-37);
    }
}

START_TEST(test_a_logit_that_is_not_finite_is_lost_to_its_row_alone)
{
    for_each_build(check_not_finite);
}
END_TEST

/* The blank that ends the row is masked, by less than infinity: the loss is large, and has no
 * digits for what the other frame's gradient depends on. */
static void check_large_loss(kernel_build *build)
{
    const transducer_case c = {1, 2, 0, 3, 0, 1.0};
    const double masks[] = {-1e9, -1e13, -1e30};
    for (int i = 0; i < LENGTH(masks); i++) {
        const double logits[] = {0.0, 1.0, 2.0, masks[i], 0.0, 0.0};
        transducer_data data = make_data_of(build, &c, upload(build, logits, 6));
        const double *dlogits = values_of(build, run_backward(build, &c, &data, 0.0), 6);
        const double expected[] = {0.0900305732 - 1.0, 0.2447284711, 0.6652409558, -1.0, 0.5, 0.5};
        for (int g = 0; g < 6; g++) {
            ck_assert(is_within(build->dtype, dlogits[g], expected[g], 1e-6));
        }
    }
}

START_TEST(test_a_row_of_a_large_loss_has_the_gradient_of_its_formula)
{
    for_each_build(check_large_loss);
}
END_TEST

/* The label can be emitted at the first frame alone, and the logits of the nodes that no alignment
 * comes by are as large as may be: their gradient is zero, and not 0 e^88. */
static void check_no_alignment(kernel_build *build)
{
    const transducer_case c = {1, 3, 1, 4, 0, 1.0};
    int64_t n = nodes_of(&c) * c.V;
    double *logits = values_of(build, uniform(build, n, -1.0, 1.0, 1), n);
    const int32_t label = 2;
    for (int64_t node = 2; node < 6; node += 2) { /* (1, 0) and (2, 0) */
        logits[node * c.V + label] = -INFINITY;
        logits[node * c.V + 1] = 1e30;
    }
    transducer_data data = make_data_of(build, &c, upload(build, logits, n));
    *(int32_t *)data.expected.labels = label;
    mt_reference_transducer_forward(&data.expected);
    data.forward.labels = upload_bytes(build, &label, sizeof label);
    const double *dlogits = values_of(build, run_backward(build, &c, &data, 0.5), n);
    double *expected = host_doubles(build, n);
    mt_transducer_backward_args args = backward_of(&data.expected, 0.5, dlosses, expected);
    mt_reference_transducer_backward(&args);
    for (int64_t i = 0; i < n; i++) {
        bool off = i / c.V == 2 || i / c.V == 4;
        ck_assert(off ? dlogits[i] == 0.0 : is_within(build->dtype, dlogits[i], expected[i], 1e-5));
    }
}

START_TEST(test_nodes_that_no_alignment_comes_by_have_no_gradient)
{
    for_each_build(check_no_alignment);
}
END_TEST

/* ---- refusals ---- */

typedef struct wrong_case {
    int32_t labels[4], frames[2], label_lengths[2];
    const char *says;
} wrong_case;

static const wrong_case wrong[] = {
    {{1, 2, 3, 5}, {3, 3}, {2, 2}, "labels[1][1] is 5, not in 0 .. 4"},
    {{1, 2, -1, 1}, {3, 3}, {2, 2}, "labels[1][0] is -1, not in 0 .. 4"},
    {{1, 0, 3, 1}, {3, 3}, {2, 2}, "labels[0][1] is 0, which is the blank"},
    {{1, 2, 3, 4}, {3, 4}, {2, 2}, "frames[1] is 4, not in 1 .. 3"},
    {{1, 2, 3, 4}, {0, 3}, {2, 2}, "frames[0] is 0, not in 1 .. 3"},
    {{1, 2, 3, 4}, {3, 3}, {2, 3}, "label_lengths[1] is 3, not in 0 .. 2"},
    {{1, 2, 3, 4}, {3, 3}, {-1, 2}, "label_lengths[0] is -1, not in 0 .. 2"},
    {{1, 2, 3, 4}, {3, INT32_MIN}, {2, 2}, "frames[1] is -2147483648"},
    /* so far out that they end the program where they are used */
    {{1 << 28, 1, 2, 3}, {3, 3}, {2, 2}, "labels[0][0] is 268435456, not in 0 .. 4"},
    {{1, 2, 3, 4}, {3, 1 << 28}, {2, 2}, "frames[1] is 268435456, not in 1 .. 3"},
    {{1, 2, 3, 4}, {3, 3}, {2, 1 << 28}, "label_lengths[1] is 268435456, not in 0 .. 2"},
};

/* A device that runs behind has done backward, too, before it tells. */
static void check_refused(kernel_build *build)
{
    const transducer_case c = {2, 3, 2, 5, 0, 1.0};
    for (int i = 0; i < LENGTH(wrong); i++) {
        transducer_data data = make_data(build, &c);
        mt_transducer_forward_args *args = &data.forward;
        args->labels = upload_bytes(build, wrong[i].labels, sizeof wrong[i].labels);
        args->frames = upload_bytes(build, wrong[i].frames, sizeof wrong[i].frames);
        args->label_lengths =
            upload_bytes(build, wrong[i].label_lengths, sizeof wrong[i].label_lengths);
        mt_transducer_backward_args backward = backward_of(
            args, 0.0, upload_wide(build, dlosses, c.B), blank(build, nodes_of(&c) * c.V));
        mt_status status = build->kernels->transducer_forward(build->device, args);
        if (status == MT_OK) {
            status = build->kernels->transducer_backward(build->device, &backward);
        }
        assert_fails_with(settled(build, status), MT_ERROR_INVALID, wrong[i].says);
    }
}

START_TEST(test_lengths_and_labels_out_of_range_are_refused_with_value_and_place)
{
    for_each_build(check_refused);
}
END_TEST

static void check_bindings(kernel_build *build)
{
    transducer_data data = make_data(build, &lengths_differ);
    int64_t n = nodes_of(&lengths_differ) * lengths_differ.V;
    const double *expected = values_of(build, run_backward(build, &lengths_differ, &data, 0.5), n);
    mt_transducer_forward_args forward = data.forward;
    mt_transducer_backward_args backward =
        backward_of(&forward, 0.5, upload_wide(build, dlosses, lengths_differ.B), blank(build, n));
    assert_ok(build->device->synchronize(build->device));
    assert_ok(mt_transducer_forward(build->device, NULL, build->dtype, &forward));
    assert_ok(mt_transducer_backward(build->device, NULL, build->dtype, &backward));
    build->device->use_stream(build->device, NULL);
    assert_ok(build->device->synchronize(build->device));
    build->device->use_own_stream(build->device);
    assert_close(build, "dlogits", backward.dlogits, expected, n, 0.0);

    backward.fastemit_lambda = -0.5;
    assert_fails_with(mt_transducer_backward(build->device, NULL, build->dtype, &backward),
                      MT_ERROR_INVALID, "fastemit_lambda -0.5");
    forward.blank = 7;
    assert_fails_with(mt_transducer_forward(build->device, NULL, build->dtype, &forward),
                      MT_ERROR_INVALID, "blank 7, not in 0 .. 6");
    forward.U = INT64_MAX;
    assert_fails_with(mt_transducer_forward(build->device, NULL, build->dtype, &forward),
                      MT_ERROR_INVALID, "labels 9223372036854775807");
    for (int type = MT_BF16; type <= MT_I32; type++) {
        assert_fails_with(mt_transducer_forward(build->device, NULL, (mt_dtype)type, &forward),
                          MT_ERROR_INVALID, "has no kernels");
    }
    assert_fails_with(mt_transducer_forward(NULL, NULL, MT_F32, &forward), MT_ERROR_INVALID,
                      "mt_transducer_forward");
    assert_fails_with(mt_transducer_backward(NULL, NULL, MT_F32, &backward), MT_ERROR_INVALID,
                      "mt_transducer_backward");
}

START_TEST(test_the_interface_for_bindings_is_the_tables_and_checks_its_figures)
{
    for_each_build_of(MT_F32, MT_F64, check_bindings);
}
END_TEST

static Suite *transducer_input_suite(void)
{
    return SUITE("transducer_input",
                 test_what_lies_beyond_the_lengths_is_not_read_and_has_no_gradient,
                 test_a_logit_that_is_not_finite_is_lost_to_its_row_alone,
                 test_a_row_of_a_large_loss_has_the_gradient_of_its_formula,
                 test_nodes_that_no_alignment_comes_by_have_no_gradient,

                 test_lengths_and_labels_out_of_range_are_refused_with_value_and_place,
                 test_the_interface_for_bindings_is_the_tables_and_checks_its_figures);
}

MT_TEST_MAIN(transducer_input_suite)
