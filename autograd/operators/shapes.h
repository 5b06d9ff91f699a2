/* Checks that the operators' shape functions share: each fails with the figures. Internal. */
#ifndef MT_AUTOGRAD_OPERATORS_SHAPES_H
#define MT_AUTOGRAD_OPERATORS_SHAPES_H

#include <mixtape/extend.h>

/* Input `index` has the shape of the first, and so has the output. */
mt_status mt_expect_same_shape(mt_call *call, int index);

/* Input `index`, called `name` in the message, has this rank, or this number of elements. */
mt_status mt_expect_rank(const mt_call *call, int index, const char *name, int rank);
mt_status mt_expect_count(const mt_call *call, int index, const char *name, int64_t count);

/* Input `index` is int32. */
mt_status mt_expect_indices(const mt_call *call, int index, const char *name);

/* The output is like the first input: the shape function of operators that work element by
 * element. */
mt_status mt_shape_like_first(mt_call *call);

/* The same, with the second input like the first. */
mt_status mt_shape_like_both(mt_call *call);

/* The output is a scalar, a wide one. */
mt_status mt_shape_scalar(mt_call *call);

/* The last dimension, and the product of those before it. */
int64_t mt_last_dimension(const mt_tensor *x);
int64_t mt_leading_count(const mt_tensor *x);

#endif
