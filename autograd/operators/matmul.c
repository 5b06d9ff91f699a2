/* Matrix products. */
#include "autograd/operators/linear.h"
#include "autograd/operators/shapes.h"
#include "autograd/operators/table.h"

#include <inttypes.h>
#include <string.h>

typedef struct matmul_options {
    bool transpose_a, transpose_b;
} matmul_options;

/* The rows and columns of a tensor's matrices: its last two dimensions. */
static const int64_t *matrix_of(const mt_tensor *x)
{
    return x->shape + x->rank - 2;
}

/* Whether what stands before the matrices of `a` ends with what stands before those of `b`. */
static bool is_led_by(const mt_tensor *a, const mt_tensor *b)
{
    int more = a->rank - b->rank;
    return b->rank >= 2 && more >= 0 &&
           memcmp(a->shape + more, b->shape, (size_t)(b->rank - 2) * sizeof *b->shape) == 0;
}

/* The input that has the leading dimensions of the product: those of the other are their end. */
static int leader_of(const mt_call *call)
{
    const mt_tensor *a = call->inputs[0], *b = call->inputs[1];
    return is_led_by(a, b) ? 0 : is_led_by(b, a) ? 1 : -1;
}

static mt_status refuse_shapes(const mt_call *call)
{
    char first[96], other[96];
    return mt_fail(MT_ERROR_INVALID,
                   "matmul: shapes %s and %s are not matrices, or differ before the last two "
                   "dimensions",
                   mt_tensor_shape_text(call->inputs[0], first, sizeof first),
                   mt_tensor_shape_text(call->inputs[1], other, sizeof other));
}

static mt_status matmul_shape(mt_call *call)
{
    const matmul_options *options = call->options;
    int leader = leader_of(call);
    if (leader < 0) {
        return refuse_shapes(call);
    }
    const int64_t *a = matrix_of(call->inputs[0]), *b = matrix_of(call->inputs[1]);
    int64_t inner_a = a[options->transpose_a ? 0 : 1], inner_b = b[options->transpose_b ? 1 : 0];
    if (inner_a != inner_b) {
        return mt_fail(MT_ERROR_INVALID,
                       "matmul: inner dimensions differ: %" PRId64 " and %" PRId64, inner_a,
                       inner_b);
    }
    int rank = call->inputs[leader]->rank;
    int64_t shape[MT_MAX_RANK];
    memcpy(shape, call->inputs[leader]->shape, sizeof shape);
    shape[rank - 2] = a[options->transpose_a ? 1 : 0];
    shape[rank - 1] = b[options->transpose_b ? 0 : 1];
    mt_call_output(call, 0, rank, shape);
    return MT_OK;
}

/* The products that an application of matmul is: `batch` of them at a time, and that as often as
 * the input with fewer matrices is repeated. A step is the bytes from one time to the next. */
typedef struct matmul_sizes {
    int64_t repeats, batch, M, N, K;
    size_t a_step, b_step, y_step;
} matmul_sizes;

static size_t step_of(const mt_tensor *x, int64_t repeats, bool is_repeated)
{
    return is_repeated ? 0 : mt_tensor_bytes(x) / (size_t)repeats;
}

static matmul_sizes sizes_of(const mt_call *call)
{
    const matmul_options *options = call->options;
    const mt_tensor *a = call->inputs[0], *b = call->inputs[1], *y = call->outputs[0];
    const mt_tensor *fewer = a->rank < b->rank ? a : b;
    matmul_sizes of = {.repeats = 1,
                       .batch = 1,
                       .M = matrix_of(y)[0],
                       .N = matrix_of(y)[1],
                       .K = matrix_of(a)[options->transpose_a ? 0 : 1]};
    for (int i = 0; i < y->rank - 2; i++) {
        *(i < y->rank - fewer->rank ? &of.repeats : &of.batch) *= y->shape[i];
    }
    if (fewer == b && of.batch == 1 && !options->transpose_a) { /* the rows of one matrix */
        of.M *= of.repeats;
        of.repeats = 1;
    }
    of.a_step = step_of(a, of.repeats, a->rank < y->rank);
    of.b_step = step_of(b, of.repeats, b->rank < y->rank);
    of.y_step = step_of(y, of.repeats, false);
    return of;
}

static mt_status matmul_forward(mt_call *call)
{
    const matmul_options *options = call->options;
    matmul_sizes of = sizes_of(call);
    const char *a = call->inputs[0]->data, *b = call->inputs[1]->data;
    char *y = call->outputs[0]->data;
    mt_status status = MT_OK;
    for (int64_t r = 0; r < of.repeats && status == MT_OK; r++) {
        status = mt_products(call, of.batch, options->transpose_a, options->transpose_b, of.M, of.N,
                             of.K, a, b, 0.0, y);
        a += of.a_step;
        b += of.b_step;
        y += of.y_step;
    }
    return status;
}

/* d op(a) = dy op(b)^T, summed over the times that a is repeated; a transposed operand's gradient
 * is the transposed product. */
static mt_status grad_a(const mt_call *call, const matmul_sizes *of)
{
    const matmul_options *options = call->options;
    bool ta = options->transpose_a, tb = options->transpose_b;
    const char *b = call->inputs[1]->data, *dy = call->grad_outputs[0];
    char *da = call->grad_inputs[0];
    mt_status status = MT_OK;
    for (int64_t r = 0; r < of->repeats && status == MT_OK; r++) {
        double kept = r > 0 && of->a_step == 0 ? 1.0 : 0.0;
        status =
            ta ? mt_products(call, of->batch, tb, true, of->K, of->M, of->N, b, dy, kept, da)
               : mt_products(call, of->batch, false, !tb, of->M, of->K, of->N, dy, b, kept, da);
        b += of->b_step;
        dy += of->y_step;
        da += of->a_step;
    }
    return status;
}

/* d op(b) = op(a)^T dy, in the same way. */
static mt_status grad_b(const mt_call *call, const matmul_sizes *of)
{
    const matmul_options *options = call->options;
    bool ta = options->transpose_a, tb = options->transpose_b;
    const char *a = call->inputs[0]->data, *dy = call->grad_outputs[0];
    char *db = call->grad_inputs[1];
    mt_status status = MT_OK;
    for (int64_t r = 0; r < of->repeats && status == MT_OK; r++) {
        double kept = r > 0 && of->b_step == 0 ? 1.0 : 0.0;
        status =
            tb ? mt_products(call, of->batch, true, ta, of->N, of->K, of->M, dy, a, kept, db)
               : mt_products(call, of->batch, !ta, false, of->K, of->N, of->M, a, dy, kept, db);
        a += of->a_step;
        dy += of->y_step;
        db += of->b_step;
    }
    return status;
}

static mt_status matmul_backward(mt_call *call)
{
    matmul_sizes of = sizes_of(call);
    mt_status status = call->grad_inputs[0] != NULL ? grad_a(call, &of) : MT_OK;
    return status == MT_OK && call->grad_inputs[1] != NULL ? grad_b(call, &of) : status;
}

const mt_op mt_op_matmul = {
    .name = "matmul",
    .formula = "y = a b",
    .inputs = 2,
    .outputs = 1,
    .shape = matmul_shape,
    .forward = matmul_forward,
    .backward = matmul_backward,
};

mt_tensor *mt_matmul(mt_tape *tape, mt_tensor *a, mt_tensor *b, bool transpose_a, bool transpose_b)
{
    matmul_options options = {.transpose_a = transpose_a, .transpose_b = transpose_b};
    return mt_apply(tape, &mt_op_matmul, 2, (mt_tensor *[]){a, b}, &options, sizeof options);
}
