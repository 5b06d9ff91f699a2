/* Every call of CUDA that an operator makes, forward and backward, fails once: the tape says so, or
 * its numbers are the same. */
#include "autograd/gradient_cases.h"
#include "control.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

static void setup(void)
{
    setenv("MIXTAPE_TEST_DEVICE", "cuda", 1);
    graph_setup();
}

typedef struct trial {
    const gradient_case *one;
    mt_tensor *inputs[MT_OP_INPUTS], *loss;
    int checked;
} trial;

static mt_status differentiate(trial *tried)
{
    mt_tape_reset(value_tape);
    mt_tape_reset(test_tape);
    mt_status status =
        gradient_case_inputs(tried->one, MT_F64, value_tape, 1, tried->inputs, &tried->checked);
    if (status == MT_OK) {
        tried->loss = gradient_case_loss(test_tape, &tried->one, tried->inputs);
        status = mt_backward(test_tape, tried->loss);
    }
    return status == MT_OK ? mt_device_synchronize(test_device) : status;
}

/* A number in which no element of the loss and its gradients cancels another. */
static double digest(const trial *tried)
{
    double sum;
    ck_assert_int_eq(mt_tensor_read(tried->loss, &sum), MT_OK);
    for (int i = 0; i < tried->checked; i++) {
        int64_t count = mt_tensor_count(tried->inputs[i]);
        double *grad = malloc((size_t)count * sizeof *grad);
        ck_assert_ptr_nonnull(grad);
        ck_assert_int_eq(mt_tensor_read_grad(tried->inputs[i], grad), MT_OK);
        for (int64_t j = 0; j < count; j++) {
            sum = 0.9 * sum + grad[j];
        }
        free(grad);
    }
    return sum;
}

static void fail_each(const gradient_case *one, int (*spoil)(int), const char *says)
{
    trial tried = {.one = one};
    ck_assert_int_eq(differentiate(&tried), MT_OK); /* after which the device keeps its workspace */
    spoil(0);
    ck_assert_int_eq(differentiate(&tried), MT_OK);
    int events = spoil(0);
    double expected = digest(&tried);
    ck_assert_int_ge(events, 2);
    for (int failing = 1; failing <= events; failing++) {
        spoil(failing);
        mt_status status = differentiate(&tried);
        spoil(0);
        ck_assert_msg(
            status == MT_OK ? digest(&tried) == expected
                            : status == MT_ERROR_DEVICE && strstr(mt_error_message(), says) != NULL,
            "%s, event %d: status %d: %s", one->op, failing, (int)status, mt_error_message());
    }
}

START_TEST(test_an_operator_whose_launch_fails_says_so)
{
    for (const gradient_case *one = gradient_cases; one->op != NULL; one++) {
        fail_each(one, cuda_on_cpu_fail_launch, "unspecified launch failure");
    }
}
END_TEST

START_TEST(test_an_operator_whose_call_fails_says_so)
{
    for (const gradient_case *one = gradient_cases; one->op != NULL; one++) {
        fail_each(one, cuda_on_cpu_fail_call, "unknown error");
    }
}
END_TEST

static Suite *failing_suite(void)
{
    return SUITE_WITH("cuda_on_cpu/failing operators", setup, graph_teardown,
                      test_an_operator_whose_launch_fails_says_so,
                      test_an_operator_whose_call_fails_says_so);
}

MT_TEST_MAIN(failing_suite)
