/* Whatever of a device fails, the tape says so: no operator goes on from what was not computed. */
#include "autograd/gradient_cases.h"
#include "tests/check_main.h"

#include "tests/autograd/failing_device.h"

static mt_status differentiate(void *context)
{
    mt_tensor *inputs[MT_OP_INPUTS], *loss;
    int checked;
    mt_tape_reset(value_tape);
    mt_tape_reset(test_tape);
    const gradient_case *const *one = context;
    mt_status status = gradient_case_inputs(*one, MT_F64, value_tape, 1, inputs, &checked);
    if (status == MT_OK) {
        loss = gradient_case_loss(test_tape, context, inputs);
        status = mt_backward(test_tape, loss);
    }
    return status;
}

START_TEST(test_an_operator_whose_kernel_fails_says_so)
{
    for (const gradient_case *one = gradient_cases; one->op != NULL; one++) {
        fail_each_kernel(differentiate, &one, MT_OK);
    }
}
END_TEST

START_TEST(test_an_operator_whose_device_fails_says_so)
{
    for (const gradient_case *one = gradient_cases; one->op != NULL; one++) {
        fail_each_call(differentiate, &one, MT_OK, 2);
    }
}
END_TEST

static mt_status check_gradient(void *context)
{
    mt_tensor *inputs[MT_OP_INPUTS];
    mt_gradcheck_result result;
    int checked;
    mt_tape_reset(value_tape);
    const gradient_case *const *one = context;
    mt_status status = gradient_case_inputs(*one, MT_F64, value_tape, 1, inputs, &checked);
    return status == MT_OK
               ? mt_gradcheck(test_tape, gradient_case_loss, context, checked, inputs, 2, &result)
               : status;
}

START_TEST(test_a_check_of_gradients_whose_device_fails_says_so)
{
    const gradient_case *one = gradient_cases;
    fail_each_call(check_gradient, &one, MT_OK, 20);
}
END_TEST

static Suite *failing_suite(void)
{
    return SUITE_WITH("failing device", failing_setup, graph_teardown,
                      test_an_operator_whose_kernel_fails_says_so,
                      test_an_operator_whose_device_fails_says_so,
                      test_a_check_of_gradients_whose_device_fails_says_so);
}

MT_TEST_MAIN(failing_suite)
