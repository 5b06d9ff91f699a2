/* The built-in operators, each defined beside its functions. Internal: the public list is
 * mt_operators. */
#ifndef MT_AUTOGRAD_OPERATORS_TABLE_H
#define MT_AUTOGRAD_OPERATORS_TABLE_H

#include <mixtape/extend.h>
#include <mixtape/operators.h>

extern const mt_op mt_op_add, mt_op_subtract, mt_op_multiply, mt_op_scale;
extern const mt_op mt_op_sigmoid, mt_op_negative_exp, mt_op_squared_relu, mt_op_sigmoid_gate;
extern const mt_op mt_op_sum, mt_op_mean, mt_op_mean_square;
extern const mt_op mt_op_matmul, mt_op_linear, mt_op_linear_squared_relu, mt_op_embedding;
extern const mt_op mt_op_layer_norm, mt_op_rms_norm, mt_op_scale_norm, mt_op_basic_norm;
extern const mt_op mt_op_time_mix, mt_op_time_slice, mt_op_wkv;
extern const mt_op mt_op_dropout, mt_op_cross_entropy;

#endif
