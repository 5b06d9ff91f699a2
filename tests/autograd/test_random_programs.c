/* Random programs of operators: some operators are drawn one after the other and applied to
 * whatever tensors there are, on awkward shapes. Backward is compared with central differences
 * along a random direction of each input, which no element escapes. A program is a function of its
 * number; MIXTAPE_PROGRAMS says how many to run. */
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

enum { MOST_SEQUENCES = 32, STEPS = 8 };

/* Each has a gradient; their shapes are given in the dimensions of the program. */
enum { X0, X1, X2, VECTOR0, VECTOR1, VECTOR2, MATRIX0, MATRIX1, CARRIED, SCALAR, INPUTS };

/* A program at work: sequences (B, T, C), of which operators make more, and the loss so far. */
typedef struct program {
    mt_tape *tape;
    mt_tensor *const *inputs;
    mt_random random, begin; /* now, and before the first operator */
    int64_t B, T, C;
    mt_tensor *sequences[MOST_SEQUENCES];
    int count;
    mt_tensor *loss;
    uint64_t used; /* a bit for each row of the table */
} program;

static mt_tensor *any_sequence(program *run)
{
    return run->sequences[mt_random_below(&run->random, (uint64_t)run->count)];
}

static mt_tensor *any_vector(program *run)
{
    return run->inputs[VECTOR0 + (int)mt_random_below(&run->random, 3)];
}

static mt_tensor *any_matrix(program *run)
{
    return run->inputs[MATRIX0 + (int)mt_random_below(&run->random, 2)];
}

static bool coin(program *run)
{
    return mt_random_below(&run->random, 2) == 1;
}

static void add_to_loss(program *run, mt_tensor *scalar)
{
    run->loss = run->loss == NULL ? scalar : mt_add(run->tape, run->loss, scalar);
}

/* The rows of x, a matrix (B T, C). */
static mt_tensor *rows_of(program *run, mt_tensor *x)
{
    return mt_view(run->tape, x, 2, (int64_t[]){run->B * run->T, run->C});
}

static mt_tensor *sequence_of(program *run, mt_tensor *rows)
{
    return mt_view(run->tape, rows, 3, (int64_t[]){run->B, run->T, run->C});
}

static mt_tensor *labels_below(program *run, int64_t bound)
{
    int64_t n = run->B * run->T;
    int32_t *values = malloc((size_t)n * sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int64_t i = 0; i < n; i++) {
        values[i] = (int32_t)mt_random_below(&run->random, (uint64_t)bound);
    }
    mt_tensor *labels = mt_tape_labels(run->tape, run->B, run->T, values);
    free(values);
    return labels;
}

/* ---- the rows of the table: each returns a new sequence, or adds to the loss ---- */

static mt_tensor *draw_add(program *run)
{
    return mt_add(run->tape, any_sequence(run), any_sequence(run));
}

static mt_tensor *draw_subtract(program *run)
{
    return mt_subtract(run->tape, any_sequence(run), any_sequence(run));
}

static mt_tensor *draw_multiply(program *run)
{
    return mt_multiply(run->tape, any_sequence(run), mt_sigmoid(run->tape, any_sequence(run)));
}

static mt_tensor *draw_scale(program *run)
{
    return mt_scale(run->tape, any_sequence(run), 1.5 - 3.0 * mt_random_uniform(&run->random));
}

static mt_tensor *draw_negative_exp(program *run)
{
    return mt_negative_exp(run->tape, mt_sigmoid(run->tape, any_sequence(run)));
}

static mt_tensor *draw_squared_relu(program *run)
{
    return mt_squared_relu(run->tape,
                           mt_sigmoid_gate(run->tape, any_sequence(run), any_sequence(run)));
}

static mt_tensor *draw_sigmoid_gate(program *run)
{
    return mt_sigmoid_gate(run->tape, any_sequence(run), any_sequence(run));
}

static mt_tensor *draw_linear(program *run)
{
    mt_tensor *bias = coin(run) ? any_vector(run) : NULL;
    return mt_linear(run->tape, any_sequence(run), any_matrix(run), bias);
}

static mt_tensor *draw_linear_squared_relu(program *run)
{
    mt_tensor *bias = coin(run) ? any_vector(run) : NULL;
    mt_tensor *x = mt_sigmoid(run->tape, any_sequence(run));
    return mt_linear_squared_relu(run->tape, x, any_matrix(run), bias);
}

/* a (b^T c), or a^T where that is the same shape, each factor transposed or not. */
static mt_tensor *draw_matmul(program *run)
{
    mt_tensor *a = rows_of(run, any_sequence(run)), *b = rows_of(run, any_sequence(run));
    mt_tensor *square = mt_matmul(run->tape, b, rows_of(run, any_sequence(run)), true, false);
    if (coin(run)) {
        square = mt_matmul(run->tape, square, any_matrix(run), coin(run), coin(run));
    }
    square = mt_scale(run->tape, square, 1.0 / (double)(run->B * run->T));
    return sequence_of(run, mt_matmul(run->tape, a, square, false, coin(run)));
}

static mt_tensor *draw_layer_norm(program *run)
{
    return mt_layer_norm(run->tape, any_sequence(run), any_vector(run), any_vector(run), 0.1);
}

static mt_tensor *draw_rms_norm(program *run)
{
    double partial = coin(run) && run->C > 2 ? 0.5 : -1.0;
    return mt_rms_norm(run->tape, any_sequence(run), any_vector(run), 0.5, partial);
}

static mt_tensor *draw_scale_norm(program *run)
{
    return mt_scale_norm(run->tape, any_sequence(run), run->inputs[SCALAR], 1e-3);
}

static mt_tensor *draw_basic_norm(program *run)
{
    return mt_basic_norm(run->tape, any_sequence(run), run->inputs[SCALAR]);
}

static mt_tensor *draw_time_mix(program *run)
{
    int count = 1 + (int)mt_random_below(&run->random, 3);
    mt_tensor *mix[3], *y[3] = {NULL};
    for (int i = 0; i < count; i++) {
        mix[i] = any_vector(run);
    }
    mt_tensor *carried = coin(run) ? run->inputs[CARRIED] : NULL;
    mt_time_mix(run->tape, any_sequence(run), carried, count, mix, y);
    return count > 1 && coin(run) ? mt_add(run->tape, y[0], y[count - 1]) : y[0];
}

/* Whole, or in two stretches of which the second begins with the state of the first. */
static mt_tensor *draw_wkv(program *run)
{
    mt_tape *tape = run->tape;
    mt_tensor *w = mt_negative_exp(tape, any_vector(run)), *first = any_vector(run), *state;
    mt_tensor *key = any_sequence(run), *value = any_sequence(run);
    int64_t cut = run->T / 2, rest = run->T - cut;
    if (cut > 0 && coin(run)) {
        mt_tensor *begun = mt_wkv(tape, w, first, mt_slice(tape, key, 1, 0, cut),
                                  mt_slice(tape, value, 1, 0, cut), NULL, run->T, &state);
        add_to_loss(run, weighed_sum(tape, begun));
        mt_tensor *ended = mt_wkv(tape, w, first, mt_slice(tape, key, 1, cut, rest),
                                  mt_slice(tape, value, 1, cut, rest), state, run->T, NULL);
        add_to_loss(run, weighed_sum(tape, ended));
    }
    return mt_wkv(tape, w, first, key, value, NULL, run->T, NULL);
}

static mt_tensor *draw_dropout(program *run)
{
    return mt_dropout(run->tape, any_sequence(run), coin(run) ? 0.3 : 0.0);
}

static mt_tensor *draw_embedding(program *run)
{
    return mt_embedding(run->tape, labels_below(run, run->C), any_matrix(run), -1);
}

static mt_tensor *draw_slice(program *run)
{
    int64_t start = (int64_t)mt_random_below(&run->random, (uint64_t)run->T);
    int64_t length = 1 + (int64_t)mt_random_below(&run->random, (uint64_t)(run->T - start));
    add_to_loss(run,
                weighed_sum(run->tape, mt_slice(run->tape, any_sequence(run), 1, start, length)));
    return NULL;
}

static mt_tensor *draw_cross_entropy(program *run)
{
    double smoothing = coin(run) ? 0.1 : 0.0;
    int32_t ignored = coin(run) ? 0 : -1;
    mt_tensor *targets = labels_below(run, run->C);
    mt_tensor *loss =
        mt_cross_entropy(run->tape, any_sequence(run), targets, ignored, smoothing, NULL);
    add_to_loss(run, loss);
    return NULL;
}

static mt_tensor *draw_mean(program *run)
{
    mt_tensor *a = any_sequence(run);
    add_to_loss(run, coin(run) ? mt_mean(run->tape, mt_sigmoid(run->tape, a))
                               : mt_mean_square(run->tape, a, any_sequence(run)));
    return NULL;
}

/* A span that uses one of its inputs twice and leaves one output alone. */
static void span_of_some(mt_tape *tape, void *context, mt_tensor *const *inputs,
                         mt_tensor **outputs)
{
    mt_tensor *gated = mt_sigmoid_gate(tape, inputs[0], inputs[1]);
    mt_tensor *y = mt_linear(tape, gated, context, NULL);
    outputs[0] = mt_dropout(tape, mt_add(tape, y, inputs[0]), 0.2);
    outputs[1] = mt_multiply(tape, gated, gated);
}

static mt_tensor *draw_recompute(program *run)
{
    mt_tensor *inputs[] = {any_sequence(run), any_sequence(run)}, *outputs[2];
    mt_recompute(run->tape, span_of_some, any_matrix(run), 2, inputs, 2, outputs);
    return coin(run) ? outputs[0] : mt_subtract(run->tape, outputs[1], outputs[0]);
}

static mt_tensor *(*const rows[])(program *run) = {
    draw_add,        draw_subtract,     draw_multiply,      draw_scale,
    draw_linear,     draw_squared_relu, draw_sigmoid_gate,  draw_linear_squared_relu,
    draw_matmul,     draw_layer_norm,   draw_rms_norm,      draw_scale_norm,
    draw_basic_norm, draw_time_mix,     draw_wkv,           draw_dropout,
    draw_embedding,  draw_slice,        draw_cross_entropy, draw_mean,
    draw_recompute,  draw_negative_exp, draw_wkv,           draw_time_mix,
};

enum { ROWS = sizeof rows / sizeof *rows };

static void draw_shape(program *run)
{
    static const int64_t batches[] = {1, 1, 2, 3}, times[] = {1, 2, 3, 5, 16, 33, 70, 150};
    static const int64_t channels[] = {1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 64};
    run->B = batches[mt_random_below(&run->random, sizeof batches / sizeof *batches)];
    run->T = times[mt_random_below(&run->random, sizeof times / sizeof *times)];
    run->C = channels[mt_random_below(&run->random, sizeof channels / sizeof *channels)];
}

static mt_tensor *run_program(mt_tape *tape, program *run, mt_tensor *const *inputs)
{
    run->tape = tape;
    run->inputs = inputs;
    run->random = run->begin;
    run->count = 0;
    run->loss = NULL;
    for (int i = X0; i <= X2; i++) {
        run->sequences[run->count++] = inputs[i];
    }
    for (int step = 0; step < STEPS; step++) {
        int row = (int)mt_random_below(&run->random, ROWS);
        mt_tensor *y = rows[row](run);
        ck_assert_msg(mt_tape_status(tape) == MT_OK, "row %d: %s", row, mt_tape_error(tape));
        run->used |= UINT64_C(1) << row;
        if (y != NULL) {
            run->sequences[run->count++] = y;
        }
    }
    add_to_loss(run, weighed_sum(tape, run->sequences[run->count - 1]));
    return run->loss;
}

static double loss_of(program *run, mt_tensor *const *inputs)
{
    double value;
    mt_tape_reset(test_tape);
    mt_tape_set_recording(test_tape, false);
    ck_assert_int_eq(mt_tensor_read(run_program(test_tape, run, inputs), &value), MT_OK);
    mt_tape_set_recording(test_tape, true);
    return value;
}

static double *host_copy(const mt_tensor *x, mt_status (*read)(const mt_tensor *, void *))
{
    double *values = malloc(mt_tensor_bytes(x));
    ck_assert_ptr_nonnull(values);
    ck_assert_msg(read(x, values) == MT_OK, "%s", mt_error_message());
    return values;
}

/* The loss where the input is moved by `step` along a direction of signs. */
static double moved_loss(program *run, mt_tensor *const *inputs, int input, const double *values,
                         const double *signs, double step)
{
    int64_t n = mt_tensor_count(inputs[input]);
    double *moved = malloc((size_t)n * sizeof *moved);
    ck_assert_ptr_nonnull(moved);
    for (int64_t i = 0; i < n; i++) {
        moved[i] = values[i] + step * signs[i];
    }
    ck_assert_int_eq(mt_tensor_write(inputs[input], moved), MT_OK);
    free(moved);
    return loss_of(run, inputs);
}

/* The derivative along random signs, from backward's gradient and from two losses; from nearer ones
 * too where those lie on either side of a kink, as scale_norm has one. */
static void check_direction(program *run, uint64_t number, mt_tensor *const *inputs, int input,
                            const double *grad, double loss)
{
    int64_t n = mt_tensor_count(inputs[input]);
    mt_random random = mt_random_make(number, 1000 + (uint64_t)input);
    double *values = host_copy(inputs[input], mt_tensor_read), expected = 0.0, length = 0.0;
    double *signs = malloc((size_t)n * sizeof *signs);
    ck_assert_ptr_nonnull(signs);
    for (int64_t i = 0; i < n; i++) {
        signs[i] = mt_random_below(&random, 2) == 1 ? 1.0 : -1.0;
        expected += grad[i] * signs[i];
        length += grad[i] * grad[i];
    }
    double bound = 1e-5 * fmax(sqrt(length), fmax(1e-2 * fabs(loss), 1e-2)), difference = NAN;
    for (int attempt = 0; attempt < 2 && !(fabs(expected - difference) <= bound); attempt++) {
        double h = attempt == 0 ? 1e-5 : 3e-7;
        double above = moved_loss(run, inputs, input, values, signs, h);
        double below = moved_loss(run, inputs, input, values, signs, -h);
        difference = (above - below) / (2.0 * h);
    }
    ck_assert_msg(fabs(expected - difference) <= bound,
                  "program %llu (%lld, %lld, %lld), input %d: %.12g by backward, %.12g by "
                  "differences, more than %g apart",
                  (unsigned long long)number, (long long)run->B, (long long)run->T,
                  (long long)run->C, input, expected, difference, bound);
    ck_assert_int_eq(mt_tensor_write(inputs[input], values), MT_OK);
    free(values);
    free(signs);
}

static void make_inputs(const program *run, uint64_t number, mt_tensor **inputs)
{
    const struct {
        int rank;
        int64_t shape[MT_MAX_RANK];
    } kinds[INPUTS] = {[X0] = {3, {run->B, run->T, run->C}},
                       [X1] = {3, {run->B, run->T, run->C}},
                       [X2] = {3, {run->B, run->T, run->C}},
                       [VECTOR0] = {1, {run->C}},
                       [VECTOR1] = {1, {run->C}},
                       [VECTOR2] = {1, {run->C}},
                       [MATRIX0] = {2, {run->C, run->C}},
                       [MATRIX1] = {2, {run->C, run->C}},
                       [CARRIED] = {2, {run->B, run->C}},
                       [SCALAR] = {1, {1}}};
    mt_tape_reset(value_tape);
    for (int i = 0; i < INPUTS; i++) {
        inputs[i] =
            random_tensor(MT_F64, kinds[i].rank, kinds[i].shape, number * INPUTS + (uint64_t)i);
    }
}

/* Returns the rows of the table that the program used. */
static uint64_t check_program(uint64_t number)
{
    mt_tensor *inputs[INPUTS];
    double *grads[INPUTS];
    program run = {.random = mt_random_make(number, 99)};
    draw_shape(&run);
    run.begin = run.random;
    make_inputs(&run, number, inputs);
    mt_tape_reset(test_tape);
    mt_tensor *result = run_program(test_tape, &run, inputs);
    double loss;
    ck_assert_int_eq(mt_tensor_read(result, &loss), MT_OK);
    ck_assert_msg(isfinite(loss), "program %llu: %g", (unsigned long long)number, loss);
    ck_assert_msg(mt_backward(test_tape, result) == MT_OK, "%s", mt_tape_error(test_tape));
    for (int i = 0; i < INPUTS; i++) {
        grads[i] = inputs[i]->has_grad ? host_copy(inputs[i], mt_tensor_read_grad)
                                       : calloc(1, mt_tensor_bytes(inputs[i]));
        ck_assert_ptr_nonnull(grads[i]);
    }
    ck_assert_double_eq(loss_of(&run, inputs), loss); /* whether it records or not */
    for (int i = 0; i < INPUTS; i++) {
        check_direction(&run, number, inputs, i, grads[i], loss);
        free(grads[i]);
    }
    return run.used;
}

START_TEST(test_gradients_of_random_programs_are_central_differences)
{
    const char *asked = getenv("MIXTAPE_PROGRAMS");
    bool on_cpu = strcmp(mt_device_name(test_device), "cpu") == 0;
    uint64_t count = asked != NULL ? strtoull(asked, NULL, 10) : on_cpu ? 500 : 40, used = 0;
    for (uint64_t number = 0; number < count; number++) {
        used |= check_program(number);
    }
    if (asked == NULL) {
        ck_assert_uint_eq(used, (UINT64_C(1) << ROWS) - 1);
    }
}
END_TEST

static Suite *programs_suite(void)
{
    return SUITE_WITH("random programs", graph_setup, graph_teardown,
                      test_gradients_of_random_programs_are_central_differences);
}

MT_TEST_MAIN(programs_suite)
