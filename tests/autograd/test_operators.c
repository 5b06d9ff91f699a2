/* Every operator: its gradient against central differences, on awkward shapes, and what it
 * refuses. */
#include "autograd/gradient_cases.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

/* The den of a state is a sum of exponentials: it is made positive, as forward leaves it, and max
 * is not differentiated. */
static mt_tensor *state_input(mt_tensor *raw)
{
    int64_t plane = mt_tensor_count(raw) / 3;
    double *values = malloc(mt_tensor_bytes(raw));
    ck_assert_ptr_nonnull(values);
    ck_assert_int_eq(mt_tensor_read(raw, values), MT_OK);
    for (int64_t i = 0; i < plane; i++) {
        values[plane + i] = fabs(values[plane + i]) + 0.5;
    }
    ck_assert_int_eq(mt_tensor_write(raw, values), MT_OK);
    free(values);
    return raw;
}

START_TEST(test_operator_gradients_are_central_differences)
{
    const gradient_case *one = &gradient_cases[_i];
    mt_tensor *inputs[MT_OP_INPUTS];
    int checked;
    ck_assert_int_eq(gradient_case_inputs(one, MT_F64, value_tape, (uint64_t)_i, inputs, &checked),
                     MT_OK);
    assert_gradients(gradient_case_loss, &one, checked, inputs);
}
END_TEST

/* Alone, or with a scalar, an input may have any shape. */
static bool may_be_anything(const gradient_case *one, int input)
{
    return one->count == 1 || (one->count == 2 && one->inputs[1 - input].rank == 0);
}

START_TEST(test_an_input_that_fits_no_other_is_refused)
{
    const gradient_case *one = &gradient_cases[_i];
    mt_tensor *inputs[MT_OP_INPUTS];
    int checked;
    ck_assert_int_eq(gradient_case_inputs(one, MT_F64, value_tape, (uint64_t)_i, inputs, &checked),
                     MT_OK);
    for (int i = 0; i < one->count; i++) {
        if (may_be_anything(one, i)) {
            continue;
        }
        mt_tensor *right = inputs[i];
        inputs[i] = RANDOM(1, 13);
        ck_assert_msg(one->apply(test_tape, inputs) == NULL, "%s: input %d", one->op, i);
        ck_assert_int_eq(mt_tape_status(test_tape), MT_ERROR_INVALID);
        const char *says = mt_tape_error(test_tape);
        ck_assert_msg(strstr(says, "(13)") != NULL || strstr(says, "expected 13") != NULL ||
                          strstr(says, "of rank 1") != NULL,
                      "%s: input %d: %s", one->op, i, says);
        inputs[i] = right;
        mt_tape_reset(test_tape);
    }
}
END_TEST

/* num and den as separate inputs, max a constant: the definition of a state's gradient. */
static mt_tensor *wkv_of_state(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    (void)context;
    mt_tensor *w = mt_negative_exp(tape, inputs[0]);
    return weighed_sum(tape, mt_wkv(tape, w, inputs[1], inputs[2], inputs[3], inputs[4], 64, NULL));
}

START_TEST(test_wkv_state_gradient_is_for_fixed_max)
{
    enum { B = 2, C = 3, PLANE = B * C };
    mt_tensor *inputs[] = {RANDOM(1, C), RANDOM(2, C), RANDOM(3, B, 4, C), RANDOM(4, B, 4, C),
                           state_input(RANDOM(5, 3, B, C))};
    mt_tensor *loss = wkv_of_state(test_tape, NULL, inputs);
    ck_assert_int_eq(mt_backward(test_tape, loss), MT_OK);
    double grad[3 * PLANE], state[3 * PLANE];
    ck_assert_int_eq(mt_tensor_read_grad(inputs[4], grad), MT_OK);
    ck_assert_int_eq(mt_tensor_read(inputs[4], state), MT_OK);
    for (int i = 0; i < 2 * PLANE; i++) {
        double value[2], h = 1e-5;
        for (int side = 0; side < 2; side++) {
            double moved[3 * PLANE];
            memcpy(moved, state, sizeof moved);
            moved[i] += side == 0 ? h : -h;
            ck_assert_int_eq(mt_tensor_write(inputs[4], moved), MT_OK);
            mt_tape_reset(test_tape);
            ck_assert_int_eq(mt_tensor_read(wkv_of_state(test_tape, NULL, inputs), &value[side]),
                             MT_OK);
        }
        ck_assert_double_eq_tol(grad[i], (value[0] - value[1]) / (2.0 * h), 1e-8);
    }
    for (int i = 2 * PLANE; i < 3 * PLANE; i++) {
        ck_assert_double_eq(grad[i], 0.0);
    }
}
END_TEST

START_TEST(test_every_operator_has_a_gradient_case)
{
    for (const mt_op *const *op = mt_operators; *op != NULL; op++) {
        int found = 0;
        for (int i = 0; gradient_cases[i].op != NULL; i++) {
            found += strcmp(gradient_cases[i].op, (*op)->name) == 0;
        }
        ck_assert_msg(found > 0, "%s is checked nowhere", (*op)->name);
        ck_assert_ptr_nonnull((*op)->formula);
    }
}
END_TEST

START_TEST(test_operators_given_null_return_null)
{
    mt_tensor *x = RANDOM(1, 3);
    ck_assert_ptr_null(mt_add(test_tape, x, NULL));
    assert_tape_fails_with("add: input 1 is NULL");
    ck_assert_ptr_null(mt_sigmoid(test_tape, x));
    assert_tape_fails_with("add: input 1 is NULL");
}
END_TEST

START_TEST(test_shapes_that_differ_are_refused_with_both)
{
    mt_add(test_tape, RANDOM(1, 2, 3), RANDOM(2, 3, 2));
    assert_tape_fails_with("add: shapes (2, 3) and (3, 2) differ");
}
END_TEST

START_TEST(test_only_leading_dimensions_are_repeated)
{
    mt_add(test_tape, RANDOM(1, 2, 3), RANDOM(2, 2));
    assert_tape_fails_with("add: shapes (2, 3) and (2) differ");
}
END_TEST

START_TEST(test_a_slice_beyond_the_axis_is_refused)
{
    mt_slice(test_tape, RANDOM(1, 2, 3), 1, 2, 2);
    assert_tape_fails_with("slice: 2 from 2 of 3");
}
END_TEST

START_TEST(test_an_axis_that_is_not_there_is_refused)
{
    mt_transpose(test_tape, RANDOM(1, 2, 3), 0, -3);
    assert_tape_fails_with("transpose: axis -3 of a tensor of rank 2");
}
END_TEST

START_TEST(test_tensors_that_do_not_fit_together_are_refused)
{
    mt_tensor *parts[] = {RANDOM(1, 2, 3), RANDOM(2, 2, 4), RANDOM(3, 3, 4)};
    ck_assert_ptr_nonnull(mt_concatenate(test_tape, 1, 2, parts));
    mt_concatenate(test_tape, 1, 3, parts);
    assert_tape_fails_with("concatenate: shapes (2, 3) and (3, 4) differ beside axis 1");
}
END_TEST

START_TEST(test_matmul_refuses_other_leading_dimensions)
{
    mt_matmul(test_tape, RANDOM(1, 2, 3, 4), RANDOM(2, 3, 4, 5), false, false);
    assert_tape_fails_with("matmul: shapes (2, 3, 4) and (3, 4, 5)");
    mt_tape_reset(test_tape);
    mt_matmul(test_tape, RANDOM(1, 2, 1, 3, 4), RANDOM(2, 2, 4, 5), false, false);
    assert_tape_fails_with("matmul: shapes (2, 1, 3, 4) and (2, 4, 5)");
    mt_tape_reset(test_tape);
    mt_matmul(test_tape, RANDOM(1, 2, 3, 4), RANDOM(2, 4), false, false);
    assert_tape_fails_with("matmul: shapes (2, 3, 4) and (4)");
}
END_TEST

/* op(a) op(b) of each pair of matrices in (P, 2, ...), as loops; either may lack P, or P and 2. */
static void multiply_pairs(const double *a, int a_matrices, const double *b, int b_matrices,
                           int layout, double *y)
{
    enum { M = 3, K = 4, N = 2 };
    for (int pair = 0; pair < 6; pair++) {
        const double *of_a = a + (ptrdiff_t)(pair % a_matrices) * M * K;
        const double *of_b = b + (ptrdiff_t)(pair % b_matrices) * K * N;
        for (int i = 0; i < M * N; i++, y++) {
            int m = i / N, n = i % N;
            *y = 0.0;
            for (int k = 0; k < K; k++) {
                *y += of_a[(layout & 1) != 0 ? k * M + m : m * K + k] *
                      of_b[(layout & 2) != 0 ? n * K + k : k * N + n];
            }
        }
    }
}

START_TEST(test_matmul_repeats_the_matrices_of_either_over_leading_dimensions)
{
    bool ta = (_i & 1) != 0, tb = (_i & 2) != 0;
    int64_t a_rows = ta ? 4 : 3, a_columns = ta ? 3 : 4, b_rows = tb ? 2 : 4,
            b_columns = 6 - b_rows;
    mt_tensor *a[] = {RANDOM(1, 3, 2, a_rows, a_columns), RANDOM(2, 2, a_rows, a_columns),
                      RANDOM(3, a_rows, a_columns)};
    mt_tensor *b[] = {RANDOM(4, 3, 2, b_rows, b_columns), RANDOM(5, 2, b_rows, b_columns),
                      RANDOM(6, b_rows, b_columns)};
    const int matrices[] = {6, 2, 1}, pairs[][2] = {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {2, 0}};
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        double of_a[6 * 12], of_b[6 * 8], found[6 * 6], wanted[6 * 6];
        int first = pairs[p][0], other = pairs[p][1];
        mt_tensor *y = mt_matmul(test_tape, a[first], b[other], ta, tb);
        ck_assert_ptr_nonnull(y);
        ck_assert_int_eq(y->rank, 4);
        ck_assert_int_eq(mt_tensor_count(y), 6 * 6);
        ck_assert_int_eq(mt_tensor_read(a[first], of_a), MT_OK);
        ck_assert_int_eq(mt_tensor_read(b[other], of_b), MT_OK);
        ck_assert_int_eq(mt_tensor_read(y, found), MT_OK);
        multiply_pairs(of_a, matrices[first], of_b, matrices[other], _i, wanted);
        for (int i = 0; i < 6 * 6; i++) {
            ck_assert_double_eq_tol(found[i], wanted[i], 1e-14);
        }
    }
}
END_TEST

START_TEST(test_types_that_differ_are_refused_with_both)
{
    mt_add(test_tape, RANDOM(1, 4), RANDOM32(2, 4));
    assert_tape_fails_with("add: input 1 is f32, expected f64");
}
END_TEST

START_TEST(test_linear_refuses_another_width)
{
    mt_linear(test_tape, RANDOM(1, 2, 3), RANDOM(2, 4, 5), NULL);
    assert_tape_fails_with("linear: x has shape (2, 3), expected (..., 5)");
}
END_TEST

START_TEST(test_linear_each_refuses_maps_that_differ)
{
    enum { MOST = 3 };
    mt_tensor *x[MOST], *weight[MOST], *bias[MOST], *y[MOST + 1] = {NULL};
    for (int i = 0; i < MOST; i++) {
        x[i] = RANDOM(1, 2, 3);
        weight[i] = RANDOM(2, 4, 3);
        bias[i] = RANDOM(3, 4);
    }
    static const struct {
        int count, kind, which;
        const char *says;
    } cases[] = {{0, 0, 0, "linear_each: 0 maps, not 1 .. 3"},
                 {4, 0, 0, "linear_each: 4 maps, not 1 .. 3"},
                 {3, 1, 2, "linear_each: x 2 is NULL, the first is there"},
                 {3, 2, 1, "linear_each: weight 1 is NULL, the first is there"},
                 {3, 3, 1, "linear_each: bias 1 is NULL, the first is there"},
                 {3, 3, 0, "linear_each: bias 1 is there, the first is NULL"},
                 {3, 4, 2, "x 2 has shape (3, 2) of f64, the first (2, 3) of f64"},
                 {3, 5, 1, "weight 1 has shape (3, 3) of f64, the first (4, 3) of f64"},
                 {3, 6, 1, "linear_each: weight has shape (3), expected 2 dimensions"}};
    mt_tensor *turned = RANDOM(1, 3, 2), *square = RANDOM(2, 3, 3), *row = RANDOM(3, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int which = cases[i].which;
        mt_tensor **kinds[] = {x, x, weight, bias, x, weight, weight};
        mt_tensor *others[] = {x[0], NULL, NULL, NULL, turned, square, row};
        mt_tensor **place = kinds[cases[i].kind] + (cases[i].kind == 6 ? 0 : which),
                  *right = *place;
        *place = others[cases[i].kind];
        mt_linear_each(test_tape, cases[i].count, x, weight, bias, y);
        ck_assert_ptr_null(y[0]);
        assert_tape_fails_with(cases[i].says);
        *place = right;
        mt_tape_reset(test_tape);
    }
}
END_TEST

/* One map after the other: the values are those of as many operators, to the last bit on the CPU,
 * and the gradients of those whose outputs are used. */
START_TEST(test_linear_each_is_one_map_after_the_other)
{
    enum { ROWS = 300, IN = 70, OUT = 65, MOST = 3 };
    bool is_cpu = strcmp(mt_device_name(test_device), "cpu") == 0;
    double *grads[2][3 * MOST], *values[2][MOST];
    mt_tensor *inputs[3 * MOST], *x[MOST], *weight[MOST], *bias[MOST], *y[MOST];
    for (int i = 0; i < MOST; i++) {
        inputs[3 * i] = x[i] = RANDOM((uint64_t)i, ROWS, IN);
        inputs[3 * i + 1] = weight[i] = RANDOM((uint64_t)i + 3, OUT, IN);
        inputs[3 * i + 2] = bias[i] = RANDOM((uint64_t)i + 6, OUT);
    }
    for (int each = 0; each < 2; each++) {
        mt_tape_reset(test_tape);
        for (int i = 0; i < MOST && each == 0; i++) {
            y[i] = mt_linear(test_tape, x[i], weight[i], bias[i]);
        }
        if (each == 1) {
            mt_linear_each(test_tape, MOST, x, weight, bias, y);
        }
        mt_tensor *loss = mt_sum(test_tape, mt_multiply(test_tape, y[0], y[2]));
        ck_assert_msg(mt_backward(test_tape, loss) == MT_OK, "%s", mt_error_message());
        for (int i = 0; i < MOST; i++) {
            values[each][i] = malloc(mt_tensor_bytes(y[i]));
            ck_assert_int_eq(mt_tensor_read(y[i], values[each][i]), MT_OK);
        }
        for (int i = 0; i < 3 * MOST; i++) {
            grads[each][i] = malloc(mt_tensor_bytes(inputs[i]));
            ck_assert_int_eq(mt_tensor_read_grad(inputs[i], grads[each][i]), MT_OK);
            inputs[i]->has_grad = false;
        }
    }
    for (int i = 0; i < 4 * MOST; i++) {
        bool is_value = i >= 3 * MOST;
        double *const *found = is_value ? &values[1][i - 3 * MOST] : &grads[1][i];
        double *const *expected = is_value ? &values[0][i - 3 * MOST] : &grads[0][i];
        int64_t n = is_value ? ROWS * OUT : mt_tensor_count(inputs[i]);
        double error = relative_difference(*found, *expected, n);
        ck_assert_msg(is_cpu ? error == 0.0 : error <= 1e-14, "array %d is off by %g", i, error);
        free(*found);
        free(*expected);
    }
}
END_TEST

START_TEST(test_matmul_refuses_other_inner_dimensions)
{
    mt_matmul(test_tape, RANDOM(1, 2, 3), RANDOM(2, 4, 5), false, false);
    assert_tape_fails_with("inner dimensions differ: 3 and 4");
}
END_TEST

START_TEST(test_wkv_refuses_a_sequence_beyond_context_size)
{
    mt_tensor *key = RANDOM(3, 1, 9, 2);
    ck_assert_ptr_null(mt_wkv(test_tape, RANDOM(1, 2), RANDOM(2, 2), key, key, NULL, 8, NULL));
    assert_tape_fails_with("9");
    assert_tape_fails_with("context_size 8");
}
END_TEST

START_TEST(test_wkv_refuses_decays_of_other_channels)
{
    mt_tensor *key = RANDOM(3, 1, 9, 2);
    ck_assert_ptr_null(mt_wkv(test_tape, RANDOM(1, 3), RANDOM(2, 2), key, key, NULL, 9, NULL));
    assert_tape_fails_with("w has shape (3), expected 2");
}
END_TEST

START_TEST(test_wkv_refuses_a_batch_that_breaks_alignment)
{
    mt_tensor *key = RANDOM(3, 1, 2, 33);
    ck_assert_ptr_null(mt_wkv(test_tape, RANDOM(1, 33), RANDOM(2, 33), key, key, NULL, 8, NULL));
    assert_tape_fails_with("33");
    assert_tape_fails_with("32");
}
END_TEST

START_TEST(test_embedding_refuses_an_index_beyond_the_table)
{
    double values[4];
    mt_tensor *y =
        mt_embedding(test_tape, index_tensor(SHAPE(2), (int32_t[]){1, 5}), RANDOM(1, 5, 2), -1);
    if (y != NULL) { /* a device that runs behind says so when it is waited for */
        ck_assert_int_eq(mt_tensor_read(y, values), MT_ERROR_INVALID);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), "index 5 at 1"));
        return;
    }
    assert_tape_fails_with("index 5 at 1");
}
END_TEST

START_TEST(test_padding_row_gets_no_gradient)
{
    mt_tensor *table = RANDOM(1, 3, 2);
    mt_tensor *labels = index_tensor(SHAPE(4), (int32_t[]){0, 1, 0, 2});
    mt_tensor *y = mt_embedding(test_tape, labels, table, 0);
    ck_assert_int_eq(mt_backward(test_tape, mt_sum(test_tape, y)), MT_OK);
    double grad[6];
    ck_assert_int_eq(mt_tensor_read_grad(table, grad), MT_OK);
    const double expected[] = {0.0, 0.0, 1.0, 1.0, 1.0, 1.0};
    ck_assert_mem_eq(grad, expected, sizeof expected);
}
END_TEST

START_TEST(test_cross_entropy_counts_rows_and_hits)
{
    const double values[] = {3, 0, 0, 0, 5, 1, 2, 2, 0};
    mt_tensor *logits = mt_tape_input(test_tape, MT_F64, SHAPE(3, 3), values, false);
    mt_tensor *targets = index_tensor(SHAPE(3), (int32_t[]){0, -100, 1});
    mt_tensor *stats;
    ck_assert_ptr_nonnull(mt_cross_entropy(test_tape, logits, targets, -100, 0.0, &stats));
    double counted[2];
    ck_assert_int_eq(mt_tensor_read(stats, counted), MT_OK);
    ck_assert_double_eq(counted[0], 2.0);
    ck_assert_double_eq(counted[1], 1.0); /* of equal logits the first counts */
}
END_TEST

/* Of logits (2, 3, 2, 4): a label for each of two rows, unless they are left out. */
static mt_tensor *loss_of_rows(int labels, int lengths, int32_t blank, double fastemit_lambda)
{
    const int32_t ones[] = {1, 1, 1, 1};
    return mt_transducer_loss(
        test_tape, RANDOM(1, 2, 3, 2, 4), labels > 0 ? index_tensor(SHAPE(labels), ones) : NULL,
        index_tensor(SHAPE(2), ones), index_tensor(SHAPE(lengths), ones), blank, fastemit_lambda);
}

START_TEST(test_transducer_loss_refuses_inputs_that_do_not_fit)
{
    static const struct {
        int labels, lengths;
        int32_t blank;
        double fastemit_lambda;
        const char *says;
    } cases[] = {{0, 2, 0, 0.0, "labels is NULL, expected 1 for each row"},
                 {4, 2, 0, 0.0, "labels has shape (4), expected 2 elements"},
                 {2, 3, 0, 0.0, "label_lengths has shape (3), expected 2 elements"},
                 {2, 2, 4, 0.0, "blank 4, not in 0 .. 3"},
                 {2, 2, -1, 0.0, "blank -1, not in 0 .. 3"},
                 {2, 2, 0, -0.5, "fastemit_lambda -0.5"},
                 {2, 2, 0, NAN, "fastemit_lambda nan"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_ptr_null(loss_of_rows(cases[i].labels, cases[i].lengths, cases[i].blank,
                                        cases[i].fastemit_lambda));
        assert_tape_fails_with(cases[i].says);
        mt_tape_reset(test_tape);
    }
    mt_transducer_loss(test_tape, RANDOM(1, 2, 3, 4), NULL, RANDOM(2, 1), RANDOM(3, 1), 0, 0.0);
    assert_tape_fails_with("logits has shape (2, 3, 4), expected 4 dimensions");
}
END_TEST

START_TEST(test_transducer_loss_is_the_same_without_a_record)
{
    double recorded[2], plain[2];
    ck_assert_int_eq(mt_tensor_read(loss_of_rows(2, 2, 0, 0.5), recorded), MT_OK);
    mt_tape_set_recording(test_tape, false);
    ck_assert_int_eq(mt_tensor_read(loss_of_rows(2, 2, 0, 0.0), plain), MT_OK);
    ck_assert_mem_eq(recorded, plain, sizeof plain);
}
END_TEST

START_TEST(test_what_adapters_are_made_of_has_shapes)
{
    mt_tensor *x = RANDOM(1, 2, 3), *weight = RANDOM(2, 4, 3), *a = RANDOM(3, 2, 3);
    mt_tensor *b = RANDOM(4, 4, 2), *other = RANDOM(5, 4, 3), *five = RANDOM(6, 5);
    ck_assert_ptr_null(mt_linear_lora(test_tape, x, weight, NULL, a, other, 1.0));
    assert_tape_fails_with("a has shape (2, 3) and b (4, 3), expected (rank, 3) and (4, rank)");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_linear_lora(test_tape, x, weight, NULL, b, b, 1.0));
    assert_tape_fails_with("a has shape (4, 2) and b (4, 2)");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_linear_lora(test_tape, x, weight, five, a, b, 1.0));
    assert_tape_fails_with("bias");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_repeat(test_tape, x, 0));
    assert_tape_fails_with("repeat: 0 times, not 1 or more");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_wkv_start(test_tape, five, x, 2));
    assert_tape_fails_with("wkv_start: root of den");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_wkv_start(test_tape, five, five, -1));
    assert_tape_fails_with("wkv_start: -1 times");
}
END_TEST

/* Of the sums that are learnt, den is a square, with the exponent 0. */
START_TEST(test_wkv_begins_with_unscaled_sums)
{
    mt_tensor *num = RANDOM(1, 3), *root = RANDOM(2, 3);
    double of_num[3], of_root[3], state[3 * 2 * 3];
    ck_assert_int_eq(mt_tensor_read_doubles(num, of_num), MT_OK);
    ck_assert_int_eq(mt_tensor_read_doubles(root, of_root), MT_OK);
    ck_assert_int_eq(mt_tensor_read_doubles(mt_wkv_start(test_tape, num, root, 2), state), MT_OK);
    for (int i = 0; i < 6; i++) {
        ck_assert_double_eq(state[i], of_num[i % 3]);
        ck_assert_double_eq(state[6 + i], of_root[i % 3] * of_root[i % 3]);
        ck_assert_double_eq(state[12 + i], 0.0);
    }
}
END_TEST

static Suite *operators_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("operators", graph_setup, graph_teardown, &tcase);
    tcase_add_loop_test(tcase, test_operator_gradients_are_central_differences, 0,
                        gradient_case_count());
    tcase_add_loop_test(tcase, test_an_input_that_fits_no_other_is_refused, 0,
                        gradient_case_count());
    tcase_add_test(tcase, test_wkv_state_gradient_is_for_fixed_max);
    tcase_add_test(tcase, test_every_operator_has_a_gradient_case);
    tcase_add_test(tcase, test_operators_given_null_return_null);
    tcase_add_test(tcase, test_shapes_that_differ_are_refused_with_both);
    tcase_add_test(tcase, test_what_adapters_are_made_of_has_shapes);
    tcase_add_test(tcase, test_wkv_begins_with_unscaled_sums);
    tcase_add_test(tcase, test_only_leading_dimensions_are_repeated);
    tcase_add_test(tcase, test_a_slice_beyond_the_axis_is_refused);
    tcase_add_test(tcase, test_an_axis_that_is_not_there_is_refused);
    tcase_add_test(tcase, test_tensors_that_do_not_fit_together_are_refused);
    tcase_add_test(tcase, test_matmul_refuses_other_leading_dimensions);
    tcase_add_loop_test(tcase, test_matmul_repeats_the_matrices_of_either_over_leading_dimensions,
                        0, 4);
    tcase_add_test(tcase, test_types_that_differ_are_refused_with_both);
    tcase_add_test(tcase, test_linear_refuses_another_width);
    tcase_add_test(tcase, test_linear_each_refuses_maps_that_differ);
    tcase_add_test(tcase, test_linear_each_is_one_map_after_the_other);
    tcase_add_test(tcase, test_matmul_refuses_other_inner_dimensions);
    tcase_add_test(tcase, test_wkv_refuses_a_sequence_beyond_context_size);
    tcase_add_test(tcase, test_wkv_refuses_decays_of_other_channels);
    tcase_add_test(tcase, test_wkv_refuses_a_batch_that_breaks_alignment);
    tcase_add_test(tcase, test_embedding_refuses_an_index_beyond_the_table);
    tcase_add_test(tcase, test_padding_row_gets_no_gradient);
    tcase_add_test(tcase, test_cross_entropy_counts_rows_and_hits);
    tcase_add_test(tcase, test_transducer_loss_refuses_inputs_that_do_not_fit);
    tcase_add_test(tcase, test_transducer_loss_is_the_same_without_a_record);
    return suite;
}

MT_TEST_MAIN(operators_suite)
