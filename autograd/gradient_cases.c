#include <mixtape/random.h>

#include "autograd/gradient_cases.h"
#include "autograd/operators/linear_cross_entropy.h"
#include "kernels/device.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static mt_tensor *apply_add(mt_tape *tape, mt_tensor *const *in)
{
    return mt_add(tape, in[0], in[1]);
}

static mt_tensor *apply_subtract(mt_tape *tape, mt_tensor *const *in)
{
    return mt_subtract(tape, in[0], in[1]);
}

static mt_tensor *apply_multiply(mt_tape *tape, mt_tensor *const *in)
{
    return mt_multiply(tape, in[0], in[1]);
}

static mt_tensor *apply_divide(mt_tape *tape, mt_tensor *const *in)
{
    return mt_divide(tape, in[0], mt_exp(tape, in[1]));
}

static mt_tensor *apply_square(mt_tape *tape, mt_tensor *const *in)
{
    return mt_multiply(tape, in[0], in[0]);
}

static mt_tensor *apply_scale(mt_tape *tape, mt_tensor *const *in)
{
    return mt_scale(tape, in[0], -2.5);
}

static mt_tensor *apply_exp(mt_tape *tape, mt_tensor *const *in)
{
    return mt_exp(tape, mt_scale(tape, in[0], 3.0));
}

static mt_tensor *apply_log(mt_tape *tape, mt_tensor *const *in)
{
    return mt_log(tape, mt_sigmoid(tape, in[0]));
}

static mt_tensor *apply_tanh(mt_tape *tape, mt_tensor *const *in)
{
    return mt_tanh(tape, mt_scale(tape, in[0], 4.0));
}

static mt_tensor *apply_relu(mt_tape *tape, mt_tensor *const *in)
{
    return mt_relu(tape, in[0]);
}

static mt_tensor *apply_gelu(mt_tape *tape, mt_tensor *const *in)
{
    return mt_gelu(tape, mt_scale(tape, in[0], 4.0));
}

static mt_tensor *apply_softmax(mt_tape *tape, mt_tensor *const *in)
{
    return mt_softmax(tape, mt_scale(tape, in[0], 3.0));
}

static mt_tensor *apply_sigmoid(mt_tape *tape, mt_tensor *const *in)
{
    return mt_sigmoid(tape, mt_scale(tape, in[0], 6.0));
}

static mt_tensor *apply_negative_exp(mt_tape *tape, mt_tensor *const *in)
{
    return mt_negative_exp(tape, in[0]);
}

static mt_tensor *apply_squared_relu(mt_tape *tape, mt_tensor *const *in)
{
    return mt_squared_relu(tape, in[0]);
}

static mt_tensor *apply_sigmoid_gate(mt_tape *tape, mt_tensor *const *in)
{
    return mt_sigmoid_gate(tape, in[0], in[1]);
}

static mt_tensor *apply_sum(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *sum = mt_sum(tape, in[0]);
    return mt_multiply(tape, sum, sum);
}

static mt_tensor *apply_mean(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *mean = mt_mean(tape, in[0]);
    return mt_multiply(tape, mean, mean);
}

static mt_tensor *apply_mean_square(mt_tape *tape, mt_tensor *const *in)
{
    return mt_mean_square(tape, in[0], in[1]);
}

static mt_tensor *apply_matmul(mt_tape *tape, mt_tensor *const *in)
{
    return mt_matmul(tape, in[0], in[1], false, false);
}

static mt_tensor *apply_matmul_ta(mt_tape *tape, mt_tensor *const *in)
{
    return mt_matmul(tape, in[0], in[1], true, false);
}

static mt_tensor *apply_matmul_tb(mt_tape *tape, mt_tensor *const *in)
{
    return mt_matmul(tape, in[0], in[1], false, true);
}

static mt_tensor *apply_matmul_tab(mt_tape *tape, mt_tensor *const *in)
{
    return mt_matmul(tape, in[0], in[1], true, true);
}

static mt_tensor *apply_linear(mt_tape *tape, mt_tensor *const *in)
{
    return mt_linear(tape, in[0], in[1], in[2]);
}

static mt_tensor *apply_linear_without_bias(mt_tape *tape, mt_tensor *const *in)
{
    return mt_linear(tape, in[0], in[1], NULL);
}

/* Inputs are one group of x, weight and bias, or x and weight, after the other. */
static mt_tensor *sum_of_three(mt_tape *tape, mt_tensor *const *y)
{
    mt_tensor *sum = mt_add(tape, mt_scale(tape, y[0], 0.3), mt_scale(tape, y[1], -0.6));
    return mt_add(tape, sum, y[2]);
}

static mt_tensor *apply_linear_each(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *y[3];
    mt_linear_each(tape, 3, (mt_tensor *[]){in[0], in[3], in[6]},
                   (mt_tensor *[]){in[1], in[4], in[7]}, (mt_tensor *[]){in[2], in[5], in[8]}, y);
    return sum_of_three(tape, y);
}

/* In another order, in which arrays do not lie at equal distances. */
static mt_tensor *apply_scattered_linear_each(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *y[3];
    mt_linear_each(tape, 3, (mt_tensor *[]){in[0], in[6], in[3]},
                   (mt_tensor *[]){in[1], in[7], in[4]}, (mt_tensor *[]){in[2], in[8], in[5]}, y);
    return sum_of_three(tape, y);
}

/* The same weights and inputs again, whose gradients are sums; and an output that nobody uses. */
static mt_tensor *apply_linear_each_again(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *y[3], *x[] = {in[0], in[2], in[4]}, *weight[] = {in[1], in[3], in[5]};
    mt_linear_each(tape, 3, x, weight, NULL, y);
    mt_tensor *sum = sum_of_three(tape, y);
    mt_linear_each(tape, 3, x, weight, NULL, y);
    mt_tensor *same[] = {in[0], in[0]}, *same_weight[] = {in[3], in[3]}, *more[2];
    mt_linear_each(tape, 2, same, same_weight, NULL, more);
    return mt_add(tape, mt_add(tape, sum, mt_multiply(tape, y[0], y[2])),
                  mt_multiply(tape, more[0], more[1]));
}

static mt_tensor *apply_linear_squared_relu(mt_tape *tape, mt_tensor *const *in)
{
    return mt_linear_squared_relu(tape, in[0], in[1], in[2]);
}

static mt_tensor *apply_linear_squared_relu_without_bias(mt_tape *tape, mt_tensor *const *in)
{
    return mt_linear_squared_relu(tape, in[0], in[1], NULL);
}

static mt_tensor *apply_embedding(mt_tape *tape, mt_tensor *const *in)
{
    const int32_t indices[] = {4, 0, 2, 2, 1, 4};
    mt_tensor *labels = mt_tape_input(tape, MT_I32, 2, (int64_t[]){2, 3}, indices, false);
    return mt_embedding(tape, labels, in[0], -1);
}

/* Rows of bfloat16 where the table may be theirs. */
static mt_tensor *apply_embedding_as(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *labels = mt_tape_labels(tape, 2, 3, (const int32_t[]){4, 0, 2, 2, 1, 4});
    mt_dtype dtype = in[0]->dtype == MT_F32 ? MT_BF16 : in[0]->dtype;
    return mt_embedding_as(tape, labels, in[0], -1, dtype);
}

/* There and back, from either side; nothing in float64. */
static mt_tensor *apply_cast(mt_tape *tape, mt_tensor *const *in)
{
    bool doubles = in[0]->dtype == MT_F64;
    mt_tensor *wide = mt_cast(tape, in[0], doubles ? MT_F64 : MT_F32);
    return mt_multiply(tape, in[0], mt_cast(tape, wide, in[0]->dtype));
}

static mt_tensor *apply_layer_norm(mt_tape *tape, mt_tensor *const *in)
{
    return mt_layer_norm(tape, in[0], in[1], in[2], 1e-12);
}

static mt_tensor *apply_rms_norm(mt_tape *tape, mt_tensor *const *in)
{
    return mt_rms_norm(tape, in[0], in[1], 1e-5, -1.0);
}

static mt_tensor *apply_partial_rms_norm(mt_tape *tape, mt_tensor *const *in)
{
    return mt_rms_norm(tape, in[0], in[1], 1e-5, 0.5);
}

static mt_tensor *apply_scale_norm(mt_tape *tape, mt_tensor *const *in)
{
    return mt_scale_norm(tape, in[0], in[1], 1e-5);
}

static mt_tensor *apply_basic_norm(mt_tape *tape, mt_tensor *const *in)
{
    return mt_basic_norm(tape, in[0], in[1]);
}

/* Three mixes; the middle one is left without a gradient on purpose. */
static mt_tensor *apply_time_mix(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *y[3];
    mt_time_mix(tape, in[0], in[1], 3, in + 2, y);
    return mt_subtract(tape, mt_multiply(tape, y[0], y[0]), y[2]);
}

static mt_tensor *apply_time_mix_from_nothing(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *y[1];
    mt_time_mix(tape, in[0], NULL, 1, in + 1, y);
    return y[0];
}

static mt_tensor *apply_slice(mt_tape *tape, mt_tensor *const *in)
{
    return mt_slice(tape, in[0], 1, 1, 2);
}

static mt_tensor *apply_last_slice(mt_tape *tape, mt_tensor *const *in)
{
    return mt_slice(tape, in[0], -1, 3, 1);
}

static mt_tensor *apply_slice_of_rows(mt_tape *tape, mt_tensor *const *in)
{
    return mt_slice(tape, in[0], 0, 1, 3);
}

static mt_tensor *apply_concatenate(mt_tape *tape, mt_tensor *const *in)
{
    return mt_concatenate(tape, 1, 3, in);
}

static mt_tensor *apply_concatenate_last(mt_tape *tape, mt_tensor *const *in)
{
    return mt_concatenate(tape, -1, 2, in);
}

static mt_tensor *apply_linear_lora(mt_tape *tape, mt_tensor *const *in)
{
    return mt_linear_lora(tape, in[0], in[1], in[4], in[2], in[3], 1.7);
}

static mt_tensor *apply_linear_lora_without_bias(mt_tape *tape, mt_tensor *const *in)
{
    return mt_linear_lora(tape, in[0], in[1], NULL, in[2], in[3], -0.4);
}

static mt_tensor *apply_repeat(mt_tape *tape, mt_tensor *const *in)
{
    return mt_repeat(tape, in[0], 3);
}

static mt_tensor *apply_wkv_start(mt_tape *tape, mt_tensor *const *in)
{
    return mt_wkv_start(tape, in[0], in[1], 3);
}

static mt_tensor *apply_transpose(mt_tape *tape, mt_tensor *const *in)
{
    return mt_transpose(tape, in[0], 0, 1);
}

static mt_tensor *apply_transpose_ends(mt_tape *tape, mt_tensor *const *in)
{
    return mt_transpose(tape, in[0], -1, 0);
}

static mt_tensor *apply_transpose_middle(mt_tape *tape, mt_tensor *const *in)
{
    return mt_transpose(tape, in[0], 1, 2);
}

static mt_tensor *apply_wkv(mt_tape *tape, mt_tensor *const *in)
{
    return mt_wkv(tape, mt_negative_exp(tape, in[0]), in[1], in[2], in[3], NULL, 1 << 20, NULL);
}

/* In two stretches, the state carried from the first to the second. */
static mt_tensor *apply_carried_wkv(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *state, *w = mt_negative_exp(tape, in[0]);
    mt_tensor *first = mt_wkv(tape, w, in[1], in[2], in[3], in[4], 1 << 20, &state);
    mt_tensor *second = mt_wkv(tape, w, in[1], in[3], in[2], state, 1 << 20, NULL);
    return mt_add(tape, mt_scale(tape, first, 0.3), second);
}

static mt_tensor *apply_dropout(mt_tape *tape, mt_tensor *const *in)
{
    return mt_dropout(tape, mt_multiply(tape, in[0], in[0]), 0.4);
}

static mt_tensor *some_targets(mt_tape *tape)
{
    const int32_t values[] = {0, 2, -1, 4, 1, 3};
    return mt_tape_labels(tape, 2, 3, values);
}

static mt_tensor *cross_entropy_of(mt_tape *tape, mt_tensor *logits, double smoothing)
{
    return mt_cross_entropy(tape, logits, some_targets(tape), -1, smoothing, NULL);
}

static mt_tensor *apply_cross_entropy(mt_tape *tape, mt_tensor *const *in)
{
    return cross_entropy_of(tape, in[0], 0.0);
}

static mt_tensor *apply_smoothed_cross_entropy(mt_tape *tape, mt_tensor *const *in)
{
    return cross_entropy_of(tape, in[0], 0.1);
}

static mt_tensor *apply_linear_cross_entropy(mt_tape *tape, mt_tensor *const *in)
{
    return mt_linear_cross_entropy(tape, in[0], in[1], in[2], some_targets(tape), -1, 0.1, NULL);
}

/* Blocks of four rows and of two; and of one row each. */
static mt_tensor *apply_linear_cross_entropy_in_blocks(mt_tape *tape, mt_tensor *const *in)
{
    const mt_cross_entropy_options options = {
        .ignore_index = -1, .label_smoothing = 0.1, .rows = 4};
    return mt_linear_cross_entropy_in_blocks(tape, in[0], in[1], in[2], some_targets(tape),
                                             &options, NULL);
}

static mt_tensor *apply_linear_cross_entropy_by_rows(mt_tape *tape, mt_tensor *const *in)
{
    const mt_cross_entropy_options options = {.ignore_index = -1, .rows = 1};
    return mt_linear_cross_entropy_in_blocks(tape, in[0], in[1], NULL, some_targets(tape), &options,
                                             NULL);
}

/* A row of all frames and labels, and a shorter one. */
static mt_tensor *apply_transducer_loss(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *labels = mt_tape_labels(tape, 2, 2, (const int32_t[]){1, 4, 1, -1});
    mt_tensor *frames = mt_tape_labels(tape, 2, 1, (const int32_t[]){4, 3});
    mt_tensor *lengths = mt_tape_labels(tape, 2, 1, (const int32_t[]){2, 1});
    return mt_transducer_loss(tape, mt_scale(tape, in[0], 3.0), labels, frames, lengths, 2, 0.0);
}

static mt_tensor *apply_transducer_loss_without_labels(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *frames = mt_tape_labels(tape, 1, 1, (const int32_t[]){1});
    mt_tensor *lengths = mt_tape_labels(tape, 1, 1, (const int32_t[]){0});
    return mt_transducer_loss(tape, in[0], NULL, frames, lengths, 0, 0.0);
}

static mt_tensor *apply_view(mt_tape *tape, mt_tensor *const *in)
{
    mt_tensor *view = mt_view(tape, in[0], 2, (int64_t[]){6, 1});
    return mt_matmul(tape, view, mt_multiply(tape, in[0], in[0]), false, false);
}

const gradient_case gradient_cases[] = {
    {"add", apply_add, 2, {{3, {2, 3, 5}}, {3, {2, 3, 5}}}},
    {"subtract", apply_subtract, 2, {{1, {7}}, {1, {7}}}},
    {"multiply", apply_multiply, 2, {{2, {3, 5}}, {2, {3, 5}}}},
    {"multiply", apply_square, 1, {{1, {9}}}},
    {"divide", apply_divide, 2, {{2, {3, 5}}, {2, {3, 5}}}},
    {"add", apply_add, 2, {{3, {2, 3, 5}}, {1, {5}}}},
    {"add", apply_add, 2, {{0, {0}}, {2, {3, 5}}}},
    {"subtract", apply_subtract, 2, {{2, {3, 5}}, {4, {2, 1, 3, 5}}}},
    {"multiply", apply_multiply, 2, {{3, {2, 3, 5}}, {2, {3, 5}}}},
    {"multiply", apply_multiply, 2, {{1, {5}}, {2, {3, 5}}}},
    {"divide", apply_divide, 2, {{3, {2, 3, 5}}, {2, {3, 5}}}},
    {"divide", apply_divide, 2, {{1, {5}}, {2, {3, 5}}}},
    {"scale", apply_scale, 1, {{0, {0}}}},
    {"cast", apply_cast, 1, {{2, {3, 7}}}},
    {"exp", apply_exp, 1, {{1, {17}}}},
    {"log", apply_log, 1, {{1, {33}}}},
    {"tanh", apply_tanh, 1, {{1, {33}}}},
    {"relu", apply_relu, 1, {{1, {35}}}},
    {"gelu", apply_gelu, 1, {{1, {33}}}},
    {"softmax", apply_softmax, 1, {{3, {2, 3, 7}}}},
    {"softmax", apply_softmax, 1, {{2, {3, 1}}}},
    {"sigmoid", apply_sigmoid, 1, {{1, {33}}}},
    {"negative_exp", apply_negative_exp, 1, {{1, {17}}}},
    {"squared_relu", apply_squared_relu, 1, {{1, {35}}}},
    {"sigmoid_gate", apply_sigmoid_gate, 2, {{2, {3, 17}}, {2, {3, 17}}}},
    {"sum", apply_sum, 1, {{3, {2, 3, 5}}}},
    {"mean", apply_mean, 1, {{3, {2, 3, 5}}}},
    {"mean_square", apply_mean_square, 2, {{2, {4, 5}}, {2, {4, 5}}}},
    {"matmul", apply_matmul, 2, {{2, {3, 5}}, {2, {5, 4}}}},
    {"matmul", apply_matmul_ta, 2, {{2, {5, 3}}, {2, {5, 4}}}},
    {"matmul", apply_matmul_tb, 2, {{2, {3, 5}}, {2, {4, 5}}}},
    {"matmul", apply_matmul_tab, 2, {{2, {5, 3}}, {2, {4, 5}}}},
    {"matmul", apply_matmul, 2, {{2, {1, 1}}, {2, {1, 1}}}},
    {"matmul", apply_matmul, 2, {{4, {2, 3, 4, 5}}, {4, {2, 3, 5, 1}}}},
    {"matmul", apply_matmul_ta, 2, {{3, {3, 5, 2}}, {3, {3, 5, 4}}}},
    {"matmul", apply_matmul_tb, 2, {{3, {3, 2, 5}}, {3, {3, 4, 5}}}},
    {"matmul", apply_matmul_tab, 2, {{3, {3, 5, 2}}, {3, {3, 4, 5}}}},
    {"matmul", apply_matmul, 2, {{4, {2, 3, 4, 5}}, {2, {5, 2}}}}, /* one is repeated */
    {"matmul", apply_matmul_ta, 2, {{3, {3, 5, 2}}, {2, {5, 4}}}},
    {"matmul", apply_matmul_tb, 2, {{4, {2, 3, 2, 5}}, {3, {3, 4, 5}}}},
    {"matmul", apply_matmul_tab, 2, {{2, {5, 2}}, {3, {3, 4, 5}}}},
    {"matmul", apply_matmul, 2, {{3, {3, 2, 5}}, {4, {2, 3, 5, 1}}}},
    {"linear", apply_linear, 3, {{3, {2, 3, 5}}, {2, {4, 5}}, {1, {4}}}, .wide = 1 << 1 | 1 << 2},
    {"linear", apply_linear, 3, {{2, {1, 1}}, {2, {1, 1}}, {1, {1}}}, .wide = 1 << 2},
    {"linear", apply_linear_without_bias, 2, {{2, {7, 3}}, {2, {1, 3}}}},
    {"linear_squared_relu",
     apply_linear_squared_relu,
     3,
     {{3, {2, 3, 5}}, {2, {4, 5}}, {1, {4}}},
     .wide = 1 << 1 | 1 << 2},
    {"linear_squared_relu", apply_linear_squared_relu_without_bias, 2, {{2, {7, 3}}, {2, {5, 3}}}},
    {"linear_lora",
     apply_linear_lora,
     5,
     {{3, {2, 3, 5}}, {2, {4, 5}}, {2, {2, 5}}, {2, {4, 2}}, {1, {4}}},
     .wide = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4},
    {"linear_lora",
     apply_linear_lora,
     5,
     {{2, {1, 1}}, {2, {1, 1}}, {2, {1, 1}}, {2, {1, 1}}, {1, {1}}},
     .wide = 1 << 4},
    {"linear_lora",
     apply_linear_lora_without_bias,
     4,
     {{2, {7, 3}}, {2, {5, 3}}, {2, {3, 3}}, {2, {5, 3}}}},
    {"embedding", apply_embedding, 1, {{2, {5, 3}}}, .wide = 1 << 0},
    {"embedding", apply_embedding_as, 1, {{2, {5, 3}}}, .wide = 1 << 0},
    {"layer_norm", apply_layer_norm, 3, {{3, {2, 3, 7}}, {1, {7}}, {1, {7}}}, .wide = 6},
    {"rms_norm", apply_rms_norm, 2, {{2, {5, 9}}, {1, {9}}}, .wide = 1 << 1},
    {"rms_norm", apply_partial_rms_norm, 2, {{2, {5, 9}}, {1, {9}}}, .wide = 1 << 1},
    {"rms_norm", apply_rms_norm, 2, {{2, {3, 1}}, {1, {1}}}, .wide = 1 << 1},
    {"scale_norm", apply_scale_norm, 2, {{3, {2, 2, 5}}, {0, {0}}}, .wide = 1 << 1},
    {"basic_norm", apply_basic_norm, 2, {{3, {2, 2, 5}}, {0, {0}}}, .wide = 1 << 1},
    {"time_mix",
     apply_time_mix,
     5,
     {{3, {2, 4, 3}}, {2, {2, 3}}, {3, {1, 1, 3}}, {3, {1, 1, 3}}, {3, {1, 1, 3}}},
     .wide = 7 << 2},
    {"time_mix",
     apply_time_mix,
     5,
     {{3, {2, 1, 5}}, {2, {2, 5}}, {1, {5}}, {1, {5}}, {1, {5}}},
     .wide = 7 << 2},
    {"time_mix", apply_time_mix_from_nothing, 2, {{3, {3, 5, 1}}, {1, {1}}}, .wide = 1 << 1},
    {"slice", apply_slice, 1, {{3, {2, 4, 3}}}},
    {"slice", apply_last_slice, 1, {{2, {5, 4}}}},
    {"slice", apply_slice_of_rows, 1, {{2, {5, 3}}}},
    {"concatenate", apply_concatenate, 3, {{3, {2, 1, 3}}, {3, {2, 4, 3}}, {3, {2, 2, 3}}}},
    {"concatenate", apply_concatenate_last, 2, {{2, {3, 1}}, {2, {3, 5}}}},
    {"transpose", apply_transpose, 1, {{2, {3, 5}}}},
    {"transpose", apply_transpose_ends, 1, {{4, {2, 3, 1, 5}}}},
    {"transpose", apply_transpose_middle, 1, {{4, {2, 3, 5, 4}}}},
    {"wkv",
     apply_wkv,
     4,
     {{1, {3}}, {1, {3}}, {3, {2, 5, 3}}, {3, {2, 5, 3}}},
     .wide = 1 << 0 | 1 << 1},
    {"wkv",
     apply_wkv,
     4,
     {{1, {1}}, {1, {1}}, {3, {1, 1, 1}}, {3, {1, 1, 1}}},
     .wide = 1 << 0 | 1 << 1},
    {"wkv",
     apply_wkv,
     4,
     {{1, {1}}, {1, {1}}, {3, {3, 300, 1}}, {3, {3, 300, 1}}},
     .wide = 1 << 0 | 1 << 1},
    {"wkv",
     apply_wkv,
     4,
     {{1, {17}}, {1, {17}}, {3, {1, 70, 17}}, {3, {1, 70, 17}}},
     .wide = 1 << 0 | 1 << 1},
    {"wkv",
     apply_carried_wkv,
     5,
     {{1, {4}}, {1, {4}}, {3, {2, 6, 4}}, {3, {2, 6, 4}}, {3, {3, 2, 4}}},
     .positive = 4,
     .wide = 1 << 0 | 1 << 1 | 1 << 4},
    {"repeat", apply_repeat, 1, {{1, {17}}}, .wide = 1},
    {"repeat", apply_repeat, 1, {{2, {5, 1}}}, .wide = 1},
    {"wkv_start", apply_wkv_start, 2, {{1, {17}}, {1, {17}}}, .wide = 3},
    {"wkv_start", apply_wkv_start, 2, {{1, {1}}, {1, {1}}}, .wide = 3},
    {"dropout", apply_dropout, 1, {{2, {5, 13}}}},
    {"cross_entropy", apply_cross_entropy, 1, {{3, {2, 3, 5}}}},
    {"cross_entropy", apply_smoothed_cross_entropy, 1, {{3, {2, 3, 5}}}},
    {"linear_cross_entropy",
     apply_linear_cross_entropy,
     3,
     {{3, {2, 3, 7}}, {2, {5, 7}}, {1, {5}}},
     .wide = 1 << 1 | 1 << 2},
    {"linear_cross_entropy_in_blocks",
     apply_linear_cross_entropy_in_blocks,
     3,
     {{3, {2, 3, 7}}, {2, {5, 7}}, {1, {5}}},
     .wide = 1 << 1 | 1 << 2},
    {"linear_cross_entropy_in_blocks",
     apply_linear_cross_entropy_by_rows,
     2,
     {{2, {6, 1}}, {2, {5, 1}}},
     .wide = 1 << 1},
    {"transducer_loss", apply_transducer_loss, 1, {{4, {2, 4, 3, 5}}}},
    {"transducer_loss", apply_transducer_loss_without_labels, 1, {{4, {1, 1, 1, 2}}}},
    {"view", apply_view, 1, {{2, {1, 6}}}},
    {"linear_each",
     apply_linear_each,
     9,
     {{3, {2, 3, 5}},
      {2, {4, 5}},
      {1, {4}},
      {3, {2, 3, 5}},
      {2, {4, 5}},
      {1, {4}},
      {3, {2, 3, 5}},
      {2, {4, 5}},
      {1, {4}}},
     .wide = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8},
    {"linear_each",
     apply_linear_each,
     9,
     {{3, {1, 1, 1}},
      {2, {1, 1}},
      {1, {1}},
      {3, {1, 1, 1}},
      {2, {1, 1}},
      {1, {1}},
      {3, {1, 1, 1}},
      {2, {1, 1}},
      {1, {1}}},
     .wide = 1 << 2 | 1 << 5 | 1 << 8},
    {"linear_each",
     apply_scattered_linear_each,
     9,
     {{3, {2, 1, 7}},
      {2, {3, 7}},
      {1, {3}},
      {3, {2, 1, 7}},
      {2, {3, 7}},
      {1, {3}},
      {3, {2, 1, 7}},
      {2, {3, 7}},
      {1, {3}}},
     .wide = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8},
    {"linear_each",
     apply_linear_each,
     9,
     {{3, {3, 11, 17}},
      {2, {1, 17}},
      {1, {1}},
      {3, {3, 11, 17}},
      {2, {1, 17}},
      {1, {1}},
      {3, {3, 11, 17}},
      {2, {1, 17}},
      {1, {1}}},
     .wide = 1 << 2 | 1 << 5 | 1 << 8},
    {"linear_each",
     apply_linear_each_again,
     6,
     {{2, {7, 3}}, {2, {5, 3}}, {2, {7, 3}}, {2, {5, 3}}, {2, {7, 3}}, {2, {5, 3}}},
     .wide = 1 << 1 | 1 << 3 | 1 << 5},
    {.op = NULL},
};

int gradient_case_count(void)
{
    return (int)(sizeof gradient_cases / sizeof *gradient_cases) - 1;
}

/* Values in (-1, 1); the den of a state is a sum of exponentials, so its plane is made positive. */
static void draw(mt_random *random, int64_t n, bool state, double *values)
{
    for (int64_t i = 0; i < n; i++) {
        values[i] = 2.0 * mt_random_uniform(random) - 1.0;
        if (state && i / (n / 3) == 1) {
            values[i] = fabs(values[i]) + 0.5;
        }
    }
}

/* Puts drawn numbers into a tensor of any real type. */
static mt_status put_doubles(mt_tape *tape, mt_tensor *tensor, const double *values)
{
    int64_t n = mt_tensor_count(tensor);
    if (tensor->dtype == MT_F64) {
        return mt_tensor_write(tensor, values);
    }
    float *narrow = malloc((size_t)n * sizeof *narrow);
    if (narrow == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "gradcheck: no memory for %" PRId64 " numbers", n);
    }
    for (int64_t i = 0; i < n; i++) {
        narrow[i] = (float)values[i];
    }
    mt_device *device = tensor->device;
    mt_tensor *wide = mt_tape_input(tape, MT_F32, tensor->rank, tensor->shape, narrow, false);
    free(narrow);
    if (wide == NULL) {
        return mt_tape_status(tape);
    }
    return tensor->dtype == MT_F32
               ? device->copy(device, tensor->data, wide->data, mt_tensor_bytes(tensor))
               : device->kernels[MT_BF16]->narrow(device, n, wide->data, tensor->data);
}

mt_status gradient_case_inputs(const gradient_case *one, mt_dtype dtype, mt_tape *values,
                               uint64_t seed, mt_tensor **inputs, int *checked)
{
    *checked = one->positive > 0 ? one->positive : one->count;
    for (int i = 0; i < one->count; i++) {
        mt_dtype type = (one->wide >> i & 1u) != 0 ? mt_dtype_wide(dtype) : dtype;
        inputs[i] =
            mt_tape_input(values, type, one->inputs[i].rank, one->inputs[i].shape, NULL, true);
        if (inputs[i] == NULL) {
            return mt_fail(mt_tape_status(values), "%s", mt_tape_error(values));
        }
        mt_random random = mt_random_make(seed, (uint64_t)i);
        int64_t n = mt_tensor_count(inputs[i]);
        double *drawn = malloc((size_t)n * sizeof *drawn);
        if (drawn == NULL) {
            return mt_fail(MT_ERROR_MEMORY, "gradcheck: no memory for %" PRId64 " numbers", n);
        }
        draw(&random, n, one->positive > 0 && i == one->positive, drawn);
        mt_status status = put_doubles(values, inputs[i], drawn);
        free(drawn);
        if (status != MT_OK) {
            return status;
        }
    }
    return MT_OK;
}

mt_tensor *gradient_weighed_sum(mt_tape *tape, mt_tensor *x)
{
    if (x == NULL) {
        return NULL;
    }
    int64_t n = mt_tensor_count(x);
    mt_dtype dtype = mt_dtype_wide(x->dtype);
    mt_tensor *w = mt_tape_input(tape, dtype, x->rank, x->shape, NULL, false);
    double *weights = w != NULL ? calloc((size_t)n, sizeof *weights) : NULL;
    if (w != NULL && weights == NULL) {
        mt_tape_fail(tape,
                     mt_fail(MT_ERROR_MEMORY, "gradcheck: no memory for %" PRId64 " weights", n));
    }
    if (weights == NULL) {
        return NULL;
    }
    for (int64_t i = 0; i < n; i++) {
        weights[i] = cos(0.7 * (double)i + 0.3);
    }
    mt_tape_fail(tape, put_doubles(tape, w, weights));
    free(weights);
    return mt_sum(tape, mt_multiply(tape, mt_cast(tape, x, dtype), w));
}

mt_tensor *gradient_case_loss(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    const gradient_case *const *one = context;
    return gradient_weighed_sum(tape, (*one)->apply(tape, inputs));
}
