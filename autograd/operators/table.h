/* The list of the built-in operators, each defined beside its functions: what is declared here and
 * what mt_operators holds come from it. Internal: the public list is mt_operators. */
#ifndef MT_AUTOGRAD_OPERATORS_TABLE_H
#define MT_AUTOGRAD_OPERATORS_TABLE_H

#include <mixtape/extend.h>
#include <mixtape/operators.h>

#define EACH_OPERATOR(X)                                                                           \
    X(mt_op_add)                                                                                   \
    X(mt_op_subtract)                                                                              \
    X(mt_op_multiply)                                                                              \
    X(mt_op_divide)                                                                                \
    X(mt_op_scale)                                                                                 \
    X(mt_op_cast)                                                                                  \
    X(mt_op_exp)                                                                                   \
    X(mt_op_negative_exp)                                                                          \
    X(mt_op_log)                                                                                   \
    X(mt_op_sigmoid)                                                                               \
    X(mt_op_tanh)                                                                                  \
    X(mt_op_relu)                                                                                  \
    X(mt_op_squared_relu)                                                                          \
    X(mt_op_gelu)                                                                                  \
    X(mt_op_sigmoid_gate)                                                                          \
    X(mt_op_softmax)                                                                               \
    X(mt_op_sum)                                                                                   \
    X(mt_op_mean)                                                                                  \
    X(mt_op_mean_square)                                                                           \
    X(mt_op_matmul)                                                                                \
    X(mt_op_linear)                                                                                \
    X(mt_op_linear_each)                                                                           \
    X(mt_op_linear_squared_relu)                                                                   \
    X(mt_op_linear_lora)                                                                           \
    X(mt_op_embedding)                                                                             \
    X(mt_op_layer_norm)                                                                            \
    X(mt_op_rms_norm)                                                                              \
    X(mt_op_scale_norm)                                                                            \
    X(mt_op_basic_norm)                                                                            \
    X(mt_op_time_mix)                                                                              \
    X(mt_op_slice)                                                                                 \
    X(mt_op_concatenate)                                                                           \
    X(mt_op_transpose)                                                                             \
    X(mt_op_wkv)                                                                                   \
    X(mt_op_repeat)                                                                                \
    X(mt_op_wkv_start)                                                                             \
    X(mt_op_dropout)                                                                               \
    X(mt_op_cross_entropy)                                                                         \
    X(mt_op_linear_cross_entropy)                                                                  \
    X(mt_op_linear_cross_entropy_in_blocks)                                                        \
    X(mt_op_transducer_loss)

#define DECLARE(operator) extern const mt_op operator;
EACH_OPERATOR(DECLARE)
#undef DECLARE

#endif
