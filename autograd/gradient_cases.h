/* The gradient check: every operator with inputs to try it on, awkward shapes among them. A new
 * operator gets a line here. The verb gradcheck and the tests go through the same table. */
#ifndef MT_AUTOGRAD_GRADIENT_CASES_H
#define MT_AUTOGRAD_GRADIENT_CASES_H

#include <mixtape/extend.h>
#include <mixtape/gradcheck.h>
#include <mixtape/operators.h>

typedef struct gradient_case {
    const char *op; /* NULL ends the table */
    mt_tensor *(*apply)(mt_tape *tape, mt_tensor *const *inputs);
    int count; /* inputs, of which each gets a gradient */
    struct {
        int rank;
        int64_t shape[MT_MAX_RANK];
    } inputs[MT_OP_INPUTS];
    int positive; /* the number of a state among the inputs, whose second plane must be positive and
                     which is not itself checked: it comes last; 0: none */
    unsigned wide; /* bit i: input i is of mt_dtype_wide of the type that the others have */
} gradient_case;

extern const gradient_case gradient_cases[];
int gradient_case_count(void);

/* Fills inputs of a case, of a real type, on `values`, which must outlive the check, from a seed,
 * and tells how many of them to check. */
mt_status gradient_case_inputs(const gradient_case *one, mt_dtype dtype, mt_tape *values,
                               uint64_t seed, mt_tensor **inputs, int *checked);

/* A scalar from a tensor, each element weighed differently, so that no error in a gradient
 * cancels. */
mt_tensor *gradient_weighed_sum(mt_tape *tape, mt_tensor *x);

/* The mt_gradcheck_function of a case, which is its context. */
mt_tensor *gradient_case_loss(mt_tape *tape, void *context, mt_tensor *const *inputs);

#endif
