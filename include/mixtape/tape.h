/* The tape: one step's memory and its record of operators.
 *
 * Operators (operators.h) take the tape first and return tensors that live on it until
 * mt_tape_reset. Values, gradients and records come from arenas that a reset rewinds but does not
 * free: from the second step of the same shapes on, a step allocates nothing and its addresses
 * repeat.
 *
 * The first error sticks: an operator that fails returns NULL and the tape keeps the message; until
 * the next reset every operator on the tape then returns NULL, and mt_backward fails with it. So a
 * model is written as plain formulas and checked once, at its end.
 *
 * A tape serves one thread at a time. */
#ifndef MIXTAPE_TAPE_H
#define MIXTAPE_TAPE_H

#include <mixtape/api.h>
#include <mixtape/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_tape mt_tape;

/* A tape for tensors of `device`, which must outlive it. It records from the start. The caller
 * destroys it. */
MT_API mt_status mt_tape_create(mt_device *device, mt_tape **tape);
MT_API void mt_tape_destroy(mt_tape *tape); /* NULL is allowed */

/* Begins a new step: forgets every tensor and record made on the tape, and its error. */
MT_API void mt_tape_reset(mt_tape *tape);

MT_API mt_device *mt_tape_device(const mt_tape *tape);

/* MT_OK, or the first failure since the last reset, which mt_tape_error tells ("" if none). */
MT_API mt_status mt_tape_status(const mt_tape *tape);
MT_API const char *mt_tape_error(const mt_tape *tape);

/* Makes the tape fail with the calling thread's message, if it has not failed yet; returns NULL, so
 * that a function that makes tensors can end with `return mt_tape_fail(tape, mt_fail(...))`. */
MT_API mt_tensor *mt_tape_fail(mt_tape *tape, mt_status status);

/* With recording off, operators compute values only: inference. Returns the former setting. */
MT_API bool mt_tape_set_recording(mt_tape *tape, bool recording);
MT_API bool mt_tape_recording(const mt_tape *tape);

/* Sets where the step's random numbers begin: dropout's masks are functions of (seed, step) and of
 * the operator's place on the tape, so the same step drops the same elements whenever it is run.
 * Both are 0 at first; mt_tape_reset keeps them. */
MT_API mt_status mt_tape_set_random(mt_tape *tape, uint64_t seed, uint64_t step);

/* A tensor on the tape. `host` holds its values in row-major order and is copied; NULL leaves them
 * unspecified. It has a gradient after backward if `requires_grad`. */
MT_API mt_tensor *mt_tape_input(mt_tape *tape, mt_dtype dtype, int rank, const int64_t *shape,
                                const void *host, bool requires_grad);

/* The same for what most programs have, without a gradient: labels (B, T) of MT_I32; reals of
 * MT_F32 or MT_F64, as a sequence (B, T, C) or as rows (N, C). */
MT_API mt_tensor *mt_tape_labels(mt_tape *tape, int64_t B, int64_t T, const int32_t *labels);
MT_API mt_tensor *mt_tape_sequence(mt_tape *tape, mt_dtype dtype, int64_t B, int64_t T, int64_t C,
                                   const void *reals);
MT_API mt_tensor *mt_tape_rows(mt_tape *tape, mt_dtype dtype, int64_t N, int64_t C,
                               const void *reals);

/* The same data under another shape with as many elements; shares the gradient as well. */
MT_API mt_tensor *mt_view(mt_tape *tape, mt_tensor *x, int rank, const int64_t *shape);

/* The same data, through which no gradient flows. */
MT_API mt_tensor *mt_detach(mt_tape *tape, mt_tensor *x);

/* Computes d loss / d x for every x that requires a gradient and that `loss`, a scalar, was made
 * from. The gradients of parameters add to what earlier calls left (until mt_parameters_zero_grad);
 * those of tensors on the tape stay readable until it is reset. Backward runs once per step. On a
 * tape that has failed it is that failure, and mt_error_message tells it. */
MT_API mt_status mt_backward(mt_tape *tape, mt_tensor *loss);

/* A part of a step that can be run twice: a pure function of `inputs` (those NULL are passed on as
 * NULL), `context` and parameters. It is called with the same arguments both times, fills `outputs`
 * and leaves failures to the tape. */
typedef void (*mt_span)(mt_tape *tape, void *context, mt_tensor *const *inputs,
                        mt_tensor **outputs);

enum { MT_SPAN_MAX = 8 }; /* most inputs, and most outputs, of a span */

/* Recomputation, or activation checkpointing: runs `span`, keeping its outputs alone; mt_backward
 * runs it again to have the values in between. Gradients are bit-identical to those of the plain
 * span, dropout included. `context` must stay valid until backward is over or the tape is reset.
 * With recording off the values in between are dropped all the same. A span inside a span is
 * simply run. */
MT_API void mt_recompute(mt_tape *tape, mt_span span, void *context, int input_count,
                         mt_tensor *const *inputs, int output_count, mt_tensor **outputs);

/* Bytes of device memory that the tape holds, whether used by the present step or not. */
MT_API size_t mt_tape_memory(const mt_tape *tape);

#ifdef __cplusplus
}
#endif

#endif
