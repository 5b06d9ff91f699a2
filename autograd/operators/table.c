#include <mixtape/extend.h>

#include "autograd/operators/table.h"

const mt_op *const mt_operators[] = {
    &mt_op_add,
    &mt_op_subtract,
    &mt_op_multiply,
    &mt_op_scale,
    &mt_op_sigmoid,
    &mt_op_negative_exp,
    &mt_op_squared_relu,
    &mt_op_sigmoid_gate,
    &mt_op_sum,
    &mt_op_mean,
    &mt_op_mean_square,
    &mt_op_matmul,
    &mt_op_linear,
    &mt_op_linear_squared_relu,
    &mt_op_embedding,
    &mt_op_layer_norm,
    &mt_op_rms_norm,
    &mt_op_scale_norm,
    &mt_op_basic_norm,
    &mt_op_time_mix,
    &mt_op_time_slice,
    &mt_op_wkv,
    &mt_op_dropout,
    &mt_op_cross_entropy,
    NULL,
};
