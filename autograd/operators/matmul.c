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
 * the input with fewer matrices is repeated. */
typedef struct matmul_sizes {
    int64_t repeats, batch, M, N, K;
} matmul_sizes;

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
    return of;
}

/* Matrices of a product, or their gradients, and the bytes from those of one time to the next: 0
 * where they are repeated. */
typedef struct operand {
    char *at;
    size_t step;
} operand;

static operand operand_of(const mt_call *call, const mt_tensor *x, void *values)
{
    size_t bytes = mt_tensor_bytes(x) / (size_t)sizes_of(call).repeats;
    return (operand){values, x->rank < call->outputs[0]->rank ? 0 : bytes};
}

/* c = op(a) op(b), which is summed over all times where c is repeated. */
static mt_status multiply(const mt_call *call, bool ta, bool tb, int64_t M, int64_t N, int64_t K,
                          operand a, operand b, operand c)
{
    matmul_sizes of = sizes_of(call);
    mt_status status = MT_OK;
    for (int64_t r = 0; r < of.repeats && status == MT_OK; r++) {
        double kept = r > 0 && c.step == 0 ? 1.0 : 0.0;
        status = mt_products(call, of.batch, ta, tb, M, N, K, a.at, b.at, kept, c.at, call->dtype);
        a.at += a.step;
        b.at += b.step;
        c.at += c.step;
    }
    return status;
}

static mt_status matmul_forward(mt_call *call)
{
    const matmul_options *options = call->options;
    const mt_tensor *const *in = (const mt_tensor *const *)call->inputs;
    matmul_sizes of = sizes_of(call);
    return multiply(call, options->transpose_a, options->transpose_b, of.M, of.N, of.K,
                    operand_of(call, in[0], in[0]->data), operand_of(call, in[1], in[1]->data),
                    operand_of(call, call->outputs[0], call->outputs[0]->data));
}

/* d op(a) = dy op(b)^T and d op(b) = op(a)^T dy; a transposed operand's gradient is the transposed
 * product. */
static mt_status matmul_backward(mt_call *call)
{
    const matmul_options *options = call->options;
    const mt_tensor *const *in = (const mt_tensor *const *)call->inputs;
    bool ta = options->transpose_a, tb = options->transpose_b;
    matmul_sizes of = sizes_of(call);
    int64_t M = of.M, N = of.N, K = of.K;
    operand a = operand_of(call, in[0], in[0]->data), b = operand_of(call, in[1], in[1]->data),
            da = operand_of(call, in[0], call->grad_inputs[0]),
            db = operand_of(call, in[1], call->grad_inputs[1]),
            dy = operand_of(call, call->outputs[0], (void *)(uintptr_t)call->grad_outputs[0]);
    mt_status status = MT_OK;
    if (da.at != NULL) {
        status = ta ? multiply(call, tb, true, K, M, N, b, dy, da)
                    : multiply(call, false, !tb, M, K, N, dy, b, da);
    }
    if (status == MT_OK && db.at != NULL) {
        status = tb ? multiply(call, true, ta, N, K, M, dy, a, db)
                    : multiply(call, !ta, false, K, N, M, a, dy, db);
    }
    return status;
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
