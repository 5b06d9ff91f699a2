/* Central differences against the tape: is what backward gives the gradient? */
#ifndef MIXTAPE_GRADCHECK_H
#define MIXTAPE_GRADCHECK_H

#include <mixtape/api.h>
#include <mixtape/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Builds a scalar from `inputs` on the tape. Called many times; must be a pure function of their
 * values. */
typedef mt_tensor *(*mt_gradcheck_function)(mt_tape *tape, void *context, mt_tensor *const *inputs);

typedef struct mt_gradcheck_result {
    double error;             /* largest over inputs of |analytic - numeric|_2 / max(|analytic|_2,
                                 |numeric|_2, |f| / 1000), below which differences are noise */
    int input;                /* where: the input, */
    int64_t index;            /* the element that differs most in it, */
    double analytic, numeric; /* and its two values */
    int64_t elements;         /* elements compared */
} mt_gradcheck_result;

/* Compares, for each of `count` float64 tensors that require a gradient (parameters, or tensors
 * made with mt_tape_input on another tape), backward's gradient with
 *
 *     (f(x + h) - f(x - h)) / 2h,   h = 1e-5 max(1, |x|)
 *
 * At most `max_elements` elements of each input are tried, spread evenly (0: all). Values are
 * restored; gradients are overwritten. MT_ERROR_INVALID for a tensor that is not float64 or has no
 * gradient memory. The verdict is the caller's: result->error at most 1e-6 is right to rounding. */
MT_API mt_status mt_gradcheck(mt_tape *tape, mt_gradcheck_function function, void *context,
                              int count, mt_tensor *const *inputs, int64_t max_elements,
                              mt_gradcheck_result *result);

#ifdef __cplusplus
}
#endif

#endif
