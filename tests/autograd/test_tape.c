/* The tape: memory, errors, recording, accumulation, user-defined operators. */
#include "kernels/device.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

/* Counts the device's allocations, and makes one of them fail. */
static mt_status (*plain_allocate)(mt_device *device, size_t bytes, void **memory);
static int allocations, fail_at;

static mt_status counting_allocate(mt_device *device, size_t bytes, void **memory)
{
    allocations++;
    if (allocations == fail_at) {
        *memory = NULL;
        return mt_fail(MT_ERROR_MEMORY, "test: no memory for %zu bytes", bytes);
    }
    return plain_allocate(device, bytes, memory);
}

static void count_allocations(int failing)
{
    allocations = 0;
    fail_at = failing;
    if (test_device->allocate != counting_allocate) {
        plain_allocate = test_device->allocate;
        test_device->allocate = counting_allocate;
    }
}

/* A step with fan-out, recomputation and everything that takes memory. */
static void span_of_two(mt_tape *tape, void *context, mt_tensor *const *inputs, mt_tensor **outputs)
{
    mt_tensor *weight = context;
    mt_tensor *y = mt_squared_relu(tape, mt_linear(tape, inputs[0], weight, NULL));
    outputs[0] = mt_dropout(tape, mt_multiply(tape, y, inputs[0]), 0.25);
    outputs[1] = mt_sigmoid(tape, y);
}

static mt_tensor *step_loss(mt_tape *tape, mt_tensor *x, mt_tensor *weight, bool recompute)
{
    mt_tensor *outputs[2] = {NULL};
    if (recompute) {
        mt_recompute(tape, span_of_two, weight, 1, &x, 2, outputs);
    } else {
        span_of_two(tape, weight, &x, outputs);
    }
    mt_tensor *sum = mt_add(tape, outputs[0], mt_multiply(tape, outputs[1], outputs[1]));
    return weighed_sum(tape, mt_add(tape, sum, x));
}

START_TEST(test_inputs_have_the_shapes_that_their_names_say)
{
    const int32_t labels[] = {5, 4, 3, 2, 1, 0};
    const double reals[] = {0.5, 1.5, 2.5, 3.5, 4.5, 5.5};
    int32_t read[6] = {0};
    double same[6] = {0.0};
    mt_tensor *x = mt_tape_labels(test_tape, 2, 3, labels);
    mt_tensor *sequence = mt_tape_sequence(test_tape, MT_F64, 1, 3, 2, reals);
    mt_tensor *rows = mt_tape_rows(test_tape, MT_F64, 3, 2, reals);
    ck_assert_int_eq(mt_tape_status(test_tape), MT_OK);
    ck_assert(x->dtype == MT_I32 && x->rank == 2 && x->shape[0] == 2 && x->shape[1] == 3);
    ck_assert(sequence->rank == 3 && sequence->shape[1] == 3 && sequence->shape[2] == 2);
    ck_assert(rows->rank == 2 && rows->shape[0] == 3 && rows->shape[1] == 2);
    ck_assert(!x->requires_grad && !sequence->requires_grad && !rows->requires_grad);
    ck_assert_int_eq(mt_tensor_read(x, read), MT_OK);
    ck_assert_mem_eq(read, labels, sizeof labels);
    ck_assert_int_eq(mt_tensor_read(sequence, same), MT_OK);
    ck_assert_mem_eq(same, reals, sizeof reals);
    ck_assert_int_eq(mt_tensor_read(rows, same), MT_OK);
    ck_assert_mem_eq(same, reals, sizeof reals);
    ck_assert_ptr_null(mt_tape_labels(test_tape, 2, 0, labels));
    ck_assert_int_eq(mt_tape_status(test_tape), MT_ERROR_INVALID);
}
END_TEST

START_TEST(test_an_input_of_another_device_is_refused)
{
    mt_device *other;
    mt_tape *elsewhere;
    ck_assert_int_eq(mt_device_open("cpu", &other), MT_OK);
    ck_assert_int_eq(mt_tape_create(other, &elsewhere), MT_OK);
    mt_tensor *far = mt_tape_input(elsewhere, MT_F64, SHAPE(2), NULL, false);
    ck_assert_ptr_null(mt_add(test_tape, RANDOM(1, 2), far));
    ck_assert_int_eq(mt_tape_status(test_tape), MT_ERROR_INVALID);
    const char *says = strstr(mt_tape_error(test_tape), "add: input 1 is on cpu, the tape on ");
    ck_assert_ptr_eq(says, mt_tape_error(test_tape));
    mt_tape_destroy(elsewhere);
    mt_device_close(other);
}
END_TEST

START_TEST(test_backward_tells_the_first_failure_of_its_tape)
{
    mt_tensor *a = RANDOM(1, 2, 3), *b = RANDOM(2, 3, 2);
    mt_tensor *loss = mt_sum(test_tape, mt_add(test_tape, a, b));
    ck_assert_ptr_null(loss);
    mt_device *none;
    ck_assert_int_eq(mt_device_open("abacus", &none), MT_ERROR_INVALID);
    ck_assert_str_ne(mt_error_message(), mt_tape_error(test_tape));
    ck_assert_int_eq(mt_backward(test_tape, loss), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), mt_tape_error(test_tape));
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "add"));
}
END_TEST

START_TEST(test_memory_serves_in_whatever_order_it_is_asked_for)
{
    const int64_t sizes[] = {1 << 20, 2 << 20, 3 << 20};
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}, {0, 1, 2}};
    size_t first = 0;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        mt_tape_reset(test_tape);
        for (int j = 0; j < 3; j++) {
            const int64_t *size = &sizes[orders[i][j]];
            ck_assert_ptr_nonnull(mt_tape_input(test_tape, MT_F32, 1, size, NULL, false));
        }
        first = i == 0 ? mt_tape_memory(test_tape) : first;
        ck_assert_uint_eq(mt_tape_memory(test_tape), first);
    }
}
END_TEST

START_TEST(test_second_step_allocates_nothing_and_repeats_addresses)
{
    mt_tape *tape;
    ck_assert_int_eq(mt_tape_create(test_device, &tape), MT_OK);
    mt_tensor *x = RANDOM32(1, 300, 700), *weight = RANDOM32(2, 700, 700);
    void *address = NULL;
    count_allocations(0);
    int after_first = 0;
    for (int step = 0; step < 4; step++) {
        mt_tape_reset(tape);
        x->has_grad = weight->has_grad = false;
        mt_tensor *loss = step_loss(tape, x, weight, true);
        ck_assert_msg(mt_backward(tape, loss) == MT_OK, "%s", mt_tape_error(tape));
        if (step == 0) {
            address = loss->data;
            after_first = allocations;
        }
        ck_assert_ptr_eq(loss->data, address);
        ck_assert_int_eq(allocations, after_first);
    }
    mt_tape_destroy(tape);
}
END_TEST

START_TEST(test_every_allocation_can_fail_once_and_the_tape_recovers)
{
    mt_tensor *x = RANDOM32(1, 300, 700), *weight = RANDOM32(2, 700, 700);
    bool failed = true;
    for (int failing = 1; failed; failing++) {
        count_allocations(failing);
        mt_tape *tape;
        if (mt_tape_create(test_device, &tape) != MT_OK) {
            ck_assert_ptr_null(tape);
            continue;
        }
        mt_status status = mt_backward(tape, step_loss(tape, x, weight, true));
        failed = allocations >= failing;
        ck_assert_int_eq(status, failed ? MT_ERROR_MEMORY : MT_OK);
        ck_assert(!failed || strstr(mt_tape_error(tape), "no memory for") != NULL);
        x->has_grad = weight->has_grad = false;
        mt_tape_reset(tape);
        ck_assert_int_eq(mt_backward(tape, step_loss(tape, x, weight, true)), MT_OK);
        x->has_grad = weight->has_grad = false;
        mt_tape_destroy(tape);
        ck_assert_int_lt(failing, 100);
    }
}
END_TEST

START_TEST(test_first_error_sticks_until_reset)
{
    mt_tensor *a = RANDOM(1, 2), *b = RANDOM(2, 3);
    ck_assert_ptr_null(mt_add(test_tape, a, b));
    ck_assert_ptr_null(mt_multiply(test_tape, b, a));
    ck_assert_ptr_null(mt_tape_input(test_tape, MT_F64, SHAPE(2), NULL, false));
    assert_tape_fails_with("add: shapes (2) and (3) differ");
    ck_assert_int_eq(mt_backward(test_tape, NULL), MT_ERROR_INVALID);
    assert_tape_fails_with("add: shapes (2) and (3) differ");
    mt_tape_reset(test_tape);
    ck_assert_int_eq(mt_tape_status(test_tape), MT_OK);
    ck_assert_str_eq(mt_tape_error(test_tape), "");
    ck_assert_ptr_nonnull(mt_add(test_tape, a, a));
}
END_TEST

START_TEST(test_gradients_accumulate_until_forgotten)
{
    mt_tensor *x = RANDOM(1, 5);
    double once[5], twice[5], again[5];
    for (int pass = 0; pass < 3; pass++) {
        if (pass == 2) {
            x->has_grad = false;
        }
        mt_tape_reset(test_tape);
        mt_tensor *loss = mt_sum(test_tape, mt_multiply(test_tape, x, x));
        ck_assert_int_eq(mt_backward(test_tape, loss), MT_OK);
        ck_assert_int_eq(mt_tensor_read_grad(x, pass == 0   ? once
                                                : pass == 1 ? twice
                                                            : again),
                         MT_OK);
    }
    for (int i = 0; i < 5; i++) {
        ck_assert_double_eq(twice[i], 2.0 * once[i]);
        ck_assert_double_eq(again[i], once[i]);
    }
}
END_TEST

START_TEST(test_detach_stops_the_gradient)
{
    mt_tensor *x = RANDOM(1, 4);
    mt_tensor *y = mt_multiply(test_tape, x, mt_detach(test_tape, x));
    ck_assert_int_eq(mt_backward(test_tape, mt_sum(test_tape, y)), MT_OK);
    double value[4], grad[4];
    ck_assert_int_eq(mt_tensor_read(x, value), MT_OK);
    ck_assert_int_eq(mt_tensor_read_grad(x, grad), MT_OK);
    ck_assert_mem_eq(grad, value, sizeof grad);
}
END_TEST

START_TEST(test_inference_records_nothing)
{
    mt_tensor *x = RANDOM(1, 4);
    ck_assert(mt_tape_set_recording(test_tape, false));
    mt_tensor *loss = mt_sum(test_tape, mt_multiply(test_tape, x, x));
    ck_assert(!mt_tape_set_recording(test_tape, true));
    ck_assert(!loss->requires_grad);
    ck_assert_int_eq(mt_backward(test_tape, loss), MT_ERROR_INVALID);
    assert_tape_fails_with("depends on nothing");
}
END_TEST

START_TEST(test_backward_twice_is_refused)
{
    mt_tensor *x = RANDOM(1, 4);
    mt_tensor *loss = mt_sum(test_tape, x);
    ck_assert_int_eq(mt_backward(test_tape, loss), MT_OK);
    ck_assert_int_eq(mt_backward(test_tape, loss), MT_ERROR_INVALID);
}
END_TEST

START_TEST(test_backward_of_a_vector_is_refused)
{
    mt_tensor *x = RANDOM(1, 4);
    ck_assert_int_eq(mt_backward(test_tape, mt_scale(test_tape, x, 2.0)), MT_ERROR_INVALID);
    assert_tape_fails_with("(4)");
}
END_TEST

START_TEST(test_unused_branches_cost_no_gradient)
{
    mt_tensor *x = RANDOM(1, 4), *y = RANDOM(2, 4);
    mt_multiply(test_tape, y, y);
    ck_assert_int_eq(mt_backward(test_tape, mt_sum(test_tape, x)), MT_OK);
    ck_assert_ptr_null(mt_tensor_grad(y));
}
END_TEST

START_TEST(test_impossible_shapes_are_refused)
{
    ck_assert_ptr_null(mt_tape_input(test_tape, MT_F32, SHAPE(2, 0), NULL, false));
    assert_tape_fails_with("dimension 1 is 0");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_tape_input(test_tape, MT_F32, SHAPE(INT64_MAX / 2, 9), NULL, false));
    assert_tape_fails_with("too large");
    mt_tape_reset(test_tape);
    ck_assert_ptr_null(mt_view(test_tape, RANDOM(1, 6), SHAPE(4)));
    assert_tape_fails_with("view: (6) seen as (4)");
}
END_TEST

START_TEST(test_recomputed_gradients_have_the_same_bits)
{
    enum { N = 12, C = 7 };
    mt_tensor *x = RANDOM32(1, N, C), *weight = RANDOM32(2, C, C);
    float value[2], grad_x[2][N * C], grad_weight[2][C * C];
    for (int recompute = 0; recompute < 2; recompute++) {
        mt_tape_reset(test_tape);
        ck_assert_int_eq(mt_tape_set_random(test_tape, 3, 9), MT_OK);
        x->has_grad = weight->has_grad = false;
        mt_dropout(test_tape, x, 0.5); /* the span's random numbers do not begin at zero */
        mt_tensor *loss = step_loss(test_tape, x, weight, recompute == 1);
        ck_assert_int_eq(mt_backward(test_tape, loss), MT_OK);
        ck_assert_int_eq(mt_tensor_read(loss, &value[recompute]), MT_OK);
        ck_assert_int_eq(mt_tensor_read_grad(x, grad_x[recompute]), MT_OK);
        ck_assert_int_eq(mt_tensor_read_grad(weight, grad_weight[recompute]), MT_OK);
    }
    ck_assert_mem_eq(&value[0], &value[1], sizeof value[0]);
    ck_assert_mem_eq(grad_x[0], grad_x[1], sizeof grad_x[0]);
    ck_assert_mem_eq(grad_weight[0], grad_weight[1], sizeof grad_weight[0]);
}
END_TEST

static mt_tensor *recomputed_loss(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    (void)context;
    return step_loss(tape, inputs[0], inputs[1], true);
}

START_TEST(test_recomputed_gradients_are_central_differences)
{
    mt_tensor *inputs[] = {RANDOM(1, 5, 3), RANDOM(2, 3, 3)};
    assert_gradients(recomputed_loss, NULL, 2, inputs);
}
END_TEST

static void wide_span(mt_tape *tape, void *context, mt_tensor *const *inputs, mt_tensor **outputs)
{
    (void)context;
    mt_tensor *y = inputs[0];
    for (int i = 0; i < 20; i++) {
        y = mt_sigmoid(tape, y);
    }
    outputs[0] = y;
}

static void empty_span(mt_tape *tape, void *context, mt_tensor *const *inputs, mt_tensor **outputs)
{
    (void)tape;
    (void)context;
    (void)inputs;
    (void)outputs;
}

static void sum_span(mt_tape *tape, void *context, mt_tensor *const *inputs, mt_tensor **outputs)
{
    (void)context;
    outputs[0] = inputs[0];
    for (int i = 1; i < MT_SPAN_MAX; i++) {
        outputs[0] = mt_add(tape, outputs[0], inputs[i]);
    }
}

START_TEST(test_a_span_has_as_many_inputs_and_outputs_as_may_be)
{
    mt_tensor *x = RANDOM(1, 2, 3), *inputs[MT_SPAN_MAX + 1], *outputs[MT_SPAN_MAX + 1];
    double value[6], expected[6];
    for (int i = 0; i <= MT_SPAN_MAX; i++) {
        inputs[i] = x;
    }
    mt_recompute(test_tape, sum_span, NULL, MT_SPAN_MAX, inputs, 1, outputs);
    ck_assert_int_eq(mt_tensor_read(outputs[0], value), MT_OK);
    ck_assert_int_eq(mt_tensor_read(x, expected), MT_OK);
    for (int i = 0; i < 6; i++) {
        ck_assert_double_eq_tol(value[i], MT_SPAN_MAX * expected[i], 1e-12);
    }
    mt_recompute(test_tape, sum_span, NULL, MT_SPAN_MAX + 1, inputs, 1, outputs);
    ck_assert_int_eq(mt_tape_status(test_tape), MT_ERROR_INVALID);
    mt_tape_reset(test_tape);
    mt_recompute(test_tape, sum_span, NULL, 1, inputs, MT_SPAN_MAX + 1, outputs);
    ck_assert_int_eq(mt_tape_status(test_tape), MT_ERROR_INVALID);
    mt_tape_reset(test_tape);
    mt_recompute(test_tape, empty_span, NULL, 1, inputs, 1, outputs);
    ck_assert_int_eq(mt_tape_status(test_tape), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_tape_error(test_tape), "recompute: the span left output 0 NULL");
    ck_assert_ptr_null(outputs[0]);
}
END_TEST

START_TEST(test_recomputation_keeps_only_the_outputs)
{
    enum { SPANS = 8 };
    size_t memory[2];
    for (int recompute = 0; recompute < 2; recompute++) {
        mt_tape *tape;
        ck_assert_int_eq(mt_tape_create(test_device, &tape), MT_OK);
        mt_tensor *x = RANDOM32(1, 64, 4096);
        mt_tensor *y = x;
        for (int i = 0; i < SPANS; i++) {
            if (recompute == 1) {
                mt_recompute(tape, wide_span, NULL, 1, &y, 1, &y);
            } else {
                wide_span(tape, NULL, &y, &y);
            }
        }
        ck_assert_int_eq(mt_backward(tape, mt_sum(tape, y)), MT_OK);
        memory[recompute] = mt_tape_memory(tape);
        mt_tape_destroy(tape);
    }
    ck_assert_uint_lt(memory[1], memory[0] / 3);
}
END_TEST

/* Fails from its second run on. */
static void span_of_once(mt_tape *tape, void *context, mt_tensor *const *inputs,
                         mt_tensor **outputs)
{
    int *runs = context;
    outputs[0] = mt_sigmoid(tape, (*runs)++ > 0 ? NULL : inputs[0]);
}

START_TEST(test_a_span_that_fails_when_it_is_recomputed_is_an_error_of_backward)
{
    int runs = 0;
    mt_tensor *x = RANDOM32(1, 2, 3), *y;
    mt_recompute(test_tape, span_of_once, &runs, 1, &x, 1, &y);
    ck_assert_int_eq(mt_backward(test_tape, mt_sum(test_tape, y)), MT_ERROR_INVALID);
    ck_assert_int_eq(runs, 2);
}
END_TEST

/* A user's own operator, through the public interface alone. */
static mt_status cube_shape(mt_call *call)
{
    mt_call_output_like(call, 0, call->inputs[0]);
    return MT_OK;
}

static mt_status cube_forward(mt_call *call)
{
    int64_t n = mt_tensor_count(call->inputs[0]);
    mt_status status = mt_call_save(call, mt_tensor_bytes(call->inputs[0]));
    void *square = call->saved;
    if (status == MT_OK && square == NULL) {
        status = mt_call_scratch(call, mt_tensor_bytes(call->inputs[0]), &square);
    }
    const void *x = call->inputs[0]->data;
    if (status == MT_OK) {
        status = call->kernels->multiply(call->device, n, x, x, square);
    }
    return status == MT_OK
               ? call->kernels->multiply(call->device, n, square, x, call->outputs[0]->data)
               : status;
}

static mt_status cube_backward(mt_call *call)
{
    int64_t n = mt_tensor_count(call->inputs[0]);
    void *dx = call->grad_inputs[0];
    mt_status status =
        call->kernels->multiply(call->device, n, call->saved, call->grad_outputs[0], dx);
    return status == MT_OK ? call->kernels->scale(call->device, n, 3.0, dx, dx) : status;
}

static const mt_op cube = {.name = "cube",
                           .formula = "y = x^3",
                           .inputs = 1,
                           .outputs = 1,
                           .shape = cube_shape,
                           .forward = cube_forward,
                           .backward = cube_backward};

/* The context is the operator, NULL for the right one. */
static mt_tensor *cube_loss(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    const mt_op *op = context != NULL ? context : &cube;
    return weighed_sum(tape, mt_apply(tape, op, 1, inputs, NULL, 0));
}

static mt_tensor *cube_and_more_loss(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    return mt_add(tape, cube_loss(tape, context, inputs), weighed_sum(tape, inputs[1]));
}

static mt_status unwritten_backward(mt_call *call)
{
    (void)call;
    return MT_OK;
}

/* Takes the memory of the gradient to hold zeros. */
static mt_status adding_backward(mt_call *call)
{
    int64_t n = mt_tensor_count(call->inputs[0]);
    void *dx = call->grad_inputs[0], *product = NULL;
    mt_status status = mt_call_scratch(call, mt_tensor_bytes(call->inputs[0]), &product);
    if (status == MT_OK) {
        status =
            call->kernels->multiply(call->device, n, call->saved, call->grad_outputs[0], product);
    }
    if (status == MT_OK) {
        status = call->kernels->scale(call->device, n, 3.0, product, product);
    }
    return status == MT_OK ? call->kernels->add(call->device, n, dx, product, dx) : status;
}

static mt_status slightly_wrong_backward(mt_call *call)
{
    mt_status status = cube_backward(call);
    void *dx = call->grad_inputs[0];
    return status == MT_OK ? call->kernels->scale(call->device, 1, 1.0001, dx, dx) : status;
}

START_TEST(test_user_defined_operator_is_differentiated)
{
    mt_tensor *x = RANDOM(1, 11);
    assert_gradients(cube_loss, NULL, 1, &x);
}
END_TEST

/* A tape's memory in every step, and a gradient that the caller keeps. */
START_TEST(test_what_nobody_has_written_is_nan)
{
    enum { N = 8 };
    const double zeros[N] = {0.0};
    double values[N], grad[N];
    mt_op silent = cube;
    silent.backward = unwritten_backward;
    mt_tensor *x = RANDOM(1, N);
    for (int step = 0; step < 2; step++) {
        mt_tape_reset(test_tape);
        mt_tensor *blank = mt_tape_input(test_tape, MT_F64, SHAPE(N), NULL, false);
        ck_assert_int_eq(mt_tensor_read(blank, values), MT_OK);
        ck_assert_int_eq(mt_tensor_write(blank, zeros), MT_OK);
        ck_assert_int_eq(test_device->zero(test_device, x->grad, sizeof zeros), MT_OK);
        x->has_grad = false;
        ck_assert_int_eq(mt_backward(test_tape, cube_loss(test_tape, &silent, &x)), MT_OK);
        ck_assert_int_eq(mt_tensor_read_grad(x, grad), MT_OK);
        for (int i = 0; i < N; i++) {
            ck_assert(isnan(values[i]) && isnan(grad[i]));
        }
    }
}
END_TEST

START_TEST(test_gradcheck_sees_wrong_gradients)
{
    static mt_status (*const backwards[])(mt_call *) = {unwritten_backward, adding_backward,
                                                        slightly_wrong_backward};
    mt_tensor *x[] = {RANDOM(1, 11), RANDOM(2, 11)};
    mt_gradcheck_result result;
    ck_assert_int_eq(mt_gradcheck(test_tape, cube_loss, NULL, 1, x, 0, &result), MT_OK);
    ck_assert_int_eq(result.elements, 11);
    ck_assert_double_lt(result.error, 1e-6);
    for (int i = 0; i < 3; i++) {
        mt_op wrong = cube;
        wrong.backward = backwards[i];
        ck_assert_int_eq(mt_gradcheck(test_tape, cube_and_more_loss, &wrong, 2, x, 0, &result),
                         MT_OK);
        ck_assert_msg(!(result.error <= 1e-6) && result.input == 0, "case %d: input %d, error %g",
                      i, result.input, result.error);
    }
}
END_TEST

static mt_status twice_backward(mt_call *call)
{
    mt_status status = cube_backward(call);
    void *dx = call->grad_inputs[0];
    int64_t n = mt_tensor_count(call->inputs[0]);
    return status == MT_OK ? call->kernels->scale(call->device, n, 2.0, dx, dx) : status;
}

static mt_status half_backward(mt_call *call)
{
    mt_status status = cube_backward(call);
    void *dx = call->grad_inputs[0];
    int64_t n = mt_tensor_count(call->inputs[0]);
    return status == MT_OK ? call->kernels->scale(call->device, n, 0.5, dx, dx) : status;
}

START_TEST(test_gradchecks_error_is_relative_to_the_larger_of_both)
{
    mt_tensor *x = RANDOM(1, 11);
    for (int i = 0; i < 2; i++) {
        mt_gradcheck_result result;
        mt_op wrong = cube;
        wrong.backward = i == 0 ? twice_backward : half_backward;
        ck_assert_int_eq(mt_gradcheck(test_tape, cube_loss, &wrong, 1, &x, 0, &result), MT_OK);
        ck_assert_double_eq_tol(result.error, 0.5, 1e-6);
    }
}
END_TEST

START_TEST(test_gradcheck_refuses_narrow_inputs)
{
    mt_gradcheck_result result;
    mt_tensor *narrow = RANDOM32(1, 3);
    ck_assert_int_eq(mt_gradcheck(test_tape, cube_loss, NULL, 1, &narrow, 0, &result),
                     MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "f32"));
}
END_TEST

START_TEST(test_arrays_begin_where_the_device_has_them_begin)
{
    bool is_cuda = strncmp(test_device->name, "cuda", 4) == 0;
    ck_assert_uint_eq(test_device->alignment, is_cuda ? 256 : 64);
    for (int64_t n = 1; n < 200; n += 13) {
        mt_tensor *x = random_tensor(MT_F32, 1, &n, 1);
        mt_tensor *y = mt_add(test_tape, x, x);
        ck_assert_ptr_nonnull(y);
        ck_assert_uint_eq((uintptr_t)y->data % test_device->alignment, 0);
    }
}
END_TEST

static bool are_at_equal_distances(const void *a, const void *b, const void *c)
{
    ptrdiff_t first = (const char *)b - (const char *)a;
    return first > 0 && (const char *)c - (const char *)b == first;
}

/* A step whose arrays take most of a block of 1 MiB, so that a few of them end where the next block
 * begins, with gradients that are added to others from the second step on. */
START_TEST(test_arrays_side_by_side_are_so_wherever_a_block_ends)
{
    enum { STEPS = 40, CHANNELS = 1000, MAPS = 3 };
    mt_tensor *x = RANDOM32(1, 1, STEPS, CHANNELS), *mix[MAPS], *weight[MAPS];
    for (int i = 0; i < MAPS; i++) {
        mix[i] = RANDOM32(2, CHANNELS);
        weight[i] = RANDOM32(3, 50, CHANNELS);
    }
    for (int64_t before = 1; before < 9; before++) {
        mt_tensor *mixed[MAPS], *y[MAPS];
        mt_tape *tape; /* whose first block is new */
        ck_assert_int_eq(mt_tape_create(test_device, &tape), MT_OK);
        mt_tape_input(tape, MT_F32, 1, (int64_t[]){before * 30000}, NULL, false);
        mt_time_mix(tape, x, NULL, MAPS, mix, mixed);
        mt_linear_each(tape, MAPS, mixed, weight, NULL, y);
        mt_tensor *loss = mt_sum(tape, mt_add(tape, mt_multiply(tape, y[0], y[2]), y[1]));
        ck_assert_msg(mt_backward(tape, loss) == MT_OK, "%s", mt_error_message());
        ck_assert(are_at_equal_distances(mixed[0]->data, mixed[1]->data, mixed[2]->data));
        ck_assert(are_at_equal_distances(mixed[0]->grad, mixed[1]->grad, mixed[2]->grad));
        ck_assert(are_at_equal_distances(y[0]->data, y[1]->data, y[2]->data));
        ck_assert(are_at_equal_distances(y[0]->grad, y[1]->grad, y[2]->grad));
        mt_tape_destroy(tape);
    }
}
END_TEST

/* An operator that sees where its inputs' gradients are put. */
static void *seen_places[3];

static mt_status see_shape(mt_call *call)
{
    mt_call_output_like(call, 0, call->inputs[0]);
    return MT_OK;
}

static mt_status see_forward(mt_call *call)
{
    return call->device->zero(call->device, call->outputs[0]->data,
                              mt_tensor_bytes(call->outputs[0]));
}

static mt_status see_backward(mt_call *call)
{
    mt_status status = MT_OK;
    for (int i = 0; i < 3 && status == MT_OK; i++) {
        seen_places[i] = call->grad_inputs[i];
        status = call->device->zero(call->device, call->grad_inputs[i],
                                    mt_tensor_bytes(call->inputs[i]));
    }
    return status;
}

START_TEST(test_gradients_that_are_added_to_others_lie_side_by_side)
{
    enum { N = 100000 };
    static const mt_op see = {.name = "see",
                              .formula = "y = 0",
                              .inputs = 3,
                              .outputs = 1,
                              .shape = see_shape,
                              .forward = see_forward,
                              .backward = see_backward,
                              .side_by_side = true};
    mt_tensor *x[3] = {RANDOM32(1, N), RANDOM32(2, N), RANDOM32(3, N)};
    for (int step = 0; step < 2; step++) {
        mt_tape_reset(test_tape);
        mt_tensor *first = mt_apply(test_tape, &see, 3, x, NULL, 0);
        mt_tensor *more = mt_multiply(test_tape, x[0], x[1]); /* backward takes scratch of two */
        mt_tensor *loss = mt_sum(test_tape, mt_add(test_tape, first, more));
        ck_assert_msg(mt_backward(test_tape, loss) == MT_OK, "%s", mt_error_message());
    }
    ck_assert(are_at_equal_distances(seen_places[0], seen_places[1], seen_places[2]));
    ck_assert_ptr_ne(seen_places[0], x[0]->grad);
}
END_TEST

static Suite *tape_suite(void)
{
    return SUITE_WITH(
        "tape", graph_setup, graph_teardown, test_inputs_have_the_shapes_that_their_names_say,
        test_arrays_begin_where_the_device_has_them_begin,
        test_arrays_side_by_side_are_so_wherever_a_block_ends,
        test_gradients_that_are_added_to_others_lie_side_by_side,
        test_an_input_of_another_device_is_refused,
        test_backward_tells_the_first_failure_of_its_tape,
        test_memory_serves_in_whatever_order_it_is_asked_for,
        test_second_step_allocates_nothing_and_repeats_addresses,
        test_every_allocation_can_fail_once_and_the_tape_recovers,
        test_first_error_sticks_until_reset, test_gradients_accumulate_until_forgotten,
        test_detach_stops_the_gradient, test_inference_records_nothing,
        test_backward_twice_is_refused, test_backward_of_a_vector_is_refused,
        test_unused_branches_cost_no_gradient, test_impossible_shapes_are_refused,
        test_recomputed_gradients_have_the_same_bits,
        test_recomputed_gradients_are_central_differences,
        test_a_span_has_as_many_inputs_and_outputs_as_may_be,
        test_recomputation_keeps_only_the_outputs,
        test_a_span_that_fails_when_it_is_recomputed_is_an_error_of_backward,
        test_user_defined_operator_is_differentiated, test_what_nobody_has_written_is_nan,
        test_gradcheck_sees_wrong_gradients,
        test_gradchecks_error_is_relative_to_the_larger_of_both,
        test_gradcheck_refuses_narrow_inputs);
}

MT_TEST_MAIN(tape_suite)
