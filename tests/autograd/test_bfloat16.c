/* Every operator in bfloat16 against itself in float64, and what stands beside bfloat16. */
#include "autograd/gradient_cases.h"
#include "kernels/device.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

/* A rounding of bfloat16 is off by 2^-9 of a number at most. Cases are of up to four operators,
 * whose results and gradients are rounded: by the norm of all, this covers them. */
static const double most_error = 0x1p-7;

static double *doubles_of(const mt_tensor *tensor, bool of_gradient)
{
    int64_t n = mt_tensor_count(tensor);
    double *values = malloc((size_t)n * sizeof *values);
    ck_assert_ptr_nonnull(values);
    mt_status status =
        of_gradient ? mt_tensor_read_grad(tensor, values) : mt_tensor_read(tensor, values);
    ck_assert_msg(status == MT_OK, "%s", mt_error_message());
    mt_reals_widen(tensor->dtype, n, values);
    return values;
}

static void differentiate(const gradient_case *one, mt_tensor **inputs)
{
    for (int i = 0; i < one->count; i++) {
        inputs[i]->has_grad = false;
    }
    mt_tape_reset(test_tape);
    ck_assert_int_eq(mt_tape_set_random(test_tape, 5, 1), MT_OK);
    mt_tensor *loss = gradient_case_loss(test_tape, &one, inputs);
    ck_assert_msg(mt_backward(test_tape, loss) == MT_OK, "%s: %s", one->op, mt_error_message());
}

START_TEST(test_gradients_are_those_of_float64_to_rounding)
{
    const gradient_case *one = &gradient_cases[_i];
    mt_tensor *narrow[MT_OP_INPUTS], *exact[MT_OP_INPUTS];
    int checked;
    ck_assert_int_eq(gradient_case_inputs(one, MT_BF16, value_tape, (uint64_t)_i, narrow, &checked),
                     MT_OK);
    ck_assert_int_eq(gradient_case_inputs(one, MT_F64, value_tape, (uint64_t)_i, exact, &checked),
                     MT_OK);
    for (int i = 0; i < one->count; i++) {
        double *values = doubles_of(narrow[i], false);
        ck_assert_int_eq(mt_tensor_write(exact[i], values), MT_OK);
        free(values);
    }
    differentiate(one, narrow);
    differentiate(one, exact);
    for (int i = 0; i < checked; i++) {
        double *found = doubles_of(narrow[i], true), *expected = doubles_of(exact[i], true);
        double error = relative_difference(found, expected, mt_tensor_count(exact[i]));
        ck_assert_msg(error <= most_error, "%s: the gradient of input %d is off by %g", one->op, i,
                      error);
        free(found);
        free(expected);
    }
}
END_TEST

START_TEST(test_a_type_that_nothing_is_cast_to_is_refused)
{
    mt_tensor *x = RANDOM32(1, 2, 3);
    ck_assert_ptr_null(mt_cast(test_tape, x, (mt_dtype)9));
    assert_tape_fails_with("cast: to type 9");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_cast(test_tape, x, MT_F64));
    assert_tape_fails_with("cast: from f32 to f64");
    mt_tape_reset(test_tape);
    mt_tensor *labels = mt_tape_labels(test_tape, 1, 1, (const int32_t[]){0});
    ck_assert_ptr_null(mt_embedding_as(test_tape, labels, x, -1, MT_F64));
    assert_tape_fails_with("rows of f64 from a table of f32");
    mt_tape_reset(test_tape);
    labels = mt_tape_labels(test_tape, 1, 1, (const int32_t[]){0});
    ck_assert_ptr_null(mt_embedding_as(test_tape, labels, x, -1, (mt_dtype)9));
    assert_tape_fails_with("rows of type 9");
}
END_TEST

START_TEST(test_what_is_wide_is_not_narrow)
{
    mt_tensor *x = mt_cast(test_tape, RANDOM32(1, 2, 3), MT_BF16);
    mt_tensor *weight = RANDOM32(2, 4, 3), *bias = mt_cast(test_tape, RANDOM32(3, 4), MT_BF16);
    ck_assert_ptr_null(mt_linear(test_tape, x, weight, bias));
    assert_tape_fails_with("linear: input 2 is bf16, expected f32");
}
END_TEST

START_TEST(test_no_operator_takes_float16)
{
    const int64_t shape[] = {2, 3};
    mt_tensor *x = mt_tape_input(test_tape, MT_F16, 2, shape, NULL, false);
    ck_assert_ptr_null(mt_sigmoid(test_tape, x));
    assert_tape_fails_with("sigmoid: no input of a real type");
    mt_tape_reset(test_tape);
    x = mt_tape_input(test_tape, MT_F16, 2, shape, NULL, false);
    ck_assert_ptr_null(mt_linear(test_tape, x, RANDOM32(2, 4, 3), NULL));
    assert_tape_fails_with("linear: input 0 is f16, expected f32");
    mt_tape_reset(test_tape);
    x = RANDOM32(1, 2, 3);
    ck_assert_ptr_null(mt_cast(test_tape, x, MT_F16));
    assert_tape_fails_with("cast: to type 3");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_tape_input(test_tape, MT_F16, 2, shape, NULL, true));
    assert_tape_fails_with("of type 3, which has no gradient");
}
END_TEST

static Suite *bfloat16_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("bfloat16", graph_setup, graph_teardown, &tcase);
    tcase_add_loop_test(tcase, test_gradients_are_those_of_float64_to_rounding, 0,
                        gradient_case_count());
    tcase_add_test(tcase, test_a_type_that_nothing_is_cast_to_is_refused);
    tcase_add_test(tcase, test_what_is_wide_is_not_narrow);
    tcase_add_test(tcase, test_no_operator_takes_float16);
    return suite;
}

MT_TEST_MAIN(bfloat16_suite)
