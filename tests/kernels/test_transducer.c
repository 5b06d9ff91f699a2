/* The transducer loss and its gradient, against the sum over all alignments and the reference. */
#include "tests/check_main.h"
#include "tests/kernels/transducer_test.h"

/* So small that their alignments can be counted. */
static const transducer_case small[] = {
    {1, 1, 0, 1, 0, 2.0}, {1, 1, 1, 2, 1, 2.0}, {2, 4, 0, 3, 0, 2.0}, {1, 1, 4, 3, 0, 4.0},
    {3, 5, 4, 2, 0, 4.0}, {4, 4, 3, 7, 6, 4.0}, {2, 3, 3, 5, 2, 1e4},
};
static const transducer_case others[] = {
    {3, 17, 5, 40, 3, 4.0},
    {2, 600, 3, 2, 0, 4.0},
    {2, 3, 300, 5, 0, 4.0},
    {5, 13, 7, 33, 0, 1e4},
};
static const transducer_case many = {3, 33, 9, 67, 0, 4.0}; /* a loop for all threads */
static const transducer_case longest = {1, 3000, 400, 2, 0, 4.0};

/* ---- losses ---- */

/* The sum over the alignments from node (t, u) on of their probabilities, as a multiple of that of
 * the alignment that has taken `log_p` so far. */
static double sum_of_alignments(const mt_transducer_forward_args *args, int64_t b, int64_t t,
                                int64_t u, double log_p)
{
    const double *logits = args->logits;
    logits += ((b * args->T + t) * (args->U + 1) + u) * args->V;
    double largest = logits[0], sum = 0.0, total = 0.0;
    for (int64_t v = 1; v < args->V; v++) {
        largest = fmax(largest, logits[v]);
    }
    for (int64_t v = 0; v < args->V; v++) {
        sum += exp(logits[v] - largest);
    }
    double lse = largest + log(sum), by_blank = log_p + logits[args->blank] - lse;
    if (t + 1 < args->frames[b]) {
        total += sum_of_alignments(args, b, t + 1, u, by_blank);
    } else if (u == args->label_lengths[b]) {
        total += exp(by_blank);
    }
    if (u < args->label_lengths[b]) {
        double by_label = log_p + logits[args->labels[b * args->U + u]] - lse;
        total += sum_of_alignments(args, b, t, u + 1, by_label);
    }
    return total;
}

static void check_alignments(kernel_build *build)
{
    for (int i = 0; i < LENGTH(small); i++) {
        transducer_data data = make_data(build, &small[i]);
        double *expected = host_doubles(build, small[i].B);
        for (int64_t b = 0; b < small[i].B; b++) {
            /* from the reference's loss on, so that what is summed is about 1 */
            double loss = ((double *)data.expected.losses)[b];
            expected[b] = loss - log(sum_of_alignments(&data.expected, b, 0, 0, loss));
        }
        assert_ok(build->kernels->transducer_forward(build->device, &data.forward));
        assert_close(build, "losses", data.forward.losses, expected, small[i].B, 16.0);
    }
}

START_TEST(test_losses_are_the_sum_over_all_alignments)
{
    for_each_build(check_alignments);
}
END_TEST

static void compare_losses(kernel_build *build, const transducer_case *c)
{
    transducer_data data = make_data(build, c);
    assert_ok(build->kernels->transducer_forward(build->device, &data.forward));
    assert_close(build, "losses", data.forward.losses, data.expected.losses, c->B, 16.0);
    double *losses = values_of(build, data.forward.losses, c->B);
    data.forward.alphas = NULL;
    data.forward.losses = blank_wide(build, c->B);
    assert_ok(build->kernels->transducer_forward(build->device, &data.forward));
    assert_close(build, "losses without alphas", data.forward.losses, losses, c->B, 0.0);
}

static void check_losses(kernel_build *build)
{
    for (int i = 0; i < LENGTH(others); i++) {
        compare_losses(build, &others[i]);
    }
    compare_losses(build, &many);
}

START_TEST(test_losses_are_the_references_with_and_without_a_backward)
{
    for_each_build(check_losses);
}
END_TEST

/* A label, then a blank, both as good as certain: what is lost is some 1e-9 of 1. */
static void check_certain(kernel_build *build)
{
    const transducer_case c = {1, 1, 1, 3, 0, 0.0};
    const double logits[] = {-20.3, 1.7, -30.1, 2.9, -18.4, -19.0};
    transducer_data data = make_data_of(build, &c, upload(build, logits, 6));
    *(int32_t *)data.expected.labels = 1;
    mt_reference_transducer_forward(&data.expected);
    data.forward.labels = upload_bytes(build, data.expected.labels, sizeof(int32_t));
    assert_ok(build->kernels->transducer_forward(build->device, &data.forward));
    double loss = values_of(build, data.forward.losses, 1)[0];
    double expected = *(double *)data.expected.losses;
    ck_assert_double_le(fabs(loss - expected), build->dtype == MT_F64 ? 1e-14 : 1e-7);
}

START_TEST(test_losses_of_certain_labels_keep_their_digits)
{
    for_each_build(check_certain);
}
END_TEST

/* ---- gradients ---- */

static void compare_gradients(kernel_build *build, const transducer_case *c, double fastemit_lambda)
{
    int64_t n = nodes_of(c) * c->V;
    transducer_data data = make_data(build, c);
    void *dlogits = run_backward(build, c, &data, fastemit_lambda);
    double *expected = host_doubles(build, n);
    mt_transducer_backward_args args =
        backward_of(&data.expected, fastemit_lambda, dlosses, expected);
    mt_reference_transducer_backward(&args);
    /* A posterior loses what the sum of some hundred logarithms is rounded by. */
    double units = build->dtype == MT_F64 ? 1e-9 / DBL_EPSILON : 4.0 * (double)(c->T + c->U + 16);
    assert_close(build, "dlogits", dlogits, expected, n, units);
}

static void check_gradients(kernel_build *build)
{
    for (int i = 0; i < LENGTH(small); i++) {
        compare_gradients(build, &small[i], 0.0);
        compare_gradients(build, &small[i], 0.5);
    }
    for (int i = 0; i < LENGTH(others); i++) {
        compare_gradients(build, &others[i], 0.01);
    }
    compare_gradients(build, &many, 0.0);
}

START_TEST(test_gradients_are_the_references)
{
    for_each_build(check_gradients);
}
END_TEST

/* Of one frame and one label, which has one alignment: the label, then the blank. */
static void check_fastemit(kernel_build *build)
{
    const transducer_case c = {1, 1, 1, 2, 0, 0.0};
    const double expected[] = {0.5 * 1.25, -0.5 * 1.25, -0.5, 0.5};
    transducer_data data = make_data(build, &c);
    void *dlogits = run_backward(build, &c, &data, 0.25);
    const double loss = 2.0 * log(2.0);
    assert_close(build, "loss", data.forward.losses, &loss, 1, 4.0);
    assert_close(build, "dlogits", dlogits, expected, 4, 4.0);
}

START_TEST(test_fastemit_weighs_the_gradient_of_labels_and_not_the_loss)
{
    for_each_build(check_fastemit);
}
END_TEST

static void check_in_place(kernel_build *build)
{
    transducer_data data = make_data(build, &many);
    int64_t n = nodes_of(&many) * many.V;
    const double *expected = values_of(build, run_backward(build, &many, &data, 0.0), n);
    void *logits = upload(build, values_of(build, data.forward.logits, n), n);
    mt_transducer_backward_args args =
        backward_of(&data.forward, 0.0, upload_wide(build, dlosses, many.B), logits);
    args.logits = logits;
    assert_ok(build->kernels->transducer_backward(build->device, &args));
    assert_close(build, "dlogits", logits, expected, n, 0.0);
}

START_TEST(test_gradient_may_be_written_over_the_logits)
{
    for_each_build(check_in_place);
}
END_TEST

/* ---- a long row, once ---- */

START_TEST(test_three_thousand_frames_and_four_hundred_labels)
{
    mt_device *device;
    assert_ok(mt_device_open("cpu", &device));
    kernel_build build = {.name = "best",
                          .device = device,
                          .dtype = MT_F32,
                          .kernels = device->kernels[MT_F32],
                          .epsilon = (double)FLT_EPSILON};
    compare_losses(&build, &longest);
    compare_gradients(&build, &longest, 0.0);
    release_arrays(&build);
    mt_device_close(device);
}
END_TEST

/* Each of the four sizes is as large as leaves room to count bytes, and no larger. */
START_TEST(test_sizes_whose_bytes_no_number_counts_are_refused)
{
    const int64_t most = INT64_MAX / 32;
    const int32_t frames[] = {1}, label_lengths[] = {0}, labels[] = {0};
    assert_ok(mt_transducer_check(1, 1, most - 1, 1, 0, labels, frames, label_lengths));
    assert_fails_with(mt_transducer_check(1, 1, most, 1, 0, labels, frames, label_lengths),
                      MT_ERROR_INVALID, "labels 288230376151711743");
    assert_ok(mt_transducer_check(1, most, 0, 1, 0, labels, frames, label_lengths));
    assert_fails_with(mt_transducer_check(1, most + 1, 0, 1, 0, labels, frames, label_lengths),
                      MT_ERROR_INVALID, "frames 288230376151711744");
    assert_ok(mt_transducer_check(1, 1, 0, most, 0, labels, frames, label_lengths));
    assert_fails_with(mt_transducer_check(1, 1, 0, most + 1, 0, labels, frames, label_lengths),
                      MT_ERROR_INVALID, "vocabulary 288230376151711744");
    assert_fails_with(mt_transducer_check(most + 1, 1, 0, 1, 0, labels, frames, label_lengths),
                      MT_ERROR_INVALID, "batch 288230376151711744");
    assert_fails_with(mt_transducer_check(0, 1, 0, 1, 0, labels, frames, label_lengths),
                      MT_ERROR_INVALID, "batch 0");
}
END_TEST

static Suite *transducer_suite(void)
{
    return SUITE("transducer", test_losses_are_the_sum_over_all_alignments,
                 test_losses_are_the_references_with_and_without_a_backward,
                 test_losses_of_certain_labels_keep_their_digits, test_gradients_are_the_references,
                 test_fastemit_weighs_the_gradient_of_labels_and_not_the_loss,
                 test_gradient_may_be_written_over_the_logits,
                 test_three_thousand_frames_and_four_hundred_labels,
                 test_sizes_whose_bytes_no_number_counts_are_refused);
}

MT_TEST_MAIN(transducer_suite)
