/* The interface between the tape and an operator: what the built-in ones (operators.h) are made of,
 * and what a user-defined one is. An operator is a constant mt_op, and a function that applies it:
 *
 *     static const mt_op cube = {"cube", "y = x^3", 1, 1, cube_shape, cube_forward, cube_backward};
 *
 *     mt_tensor *cube_of(mt_tape *tape, mt_tensor *x)
 *     {
 *         return mt_apply(tape, &cube, 1, &x, NULL, 0);
 *     }
 */
#ifndef MIXTAPE_EXTEND_H
#define MIXTAPE_EXTEND_H

#include <mixtape/api.h>
#include <mixtape/kernels/adam.h>
#include <mixtape/kernels/cross_entropy.h>
#include <mixtape/kernels/dropout.h>
#include <mixtape/kernels/embedding.h>
#include <mixtape/kernels/matmul.h>
#include <mixtape/kernels/norm.h>
#include <mixtape/kernels/time_mix.h>
#include <mixtape/kernels/wkv.h>
#include <mixtape/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_OP_INPUTS = 8, MT_OP_OUTPUTS = 8 };

/* One entry per kernel, for one real type. Pointers are to that type on the device unless their
 * type says otherwise. A kernel writes its outputs whole: what they held before is never read,
 * except where `beta`, `parameter`, `m` and `v` say so. An output that is NULL is not computed.
 * Inputs and outputs may be the same array only where the comment says so. */
typedef struct mt_kernels {
    /* y[i] = value */
    mt_status (*fill)(mt_device *, int64_t n, double value, void *y);
    /* y = a + b, y = a - b, y = a b, y = alpha x; y may be an input */
    mt_status (*add)(mt_device *, int64_t n, const void *a, const void *b, void *y);
    mt_status (*subtract)(mt_device *, int64_t n, const void *a, const void *b, void *y);
    mt_status (*multiply)(mt_device *, int64_t n, const void *a, const void *b, void *y);
    mt_status (*scale)(mt_device *, int64_t n, double alpha, const void *x, void *y);
    /* y = 1 / (1 + e^-x);  dx = dy y (1 - y) */
    mt_status (*sigmoid_forward)(mt_device *, int64_t n, const void *x, void *y);
    mt_status (*sigmoid_backward)(mt_device *, int64_t n, const void *y, const void *dy, void *dx);
    /* y = -e^x;  dx = dy y.  time_decay to w */
    mt_status (*negative_exp_forward)(mt_device *, int64_t n, const void *x, void *y);
    /* y = max(x + bias, 0)^2;  x, y (N, C), bias (C) or NULL; y may be x.  dx = 2 sqrt(y) dy, from
     * the output: the root of a rounded square is what was squared */
    mt_status (*squared_relu_forward)(mt_device *, int64_t N, int64_t C, const void *x,
                                      const void *bias, void *y);
    mt_status (*squared_relu_backward)(mt_device *, int64_t n, const void *y, const void *dy,
                                       void *dx);
    /* y = sigmoid(r) x;  dr = dy x s (1 - s), dx = dy s with s = sigmoid(r) */
    mt_status (*sigmoid_gate_forward)(mt_device *, int64_t n, const void *r, const void *x,
                                      void *y);
    mt_status (*sigmoid_gate_backward)(mt_device *, int64_t n, const void *r, const void *x,
                                       const void *dy, void *dr, void *dx);

    /* y[n][c] = x[c];  y (N, C) */
    mt_status (*broadcast_rows)(mt_device *, int64_t N, int64_t C, const void *x, void *y);
    /* y[c] = sum over n of x[n][c], in a fixed order */
    mt_status (*sum_rows)(mt_device *, int64_t N, int64_t C, const void *x, void *y);
    /* y[0] = alpha sum of x, y[0] = sum of x^2, in a fixed order, accumulated in double; y on the
     * device, for sum_squares a double whatever the real type */
    mt_status (*sum)(mt_device *, int64_t n, double alpha, const void *x, void *y);
    mt_status (*sum_squares)(mt_device *, int64_t n, const void *x, double *y);
    /* y[0] = mean of (a - b)^2;  da = dy[0] 2 (a - b) / n */
    mt_status (*mean_square_forward)(mt_device *, int64_t n, const void *a, const void *b, void *y);
    mt_status (*mean_square_backward)(mt_device *, int64_t n, const void *a, const void *b,
                                      const void *dy, void *da);
    /* dst[r][c] = src[r][c] for r < rows, c < columns, with rows `src_stride` and `dst_stride`
     * elements apart: slices of time and their gradients */
    mt_status (*copy_rows)(mt_device *, int64_t rows, int64_t columns, const void *src,
                           int64_t src_stride, void *dst, int64_t dst_stride);

    mt_status (*matmul)(mt_device *, const mt_matmul_args *);
    mt_status (*time_mix_forward)(mt_device *, const mt_time_mix_forward_args *);
    mt_status (*time_mix_backward)(mt_device *, const mt_time_mix_backward_args *);
    mt_status (*norm_forward)(mt_device *, const mt_norm_forward_args *);
    mt_status (*norm_backward)(mt_device *, const mt_norm_backward_args *);
    mt_status (*embedding_forward)(mt_device *, const mt_embedding_forward_args *);
    mt_status (*embedding_backward)(mt_device *, const mt_embedding_backward_args *);
    mt_status (*cross_entropy_forward)(mt_device *, const mt_cross_entropy_forward_args *);
    mt_status (*cross_entropy_backward)(mt_device *, const mt_cross_entropy_backward_args *);
    mt_status (*dropout)(mt_device *, const mt_dropout_args *);
    mt_status (*adam)(mt_device *, const mt_adam_args *);

    /* bytes that wkv_forward leaves in `saved` for wkv_backward: one state per chunk of time */
    size_t (*wkv_saved_size)(mt_device *, int64_t B, int64_t T, int64_t C);
    /* bytes of workspace that suffice for either direction; 0 where the caller need give none */
    size_t (*wkv_workspace_size)(mt_device *, int64_t B, int64_t T, int64_t C);
    mt_status (*wkv_forward)(mt_device *, const mt_wkv_forward_args *);
    mt_status (*wkv_backward)(mt_device *, const mt_wkv_backward_args *);
} mt_kernels;

typedef struct mt_op mt_op;

/* One application of an operator, as its functions see it. */
typedef struct mt_call {
    const mt_op *op;
    mt_tape *tape;
    mt_device *device;
    mt_dtype dtype;            /* of the real inputs and of the outputs */
    const mt_kernels *kernels; /* the device's, for that type */
    const void *options;       /* the operator's own, a copy that lives as long as the record */
    int input_count, output_count;
    mt_tensor *inputs[MT_OP_INPUTS];   /* NULL: an optional input that is absent */
    mt_tensor *outputs[MT_OP_OUTPUTS]; /* data allocated once `shape` has returned */
    bool recording;                    /* whether backward may follow */
    void *saved;                       /* memory for backward to find, from mt_call_save */

    /* In backward only. */
    const void *grad_outputs[MT_OP_OUTPUTS]; /* NULL where none arrived: counts as zero */
    void *grad_inputs[MT_OP_INPUTS];         /* to be written whole; NULL where not wanted */
} mt_call;

struct mt_op {
    const char *name;
    const char *formula;
    int inputs;  /* inputs that must be there; the others may be NULL */
    int outputs; /* at most; `shape` may lower call->output_count */
    /* Checks the inputs and sets each output's shape, with mt_call_output. Fails with the
     * figures. */
    mt_status (*shape)(mt_call *call);
    mt_status (*forward)(mt_call *call);
    /* Writes grad_inputs. Adding up where a tensor has several uses is the tape's work. NULL: not
     * differentiable. */
    mt_status (*backward)(mt_call *call);
};

/* Applies an operator and returns its first output, or NULL with the tape failed. `inputs` has
 * `input_count` elements, of which the first op->inputs must not be NULL. `options` (options_size
 * bytes, may be NULL) is copied. All inputs must be on the tape's device; the real ones must share
 * one type. */
MT_API mt_tensor *mt_apply(mt_tape *tape, const mt_op *op, int input_count,
                           mt_tensor *const *inputs, const void *options, size_t options_size);

/* The same, with all of op->outputs returned in `outputs` (all NULL on failure). */
MT_API mt_status mt_apply_many(mt_tape *tape, const mt_op *op, int input_count,
                               mt_tensor *const *inputs, const void *options, size_t options_size,
                               mt_tensor **outputs);

/* In `shape`: output `index` has this shape, and the call's real type. */
MT_API void mt_call_output(mt_call *call, int index, int rank, const int64_t *shape);
/* ... and is like this tensor. */
MT_API void mt_call_output_like(mt_call *call, int index, const mt_tensor *tensor);

/* In forward: `bytes` of device memory that backward finds in call->saved. When the call is not
 * recording, backward will not come: call->saved stays NULL and nothing is allocated. */
MT_API mt_status mt_call_save(mt_call *call, size_t bytes);

/* In forward or backward: device memory that is free again when the function returns. */
MT_API mt_status mt_call_scratch(mt_call *call, size_t bytes, void **memory);

/* Numbers for the next random mask on the tape (mt_dropout_args of mixtape/kernels/dropout.h), to
 * be put into the operator's options: the same when a span is computed again. `step` is in device
 * memory. */
MT_API void mt_tape_next_random(mt_tape *tape, uint64_t *seed, uint64_t *place,
                                const uint64_t **step);

#ifdef __cplusplus
}
#endif

#endif
