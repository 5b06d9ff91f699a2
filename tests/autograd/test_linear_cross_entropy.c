/* The head and the loss in one, all rows at once and in blocks, against the two operators. */
#include "autograd/operators/linear_cross_entropy.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

enum { N = 7, C = 3, V = 5, IGNORED = -100, TWO_OPERATORS = -1 };

/* What a step shows; gradients as they are in memory. */
typedef struct step {
    double loss, stats[2];
    double dx[N * C], dweight[V * C], dbias[V];
} step;

typedef struct loss_case {
    int64_t rows; /* of a block; 0: all at once; TWO_OPERATORS */
    bool bias;
    double smoothing;
    mt_tensor *targets;
    double l2wrap;
} loss_case;

static mt_tensor *some_targets(void)
{
    return index_tensor(SHAPE(N), (int32_t[]){0, 4, IGNORED, 2, 2, IGNORED, 1});
}

static mt_tensor *loss_of(mt_tape *tape, const loss_case *c, mt_tensor *const *in,
                          mt_tensor **stats)
{
    mt_tensor *bias = c->bias ? in[2] : NULL;
    const mt_cross_entropy_options options = {IGNORED, c->smoothing, c->l2wrap, c->rows};
    return c->rows == TWO_OPERATORS
               ? mt_cross_entropy_l2wrap(tape, mt_linear(tape, in[0], in[1], bias), c->targets,
                                         IGNORED, c->smoothing, c->l2wrap, stats)
               : mt_linear_cross_entropy_in_blocks(tape, in[0], in[1], bias, c->targets, &options,
                                                   stats);
}

static void forget_gradients(mt_tensor *const *in)
{
    for (int i = 0; i < 3; i++) {
        in[i]->has_grad = false;
    }
}

/* The loss three times over, so that its gradient is not one. */
static step run(const loss_case *c)
{
    mt_tensor *stats, *in[] = {RANDOM(1, N, C), RANDOM(2, V, C), RANDOM(3, V)};
    step found = {.dbias = {0.0}};
    mt_tape_reset(test_tape);
    forget_gradients(in);
    mt_tensor *loss = loss_of(test_tape, c, in, &stats);
    ck_assert_msg(mt_backward(test_tape, mt_scale(test_tape, loss, 3.0)) == MT_OK, "%s",
                  mt_error_message());
    ck_assert_int_eq(mt_tensor_read(loss, &found.loss), MT_OK);
    ck_assert_int_eq(mt_tensor_read(stats, found.stats), MT_OK);
    ck_assert_int_eq(mt_tensor_read_grad(in[0], found.dx), MT_OK);
    ck_assert_int_eq(mt_tensor_read_grad(in[1], found.dweight), MT_OK);
    if (c->bias) {
        ck_assert_int_eq(mt_tensor_read_grad(in[2], found.dbias), MT_OK);
    }
    return found;
}

static void assert_same(const step *a, const step *b)
{
    const double *one = (const double *)a, *other = (const double *)b;
    for (size_t i = 0; i < sizeof *a / sizeof *one; i++) {
        ck_assert_msg(fabs(one[i] - other[i]) <= 1e-14, "number %zu: %.17g, expected %.17g", i,
                      one[i], other[i]);
    }
}

START_TEST(test_blocks_of_any_size_are_the_two_operators)
{
    for (int form = 0; form < 8; form++) {
        loss_case c = {TWO_OPERATORS, form % 2 == 1, form % 4 < 2 ? 0.0 : 0.1, some_targets(),
                       form < 4 ? 0.0 : 0.3};
        const step expected = run(&c);
        ck_assert_double_eq(expected.stats[0], N - 2);
        for (c.rows = 1; c.rows <= N + 1; c.rows++) {
            const step found = run(&c);
            assert_same(&found, &expected);
        }
    }
}
END_TEST

START_TEST(test_all_rows_at_once_have_the_bits_of_the_two_operators)
{
    for (int form = 0; form < 8; form++) {
        loss_case c = {TWO_OPERATORS, form % 2 == 1, form % 4 < 2 ? 0.0 : 0.1, some_targets(),
                       form < 4 ? 0.0 : 0.3};
        const step expected = run(&c);
        c.rows = 0;
        const step found = run(&c);
        ck_assert_mem_eq(&found, &expected, sizeof found);
    }
}
END_TEST

START_TEST(test_all_rows_ignored_is_no_loss_and_no_gradient)
{
    int32_t ignored[N];
    for (int n = 0; n < N; n++) {
        ignored[n] = IGNORED;
    }
    const loss_case c = {3, true, 0.1, index_tensor(SHAPE(N), ignored)};
    const step found = run(&c), nothing = {.loss = 0.0};
    assert_same(&found, &nothing);
}
END_TEST

START_TEST(test_the_same_step_has_the_same_bits)
{
    const loss_case c = {3, true, 0.1, some_targets()};
    const step first = run(&c), second = run(&c);
    ck_assert_mem_eq(&first, &second, sizeof first);
}
END_TEST

static mt_tensor *checked_loss(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    return mt_scale(tape, loss_of(tape, context, inputs, NULL), -0.7);
}

START_TEST(test_gradients_are_central_differences)
{
    for (int64_t rows = 0; rows <= N; rows += 2) {
        mt_tensor *in[] = {RANDOM(4, N, C), RANDOM(5, V, C), RANDOM(6, V)};
        loss_case c = {rows, true, 0.2, some_targets()};
        assert_gradients(checked_loss, &c, 3, in);
    }
}
END_TEST

/* The mean over counted rows of the square of the largest logit: in C, since it is in no graph. */
static double mean_square_of_largest(const loss_case *c, mt_tensor *const *in)
{
    double logits[N * V], sum = 0.0;
    int32_t targets[N];
    int counted = 0;
    mt_tape_reset(test_tape);
    ck_assert_int_eq(
        mt_tensor_read(mt_linear(test_tape, in[0], in[1], c->bias ? in[2] : NULL), logits), MT_OK);
    ck_assert_int_eq(mt_tensor_read(c->targets, targets), MT_OK);
    for (int n = 0; n < N; n++) {
        double largest = logits[n * V];
        for (int v = 1; v < V; v++) {
            largest = fmax(largest, logits[n * V + v]);
        }
        sum += targets[n] != IGNORED ? largest * largest : 0.0;
        counted += targets[n] != IGNORED ? 1 : 0;
    }
    return sum / counted;
}

/* The function whose gradient L2Wrap's is: the loss that is shown, and what is not. */
static double wrapped_loss(const loss_case *c, mt_tensor *const *in)
{
    double loss;
    mt_tape_reset(test_tape);
    ck_assert_int_eq(mt_tensor_read(loss_of(test_tape, c, in, NULL), &loss), MT_OK);
    return loss + 0.5 * c->l2wrap * mean_square_of_largest(c, in);
}

static void check_difference(const loss_case *c, mt_tensor *const *in, int input, int64_t at,
                             double expected)
{
    const double width = 1e-6;
    double values[N * C + V * C], sides[2];
    ck_assert_int_eq(mt_tensor_read(in[input], values), MT_OK);
    const double value = values[at];
    for (int side = 0; side < 2; side++) {
        values[at] = value + (side == 0 ? width : -width);
        ck_assert_int_eq(mt_tensor_write(in[input], values), MT_OK);
        sides[side] = wrapped_loss(c, in);
    }
    values[at] = value;
    ck_assert_int_eq(mt_tensor_write(in[input], values), MT_OK);
    ck_assert_double_eq_tol((sides[0] - sides[1]) / (2.0 * width), expected, 1e-8);
}

START_TEST(test_l2wrap_is_the_gradient_of_what_it_does_not_show)
{
    for (int64_t rows = TWO_OPERATORS; rows <= N; rows += 2) {
        const loss_case c = {rows, true, 0.1, some_targets(), 0.7};
        loss_case plain = c;
        plain.l2wrap = 0.0;
        mt_tensor *in[] = {RANDOM(4, N, C), RANDOM(5, V, C), RANDOM(6, V)};
        double grads[N * C + V * C], loss, shown;
        mt_tape_reset(test_tape);
        ck_assert_int_eq(mt_tensor_read(loss_of(test_tape, &plain, in, NULL), &loss), MT_OK);
        for (int input = 0; input < 3; input++) {
            mt_tape_reset(test_tape);
            forget_gradients(in);
            mt_tensor *wrapped = loss_of(test_tape, &c, in, NULL);
            ck_assert_int_eq(mt_backward(test_tape, wrapped), MT_OK);
            ck_assert_int_eq(mt_tensor_read(wrapped, &shown), MT_OK);
            ck_assert_double_eq(shown, loss);
            ck_assert_int_eq(mt_tensor_read_grad(in[input], grads), MT_OK);
            for (int64_t at = 0; at < mt_tensor_count(in[input]); at++) {
                check_difference(&c, in, input, at, grads[at]);
            }
        }
    }
}
END_TEST

static void span_of_loss(mt_tape *tape, void *context, mt_tensor *const *inputs,
                         mt_tensor **outputs)
{
    outputs[0] = loss_of(tape, context, inputs, NULL);
}

START_TEST(test_recomputed_it_has_the_same_bits)
{
    loss_case c = {3, true, 0.1, some_targets()};
    double grads[2][V * C];
    for (int recompute = 0; recompute < 2; recompute++) {
        mt_tensor *in[] = {RANDOM(1, N, C), RANDOM(2, V, C), RANDOM(3, V)}, *loss;
        mt_tape_reset(test_tape);
        if (recompute == 1) {
            mt_recompute(test_tape, span_of_loss, &c, 3, in, 1, &loss);
        } else {
            loss = loss_of(test_tape, &c, in, NULL);
        }
        ck_assert_int_eq(mt_backward(test_tape, loss), MT_OK);
        ck_assert_int_eq(mt_tensor_read_grad(in[1], grads[recompute]), MT_OK);
    }
    ck_assert_mem_eq(grads[0], grads[1], sizeof grads[0]);
}
END_TEST

START_TEST(test_a_weight_that_is_the_embedding_too_gets_both_gradients)
{
    double grads[2][V * C];
    for (int blocks = 0; blocks < 2; blocks++) {
        mt_tensor *table = RANDOM(2, V, C);
        mt_tensor *labels = index_tensor(SHAPE(N), (int32_t[]){0, 1, 2, 3, 4, 0, 1});
        mt_tape_reset(test_tape);
        mt_tensor *in[] = {mt_embedding(test_tape, labels, table, -1), table, NULL};
        const loss_case c = {blocks == 1 ? 2 : 0, false, 0.0, some_targets()};
        ck_assert_int_eq(mt_backward(test_tape, loss_of(test_tape, &c, in, NULL)), MT_OK);
        ck_assert_int_eq(mt_tensor_read_grad(table, grads[blocks]), MT_OK);
    }
    for (int i = 0; i < V * C; i++) {
        ck_assert_double_eq_tol(grads[0][i], grads[1][i], 1e-14);
    }
}
END_TEST

START_TEST(test_a_target_beyond_the_labels_is_told_by_its_place_among_all_rows)
{
    mt_tensor *in[] = {RANDOM(1, N, C), RANDOM(2, V, C), NULL};
    const loss_case c = {2, false, 0.0, index_tensor(SHAPE(N), (int32_t[]){0, 1, 2, 3, 4, 5, 0})};
    mt_tensor *loss = loss_of(test_tape, &c, in, NULL);
    double value;
    if (loss != NULL) { /* a device that runs behind tells when it is waited for */
        ck_assert_int_eq(mt_tensor_read(loss, &value), MT_ERROR_INVALID);
        mt_tape_fail(test_tape, MT_ERROR_INVALID);
    }
    assert_tape_fails_with("target 5 at 5, not in 0 .. 4");
}
END_TEST

START_TEST(test_what_does_not_fit_together_is_refused)
{
    mt_tensor *x = RANDOM(1, N, C), *weight = RANDOM(2, V, C), *narrow = RANDOM(3, V, C - 1),
              *bias = RANDOM(4, V - 1), *targets = some_targets();
    mt_cross_entropy_options options = {IGNORED, 0.0, 0.0, 2};
    ck_assert_ptr_null(
        mt_linear_cross_entropy_in_blocks(test_tape, x, narrow, NULL, targets, &options, NULL));
    assert_tape_fails_with("x has shape (7, 3), expected (..., 2)");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(
        mt_linear_cross_entropy_in_blocks(test_tape, x, weight, bias, targets, &options, NULL));
    assert_tape_fails_with("bias has shape (4), expected 5 elements");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_linear_cross_entropy_in_blocks(test_tape, weight, weight, NULL, targets,
                                                         &options, NULL));
    assert_tape_fails_with("targets has shape (7), expected 5 elements");
    mt_tape_reset(test_tape);
    options.label_smoothing = 1.0;
    ck_assert_ptr_null(
        mt_linear_cross_entropy_in_blocks(test_tape, x, weight, NULL, targets, &options, NULL));
    assert_tape_fails_with("linear_cross_entropy_in_blocks: label smoothing 1, not in [0, 1)");
    static const double wrong[] = {-1.0, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
        mt_tape_reset(test_tape);
        ck_assert_ptr_null(mt_linear_cross_entropy_l2wrap(test_tape, x, weight, NULL, targets,
                                                          IGNORED, 0.0, wrong[i], NULL));
        assert_tape_fails_with("linear_cross_entropy: l2wrap ");
        assert_tape_fails_with(", not a number from 0 on");
    }
}
END_TEST

START_TEST(test_few_logits_are_held_once)
{
    enum { ROWS = 16, LABELS = 60000 };
    static int32_t labels[ROWS];
    const size_t logits = sizeof(float) * ROWS * LABELS;
    mt_tensor *x = RANDOM32(1, ROWS, 4), *weight = RANDOM32(2, LABELS, 4); /* a quarter of them */
    mt_tensor *loss = mt_linear_cross_entropy(test_tape, x, weight, NULL,
                                              index_tensor(SHAPE(ROWS), labels), -1, 0.0, NULL);
    ck_assert_int_eq(mt_backward(test_tape, loss), MT_OK);
    ck_assert_uint_lt(mt_tape_memory(test_tape), logits * 16 / 10);
}
END_TEST

/* Logits of more than 64 MiB, of which there are two blocks. */
START_TEST(test_many_logits_are_never_held)
{
    enum { MANY_ROWS = 4100, LABELS = 4100 };
    static int32_t labels[MANY_ROWS];
    const size_t logits = sizeof(float) * MANY_ROWS * LABELS;
    mt_tensor *x = RANDOM32(1, MANY_ROWS, 2), *weight = RANDOM32(2, LABELS, 2);
    mt_tensor *targets = index_tensor(SHAPE(MANY_ROWS), labels);
    for (int recording = 0; recording < 2; recording++) {
        mt_tape_set_recording(test_tape, recording == 1);
        mt_tape_reset(test_tape);
        mt_tensor *loss =
            mt_linear_cross_entropy(test_tape, x, weight, NULL, targets, -1, 0.0, NULL);
        ck_assert_ptr_nonnull(loss);
        if (recording == 1) {
            ck_assert_int_eq(mt_backward(test_tape, loss), MT_OK);
        }
        ck_assert_uint_lt(mt_tape_memory(test_tape), logits * 6 / 10);
    }
}
END_TEST

static Suite *linear_cross_entropy_suite(void)
{
    return SUITE_WITH("linear_cross_entropy", graph_setup, graph_teardown,
                      test_blocks_of_any_size_are_the_two_operators,
                      test_all_rows_at_once_have_the_bits_of_the_two_operators,
                      test_all_rows_ignored_is_no_loss_and_no_gradient,
                      test_the_same_step_has_the_same_bits, test_gradients_are_central_differences,
                      test_l2wrap_is_the_gradient_of_what_it_does_not_show,
                      test_recomputed_it_has_the_same_bits,
                      test_a_weight_that_is_the_embedding_too_gets_both_gradients,
                      test_a_target_beyond_the_labels_is_told_by_its_place_among_all_rows,
                      test_what_does_not_fit_together_is_refused, test_few_logits_are_held_once,
                      test_many_logits_are_never_held);
}

MT_TEST_MAIN(linear_cross_entropy_suite)
