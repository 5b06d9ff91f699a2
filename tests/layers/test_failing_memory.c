/* Every allocation of operators, layers and Adam on the host fails once: each is told, and nothing
 * is lost. */
#include <mixtape/adam.h>
#include <mixtape/model.h>

#include "autograd/gradient_cases.h"
#include "tests/autograd/failing_memory.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

static mt_status differentiate_case(mt_tape *tape, mt_tape *values, const gradient_case *one)
{
    mt_tensor *inputs[MT_OP_INPUTS];
    int checked;
    mt_status status = gradient_case_inputs(one, MT_F64, values, 1, inputs, &checked);
    return status == MT_OK ? mt_backward(tape, gradient_case_loss(tape, &one, inputs)) : status;
}

static mt_status differentiate(void *context)
{
    const gradient_case *const *one = context;
    mt_tape *tape = NULL, *values = NULL;
    mt_status status = mt_tape_create(test_device, &tape);
    if (status == MT_OK) {
        status = mt_tape_create(test_device, &values);
    }
    if (status == MT_OK) {
        status = differentiate_case(tape, values, *one);
    }
    mt_tape_destroy(tape);
    mt_tape_destroy(values);
    return status;
}

static mt_status make_model_and_adam(void *context)
{
    mt_model *model = NULL;
    mt_adam *adam = NULL;
    mt_model_config config = mt_model_config_default(5, 3);
    (void)context;
    mt_status status = mt_model_create(test_device, MT_F32, &config, 1, &model);
    if (status == MT_OK) {
        status = mt_adam_create(model->parameters, mt_adam_config_default(), &adam);
    }
    mt_adam_destroy(adam);
    if (status == MT_OK) {
        status = mt_parameters_compact(model->parameters, MT_I8);
    }
    mt_model_destroy(model);
    return status;
}

START_TEST(test_an_operator_without_memory_says_so)
{
    for (const gradient_case *one = gradient_cases; one->op != NULL; one++) {
        fail_each_allocation(differentiate, &one, MT_OK, 4);
    }
}
END_TEST

START_TEST(test_a_model_without_memory_says_so)
{
    fail_each_allocation(make_model_and_adam, NULL, MT_OK, 100);
}
END_TEST

static mt_status open_device(void *context)
{
    mt_device *device;
    (void)context;
    mt_status status = mt_device_open("cpu", &device);
    mt_device_close(device);
    return status;
}

START_TEST(test_a_device_without_memory_says_so)
{
    fail_each_allocation(open_device, NULL, MT_OK, 1);
}
END_TEST

static Suite *memory_suite(void)
{
    return SUITE_WITH("failing memory", graph_setup, graph_teardown,
                      test_an_operator_without_memory_says_so, test_a_model_without_memory_says_so,
                      test_a_device_without_memory_says_so);
}

MT_TEST_MAIN(memory_suite)
