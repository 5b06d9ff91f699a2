/* Every allocation of operators, layers and Adam on the host fails once: each is told, and nothing
 * is lost. The calls of the library's objects are wrapped by the linker (see
 * tests/CMakeLists.txt). */
#include <mixtape/adam.h>
#include <mixtape/model.h>

#include "autograd/gradient_cases.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

#include <stdio.h>

static int countdown; /* 1: the next allocation fails; 0: none does */
static bool has_failed;
static int live; /* blocks of memory */

static bool allocation_fails(void)
{
    bool fails = countdown > 0 && --countdown == 0;
    has_failed = has_failed || fails;
    return fails;
}

#define WRAP(name, parameters, arguments)                                                          \
    void *__real_##name parameters;                                                                \
    void *__wrap_##name parameters;                                                                \
    void *__wrap_##name parameters                                                                 \
    {                                                                                              \
        void *memory = allocation_fails() ? NULL : __real_##name arguments;                        \
        live += memory != NULL;                                                                    \
        return memory;                                                                             \
    }

WRAP(malloc, (size_t size), (size))
WRAP(calloc, (size_t count, size_t size), (count, size))
WRAP(aligned_alloc, (size_t alignment, size_t size), (alignment, size))

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    void *larger = allocation_fails() ? NULL : __real_realloc(memory, size);
    live += memory == NULL && larger != NULL;
    return larger;
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
    live -= memory != NULL;
    __real_free(memory);
}

static mt_status differentiate_case(mt_tape *tape, mt_tape *values, const gradient_case *one)
{
    mt_tensor *inputs[MT_OP_INPUTS];
    int checked;
    mt_status status = gradient_case_inputs(one, values, 1, inputs, &checked);
    return status == MT_OK ? mt_backward(tape, gradient_case_loss(tape, &one, inputs)) : status;
}

static mt_status differentiate(const gradient_case *one)
{
    mt_tape *tape = NULL, *values = NULL;
    mt_status status = mt_tape_create(test_device, &tape);
    if (status == MT_OK) {
        status = mt_tape_create(test_device, &values);
    }
    if (status == MT_OK) {
        status = differentiate_case(tape, values, one);
    }
    mt_tape_destroy(tape);
    mt_tape_destroy(values);
    return status;
}

static mt_status make_model_and_adam(const gradient_case *one)
{
    mt_model *model = NULL;
    mt_adam *adam = NULL;
    mt_model_config config = mt_model_config_default(5, 3);
    (void)one;
    mt_status status = mt_model_create(test_device, MT_F32, &config, 1, &model);
    if (status == MT_OK) {
        status = mt_adam_create(model->parameters, mt_adam_config_default(), &adam);
    }
    mt_adam_destroy(adam);
    mt_model_destroy(model);
    return status;
}

static void fail_each_allocation(mt_status (*try)(const gradient_case *one),
                                 const gradient_case *one)
{
    ck_assert_int_eq(try(one), MT_OK);
    for (int allocation = 1;; allocation++) {
        int before = live;
        countdown = allocation;
        has_failed = false;
        mt_status status = try(one);
        countdown = 0;
        ck_assert_int_eq(live, before);
        ck_assert_msg(status == (has_failed ? MT_ERROR_MEMORY : MT_OK),
                      "%s, allocation %d: status %d: %s", one->op, allocation, (int)status,
                      mt_error_message());
        if (!has_failed) {
            ck_assert_int_gt(allocation, 4);
            return;
        }
    }
}

START_TEST(test_an_operator_without_memory_says_so)
{
    for (const gradient_case *one = gradient_cases; one->op != NULL; one++) {
        fail_each_allocation(differentiate, one);
    }
}
END_TEST

START_TEST(test_a_model_without_memory_says_so)
{
    fail_each_allocation(make_model_and_adam, gradient_cases);
}
END_TEST

static Suite *memory_suite(void)
{
    return SUITE_WITH("failing memory", graph_setup, graph_teardown,
                      test_an_operator_without_memory_says_so, test_a_model_without_memory_says_so);
}

MT_TEST_MAIN(memory_suite)
