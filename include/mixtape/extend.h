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
#include <mixtape/kernels/transducer.h>
#include <mixtape/kernels/wkv.h>
#include <mixtape/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_OP_INPUTS = 9, MT_OP_OUTPUTS = 8 };

/* One entry per kernel of mixtape/kernels/list.h, which has their contracts, for one real type:
 * status = kernels->add(device, n, a, b, y). */
typedef struct mt_kernels {
#define MT_KERNEL(result, name, parameters) result(*name) parameters;
#include <mixtape/kernels/list.h>
} mt_kernels;

typedef struct mt_op mt_op;

/* One application of an operator, as its functions see it. */
typedef struct mt_call {
    const mt_op *op;
    mt_tape *tape;
    mt_device *device;
    mt_dtype dtype;            /* of the real inputs and of the outputs, but for wide ones */
    const mt_kernels *kernels; /* the device's, for that type, */
    const mt_kernels *wide;    /* and for mt_dtype_wide of it */
    const void *options;       /* the operator's own, a copy that lives as long as the record */
    int input_count, output_count;
    mt_tensor *inputs[MT_OP_INPUTS];   /* NULL: an optional input that is absent */
    mt_tensor *outputs[MT_OP_OUTPUTS]; /* data allocated once `shape` has returned */
    bool recording;                    /* whether backward may follow */
    void *saved;                       /* memory for backward to find, from mt_call_save */

    /* In backward only. */
    const void *grad_outputs[MT_OP_OUTPUTS]; /* NULL where none arrived: counts as zero */
    void *grad_inputs[MT_OP_INPUTS];         /* to be written whole; NULL where not wanted */
    bool grad_adds[MT_OP_INPUTS];            /* to be added to: of mt_embedding alone */
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

    /* Bit i for input i: those that are of mt_dtype_wide of the call's type (parameters, states,
     * losses), and those that may be, as parameters which are multiplied (mt_call_factor). The
     * gradient of an input has the input's type. */
    unsigned wide, factors;

    /* ... and those that may be weights in fewer bits: MT_BF16 beside reals that are wider, and
     * MT_I8 (mt_parameters_compact). What reads them is matmul_compact of the kernels. */
    unsigned compact;

    /* Of an operator that does the same to several groups of inputs, each of so many: output i is
     * that of group i. 0: all inputs make all outputs. A message then names the parameters of the
     * group. */
    int group;

    /* Its outputs lie one behind the other in memory, and so do their gradients, and what it adds
     * to gradients of inputs that are there already. Arrays of a size are then at equal distances,
     * whatever else is on the tape, and a kernel can take them together. */
    bool side_by_side;
};

/* Applies an operator and returns its first output, or NULL with the tape failed. `inputs` has
 * `input_count` elements, of which the first op->inputs must not be NULL. `options` (options_size
 * bytes, may be NULL) is copied. All inputs must be on the tape's device; the real ones must share
 * one type, but for op->wide, op->factors and op->compact. */
MT_API mt_tensor *mt_apply(mt_tape *tape, const mt_op *op, int input_count,
                           mt_tensor *const *inputs, const void *options, size_t options_size);

/* The same, with all of op->outputs returned in `outputs` (all NULL on failure). */
MT_API mt_status mt_apply_many(mt_tape *tape, const mt_op *op, int input_count,
                               mt_tensor *const *inputs, const void *options, size_t options_size,
                               mt_tensor **outputs);

/* In `shape`: output `index` has this shape, and the call's real type. */
MT_API void mt_call_output(mt_call *call, int index, int rank, const int64_t *shape);
/* ... and is like this tensor, or is of mt_dtype_wide of that type. */
MT_API void mt_call_output_like(mt_call *call, int index, const mt_tensor *tensor);
MT_API void mt_call_output_wide(mt_call *call, int index, int rank, const int64_t *shape);
/* ... and the call is of another type than its inputs: for an operator that converts. */
MT_API void mt_call_set_dtype(mt_call *call, mt_dtype dtype);

/* In forward: `bytes` of device memory that backward finds in call->saved. When the call is not
 * recording, backward will not come: call->saved stays NULL and nothing is allocated. */
MT_API mt_status mt_call_save(mt_call *call, size_t bytes);

/* In forward or backward: device memory that is free again when the function returns. */
MT_API mt_status mt_call_scratch(mt_call *call, size_t bytes, void **memory);

/* In forward or backward: the values of input `index`, one of op->factors, in the call's type. Of a
 * parameter that is its `narrow`; of another tensor they are made in scratch. */
MT_API mt_status mt_call_factor(mt_call *call, int index, const void **values);

/* In forward or backward of an operator that has kernels of its own for CUDA: the stream to launch
 * them on, a cudaStream_t, after which the calling thread is on the GPU of the call's device. NULL
 * on the CPU, where all memory is the host's and the work is done at once.
 *
 * What is put on the stream comes after the work that made the inputs and before what uses the
 * outputs, and is recorded and replayed with it: so an operator waits for nothing, reads nothing
 * back, and has its memory from mt_call_save and mt_call_scratch alone. It tells of a launch that
 * failed by mt_fail(MT_ERROR_DEVICE, ...). A kernel that is launched so that it may begin before
 * the one before it has ended (programmatic stream serialization) waits for that in every block, as
 * Mixtape's do: who is behind it waits for it alone. MT_ERROR_DEVICE where the GPU cannot be
 * chosen. examples/operator_cuda.cu is such an operator. */
MT_API mt_status mt_call_stream(mt_call *call, void **stream);

/* Numbers for the next random mask on the tape (mt_dropout_args of mixtape/kernels/dropout.h), to
 * be put into the operator's options: the same when a span is computed again. `step` is in device
 * memory. */
MT_API void mt_tape_next_random(mt_tape *tape, uint64_t *seed, uint64_t *place,
                                const uint64_t **step);

/* Where the elements of a tensor of n begin among those of the whole batch's
 * (mt_dropout_args.first): 0, unless ranks share its rows. */
MT_API int64_t mt_tape_first_random(const mt_tape *tape, int64_t n);

#ifdef __cplusplus
}
#endif

#endif
