/* Linear maps of several inputs, each by a weight of its own. A device that gains by it makes their
 * products together where three matrices lie at equal distances, as their addresses show. That
 * those of a layer do so in each run, and the bits are the same, is the work of
 * mt_op.side_by_side. */
#include "autograd/operators/linear.h"
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"
#include "kernels/device.h"

#include <string.h>

enum { X, WEIGHT, BIAS, GROUP, MOST = MT_OP_INPUTS / GROUP };

static int count_of(const mt_call *call)
{
    return call->input_count / GROUP;
}

/* An input is like that of the first group. */
static mt_status expect_alike(const mt_call *call, int input)
{
    static const char *const names[] = {"x", "weight", "bias"};
    const mt_tensor *first = call->inputs[input % GROUP], *other = call->inputs[input];
    const char *op = call->op->name, *name = names[input % GROUP];
    char expected[96], found[96];
    if (first == NULL && other == NULL) {
        return MT_OK;
    }
    if (first == NULL || other == NULL) {
        return mt_fail(MT_ERROR_INVALID, "%s: %s %d is %s, the first is %s", op, name,
                       input / GROUP, other == NULL ? "NULL" : "there",
                       first == NULL ? "NULL" : "there");
    }
    if (!mt_tensor_same_shape(first, other) || first->dtype != other->dtype) {
        return mt_fail(MT_ERROR_INVALID, "%s: %s %d has shape %s of %s, the first %s of %s", op,
                       name, input / GROUP, mt_tensor_shape_text(other, found, sizeof found),
                       mt_dtype_name(other->dtype),
                       mt_tensor_shape_text(first, expected, sizeof expected),
                       mt_dtype_name(first->dtype));
    }
    return MT_OK;
}

static mt_status linear_each_shape(mt_call *call)
{
    const mt_tensor *x = call->inputs[X];
    mt_status status = mt_linear_check(call, BIAS);
    if (status != MT_OK) {
        return status;
    }
    int64_t shape[MT_MAX_RANK];
    memcpy(shape, x->shape, sizeof shape);
    shape[x->rank - 1] = call->inputs[WEIGHT]->shape[0];
    call->output_count = count_of(call);
    for (int i = 0; i < call->output_count; i++) {
        mt_call_output(call, i, x->rank, shape);
    }
    for (int input = GROUP; input < call->input_count && status == MT_OK; input++) {
        status = expect_alike(call, input);
    }
    return status;
}

/* ---- products ---- */

/* Some arrays of one kind. */
typedef struct arrays {
    const void *at[MOST];
} arrays;

/* Products of one kind: `of` has what is the same of all, and their matrices are in the arrays. */
typedef struct products {
    mt_matmul_args of;
    int count;
    arrays a, b, bias, narrow_bias, c;
} products;

static int add_product(products *to, const void *a, const void *b, void *c)
{
    int i = to->count++;
    to->a.at[i] = a;
    to->b.at[i] = b;
    to->c.at[i] = c;
    return i;
}

static void add_value(products *to, const mt_linear_rows *rows, void *y)
{
    int i = add_product(to, rows->x, rows->weight, y);
    to->bias.at[i] = rows->bias;
    to->narrow_bias.at[i] = rows->narrow_bias;
}

/* Tells if the arrays, with elements of so many bytes, lie at equal distances, which are the step.
 * None of them may be there. */
static bool have_step(const arrays *of, int count, size_t size, int64_t *step)
{
    int64_t first = (int64_t)((uintptr_t)of->at[1] - (uintptr_t)of->at[0]);
    if (count < MOST) { /* two have a distance wherever they lie */
        return false;
    }
    if (of->at[0] == NULL) {
        return true;
    }
    for (int i = 2; i < count; i++) {
        if ((int64_t)((uintptr_t)of->at[i] - (uintptr_t)of->at[i - 1]) != first) {
            return false;
        }
    }
    *step = first / (int64_t)size;
    return first > 0 && first % (int64_t)size == 0;
}

/* Biases have one step, whichever are taken. */
static bool biases_have_step(const products *all, size_t size, size_t wide, int64_t *step)
{
    int64_t narrow_step = 0;
    return have_step(&all->bias, all->count, wide, step) &&
           have_step(&all->narrow_bias, all->count, size, &narrow_step) &&
           (narrow_step == 0 || narrow_step == *step);
}

static mt_status multiply(const mt_call *call, const products *all)
{
    size_t size = mt_dtype_size(call->dtype), wide = mt_dtype_size(mt_dtype_wide(call->dtype));
    mt_matmul_args args = all->of;
    mt_status status = MT_OK;
    bool together = all->count > 1 && have_step(&all->a, all->count, size, &args.a_step) &&
                    have_step(&all->b, all->count, size, &args.b_step) &&
                    biases_have_step(all, size, wide, &args.bias_step) &&
                    have_step(&all->c, all->count, args.wide ? wide : size, &args.c_step);
    args.batch = together ? all->count : 1;
    for (int64_t i = 0; i < all->count && status == MT_OK; i += args.batch) {
        args.a = all->a.at[i];
        args.b = all->b.at[i];
        args.bias = all->bias.at[i];
        args.narrow_bias = all->narrow_bias.at[i];
        args.c = (void *)(uintptr_t)all->c.at[i];
        status = call->kernels->matmul(call->device, &args);
    }
    return status;
}

/* The gradients of biases. */
static mt_status sum_rows(const mt_call *call, int64_t N, int64_t C, int count, const arrays *x,
                          const arrays *y)
{
    size_t size = mt_dtype_size(call->dtype), wide = mt_dtype_size(mt_dtype_wide(call->dtype));
    int64_t x_step = 0, y_step = 0;
    mt_status status = MT_OK;
    bool together =
        count > 1 && have_step(x, count, size, &x_step) && have_step(y, count, wide, &y_step);
    int64_t batch = together ? count : 1;
    for (int64_t i = 0; i < count && status == MT_OK; i += batch) {
        status = call->kernels->sum_rows(call->device, batch, N, C, x->at[i], x_step,
                                         (void *)(uintptr_t)y->at[i], y_step);
    }
    return status;
}

/* ---- the operator ---- */

static mt_status find_rows(mt_call *call, mt_linear_rows *rows)
{
    mt_status status = MT_OK;
    for (int i = 0; i < count_of(call) && status == MT_OK; i++) {
        status = mt_linear_rows_of(call, i * GROUP, i * GROUP + BIAS, &rows[i]);
    }
    return status;
}

/* Tells if products are made together. Else each map is computed as if by itself. */
static bool are_joined(const mt_call *call, const mt_linear_rows *rows)
{
    return call->device->joins_products && rows->compact == NULL;
}

static mt_status linear_each_forward(mt_call *call)
{
    mt_linear_rows rows[MOST] = {{0}};
    mt_status status = find_rows(call, rows);
    products values = {
        .of = {.transpose_b = true, .M = rows->N, .N = rows->out, .K = rows->in, .alpha = 1.0}};
    for (int i = 0; i < count_of(call) && status == MT_OK; i++) {
        void *y = call->outputs[i]->data;
        if (are_joined(call, rows)) {
            add_value(&values, &rows[i], y);
        } else {
            status = mt_linear_values(call, &rows[i], y);
        }
    }
    return status == MT_OK ? multiply(call, &values) : status;
}

/* No gradient has come to a group's output. */
static mt_status clear_grads(const mt_call *call, int first_input)
{
    mt_status status = MT_OK;
    for (int i = first_input; i < first_input + GROUP && status == MT_OK; i++) {
        if (call->grad_inputs[i] != NULL) {
            status = call->device->zero(call->device, call->grad_inputs[i],
                                        mt_tensor_bytes(call->inputs[i]));
        }
    }
    return status;
}

/* What backward is made of, where products are made together. */
typedef struct joined_backward {
    products of_x, of_weight;
    arrays dy, dbias; /* of biases */
    int biases;
} joined_backward;

static void join(joined_backward *to, const mt_linear_rows *rows, const void *dy,
                 const mt_linear_grads *grads)
{
    if (grads->x != NULL) {
        add_product(&to->of_x, dy, rows->weight, grads->x);
    }
    if (grads->weight != NULL) {
        add_product(&to->of_weight, dy, rows->x, grads->weight);
    }
    if (grads->bias != NULL) {
        to->dy.at[to->biases] = dy;
        to->dbias.at[to->biases++] = grads->bias;
    }
}

static mt_status linear_each_backward(mt_call *call)
{
    mt_linear_rows rows[MOST] = {{0}};
    mt_status status = find_rows(call, rows);
    joined_backward joined = {
        .of_x.of = {.M = rows->N, .N = rows->in, .K = rows->out, .alpha = 1.0},
        .of_weight.of = {.transpose_a = true,
                         .M = rows->out,
                         .N = rows->in,
                         .K = rows->N,
                         .alpha = 1.0,
                         .wide = rows->of_dweight != call->dtype}};
    for (int i = 0; i < count_of(call) && status == MT_OK; i++) {
        const int first = i * GROUP;
        const void *dy = call->grad_outputs[i];
        void *const *wanted = &call->grad_inputs[first];
        const mt_linear_grads grads = {wanted[X], wanted[WEIGHT], wanted[BIAS]};
        if (dy == NULL) {
            status = clear_grads(call, first);
        } else if (are_joined(call, rows)) {
            join(&joined, &rows[i], dy, &grads);
        } else {
            status = mt_linear_gradients(call, &rows[i], dy, false, &grads);
        }
    }
    if (status == MT_OK) {
        status = multiply(call, &joined.of_x);
    }
    if (status == MT_OK) {
        status = multiply(call, &joined.of_weight);
    }
    return status == MT_OK
               ? sum_rows(call, rows->N, rows->out, joined.biases, &joined.dy, &joined.dbias)
               : status;
}

/* The same input of every group. */
#define OF_EACH(input) (1u << (input) | 1u << ((input) + GROUP) | 1u << ((input) + 2 * GROUP))

const mt_op mt_op_linear_each = {
    .name = "linear_each",
    .formula = "y_i = x_i weight_i^T + bias_i",
    .inputs = 2,
    .outputs = MOST,
    .shape = linear_each_shape,
    .forward = linear_each_forward,
    .backward = linear_each_backward,
    .wide = OF_EACH(BIAS),
    .factors = OF_EACH(WEIGHT),
    .compact = OF_EACH(WEIGHT),
    .group = GROUP,
    .side_by_side = true,
};

void mt_linear_each(mt_tape *tape, int count, mt_tensor *const *x, mt_tensor *const *weight,
                    mt_tensor *const *bias, mt_tensor **y)
{
    mt_tensor *inputs[MT_OP_INPUTS], *outputs[MOST] = {NULL};
    if (count < 1 || count > MOST) {
        mt_tape_fail(tape,
                     mt_fail(MT_ERROR_INVALID, "linear_each: %d maps, not 1 .. %d", count, MOST));
        return;
    }
    for (int i = 0; i < count; i++) {
        inputs[i * GROUP + X] = x[i];
        inputs[i * GROUP + WEIGHT] = weight[i];
        inputs[i * GROUP + BIAS] = bias != NULL ? bias[i] : NULL;
    }
    mt_apply_many(tape, &mt_op_linear_each, count * GROUP, inputs, NULL, 0, outputs);
    memcpy(y, outputs, (size_t)count * sizeof *y);
}
