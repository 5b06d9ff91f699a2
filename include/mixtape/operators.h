/* The differentiable operators: one declaration each, with its formula. All take the tape first,
 * return tensors on it, and return NULL when an argument is NULL, the tape has failed, or they fail
 * themselves (the tape keeps why). Arguments marked "or NULL" are optional. B, T, C: batch, time,
 * channel; N: all leading dimensions together. */
#ifndef MIXTAPE_OPERATORS_H
#define MIXTAPE_OPERATORS_H

#include <mixtape/api.h>
#include <mixtape/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y = a + b;  y = a - b;  y = a b;  y = a / b;  same shapes, or one the shape that the other's ends
 * with, which is repeated over the leading dimensions */
MT_API mt_tensor *mt_add(mt_tape *tape, mt_tensor *a, mt_tensor *b);
MT_API mt_tensor *mt_subtract(mt_tape *tape, mt_tensor *a, mt_tensor *b);
MT_API mt_tensor *mt_multiply(mt_tape *tape, mt_tensor *a, mt_tensor *b);
MT_API mt_tensor *mt_divide(mt_tape *tape, mt_tensor *a, mt_tensor *b);

/* y = alpha x */
MT_API mt_tensor *mt_scale(mt_tape *tape, mt_tensor *x, double alpha);

/* y = x as MT_BF16 from MT_F32, rounded, or the other way; x itself where it is of that type */
MT_API mt_tensor *mt_cast(mt_tape *tape, mt_tensor *x, mt_dtype dtype);

/* y = e^x;  y = -e^x: time_decay to the w of mt_wkv;  y = ln x */
MT_API mt_tensor *mt_exp(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_negative_exp(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_log(mt_tape *tape, mt_tensor *x);

/* y = 1 / (1 + e^-x);  y = tanh x */
MT_API mt_tensor *mt_sigmoid(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_tanh(mt_tape *tape, mt_tensor *x);

/* y = max(x, 0);  y = max(x, 0)^2;  y = x P(X <= x) with X normal, of mean 0 and variance 1, and
 * not its approximation by tanh (Hendrycks and Gimpel 2016) */
MT_API mt_tensor *mt_relu(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_squared_relu(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_gelu(mt_tape *tape, mt_tensor *x);

/* y = sigmoid(gate) x;  same shapes */
MT_API mt_tensor *mt_sigmoid_gate(mt_tape *tape, mt_tensor *gate, mt_tensor *x);

/* y = e^x / sum of e^x over the last dimension; minus infinity has no share */
MT_API mt_tensor *mt_softmax(mt_tape *tape, mt_tensor *x);

/* y = sum of x, y = mean of x: a scalar; a mean overflows where its sum, in float64, does */
MT_API mt_tensor *mt_sum(mt_tape *tape, mt_tensor *x);
MT_API mt_tensor *mt_mean(mt_tape *tape, mt_tensor *x);

/* y = a b, matrices (..., M, K) and (..., K, N), either transposed where asked; leading dimensions
 * are the same, or one's are the end of the other's, over which it is repeated: one matrix (K, N)
 * is for all. y (..., M, N) has a product for each */
MT_API mt_tensor *mt_matmul(mt_tape *tape, mt_tensor *a, mt_tensor *b, bool transpose_a,
                            bool transpose_b);

/* y = x weight^T + bias;  x (..., in), weight (out, in), bias (out) or NULL; y (..., out) */
MT_API mt_tensor *mt_linear(mt_tape *tape, mt_tensor *x, mt_tensor *weight, mt_tensor *bias);

/* y_i = x_i weight_i^T + bias_i, i < count <= 3;  all x_i, all weight_i and all bias_i have one
 * shape and type, as mt_linear has them; no biases where `bias` is NULL, or all of it; fills y. A
 * CUDA device makes three products together where arrays lie at equal distances, as outputs of
 * mt_time_mix do, and parameters of one set that were added with as much between them; whether
 * others do, and so how the last bits are rounded, may differ from run to run */
MT_API void mt_linear_each(mt_tape *tape, int count, mt_tensor *const *x, mt_tensor *const *weight,
                           mt_tensor *const *bias, mt_tensor **y);

/* y = x weight^T + bias + scale (x a^T) b^T;  a (rank, in), b (out, rank), as mt_linear has the
 * rest */
MT_API mt_tensor *mt_linear_lora(mt_tape *tape, mt_tensor *x, mt_tensor *weight, mt_tensor *bias,
                                 mt_tensor *a, mt_tensor *b, double scale);

/* y = max(x weight^T + bias, 0)^2, in one pass over the product; arguments as mt_linear's */
MT_API mt_tensor *mt_linear_squared_relu(mt_tape *tape, mt_tensor *x, mt_tensor *weight,
                                         mt_tensor *bias);

/* y[n] = table[indices[n]];  indices (...) int32, table (V, C); y (..., C). Row `padding_index` has
 * no gradient (-1: none) */
MT_API mt_tensor *mt_embedding(mt_tape *tape, mt_tensor *indices, mt_tensor *table,
                               int32_t padding_index);

/* The same with rows of a type of which the table's is mt_dtype_wide. */
MT_API mt_tensor *mt_embedding_as(mt_tape *tape, mt_tensor *indices, mt_tensor *table,
                                  int32_t padding_index, mt_dtype dtype);

/* The norms of mixtape/kernels/norm.h over the last dimension. weight, bias (C); scale, log_eps
 * scalars. `partial` is the share of channels in rms_norm's statistic; outside (0, 1) all of
 * them. */
MT_API mt_tensor *mt_layer_norm(mt_tape *tape, mt_tensor *x, mt_tensor *weight, mt_tensor *bias,
                                double eps);
MT_API mt_tensor *mt_rms_norm(mt_tape *tape, mt_tensor *x, mt_tensor *weight, double eps,
                              double partial);
MT_API mt_tensor *mt_scale_norm(mt_tape *tape, mt_tensor *x, mt_tensor *scale, double eps);
MT_API mt_tensor *mt_basic_norm(mt_tape *tape, mt_tensor *x, mt_tensor *log_eps);

/* y_i[t] = x[t] mix_i + x[t-1] (1 - mix_i), i < count <= 3, with x[-1] = carried or zero;
 * x (B, T, C), carried (B, C) or NULL, mix_i of C elements in any shape; fills y */
MT_API void mt_time_mix(mt_tape *tape, mt_tensor *x, mt_tensor *carried, int count,
                        mt_tensor *const *mix, mt_tensor **y);

/* Steps start .. start + length - 1 of an axis. Axes are counted from 0, or from -1, the last one,
 * backwards. */
MT_API mt_tensor *mt_slice(mt_tape *tape, mt_tensor *x, int axis, int64_t start, int64_t length);

/* count <= 9 tensors one after the other along an axis, beside which their shapes are the same */
MT_API mt_tensor *mt_concatenate(mt_tape *tape, int axis, int count, mt_tensor *const *inputs);

/* Two axes change places. */
MT_API mt_tensor *mt_transpose(mt_tape *tape, mt_tensor *x, int axis_a, int axis_b);

/* y = x[:, T-1];  x (B, T, C), y (B, C): what the next stretch of the sequence calls carried */
MT_API mt_tensor *mt_last_step(mt_tape *tape, mt_tensor *x);

/* y = the WKV of key and value (mixtape/kernels/wkv.h);  w, time_first (C), key, value (B, T, C),
 * state (3, B, C) or NULL for the empty one. T <= context_size and (B C) mod min(C, 32) == 0, else
 * the tape fails. `state_out`, or NULL: receives the state after the last step, through which
 * gradients flow, for (num, den) at fixed max. */
MT_API mt_tensor *mt_wkv(mt_tape *tape, mt_tensor *w, mt_tensor *time_first, mt_tensor *key,
                         mt_tensor *value, mt_tensor *state, int64_t context_size,
                         mt_tensor **state_out);

/* y[n] = x for n < count: a tensor of one more dimension, the first; both wide (mt_dtype_wide) */
MT_API mt_tensor *mt_repeat(mt_tape *tape, mt_tensor *x, int64_t count);

/* The state (3, B, C) of sequences that begin with unscaled sums which are learnt, the same for
 * each row: num, den = root^2, max = 0;  num, root (C). All are wide. */
MT_API mt_tensor *mt_wkv_start(mt_tape *tape, mt_tensor *num, mt_tensor *root, int64_t B);

/* y = x mask / (1 - p), each element of mask 0 with probability p;  y = x where p is 0 */
MT_API mt_tensor *mt_dropout(mt_tape *tape, mt_tensor *x, double p);

/* The mean cross-entropy of logits (..., V) against targets (...) int32: a scalar
 * (mixtape/kernels/cross_entropy.h). `stats`, or NULL: receives (2): rows counted, rows whose
 * largest logit is the target; not differentiable. */
MT_API mt_tensor *mt_cross_entropy(mt_tape *tape, mt_tensor *logits, mt_tensor *targets,
                                   int32_t ignore_index, double label_smoothing, mt_tensor **stats);

/* The same of logits x weight^T + bias, as mt_linear's. The logits (..., V) are held once: in
 * backward their gradient takes their place. Where there are many of them they are never held, but
 * made and used in blocks of rows: values and gradients may then differ in their last bits from
 * those of the two operators. Beside a block it holds a gradient of x, weight and bias each until
 * mt_backward. */
MT_API mt_tensor *mt_linear_cross_entropy(mt_tape *tape, mt_tensor *x, mt_tensor *weight,
                                          mt_tensor *bias, mt_tensor *targets, int32_t ignore_index,
                                          double label_smoothing, mt_tensor **stats);

/* The same two with RWKV-LM's L2Wrap (mixtape/kernels/cross_entropy.h), which keeps logits near 0:
 * the loss is the same, and the gradient is that of loss + l2wrap / 2 mean(max(logits)^2), over the
 * counted rows. RWKV-LM has l2wrap 1e-4, and counts all rows. The tape fails for one below 0. */
MT_API mt_tensor *mt_cross_entropy_l2wrap(mt_tape *tape, mt_tensor *logits, mt_tensor *targets,
                                          int32_t ignore_index, double label_smoothing,
                                          double l2wrap, mt_tensor **stats);
MT_API mt_tensor *mt_linear_cross_entropy_l2wrap(mt_tape *tape, mt_tensor *x, mt_tensor *weight,
                                                 mt_tensor *bias, mt_tensor *targets,
                                                 int32_t ignore_index, double label_smoothing,
                                                 double l2wrap, mt_tensor **stats);

/* The transducer losses (B) of logits (B, T, U + 1, V): minus the logarithm of the probability of a
 * row's labels, by any alignment with its frames (mixtape/kernels/transducer.h); mt_mean or mt_sum
 * makes a scalar of them. labels (B, U), NULL where U is 0; frames and label_lengths (B), how many
 * of T and U a row has; all int32. fastemit_lambda weighs the gradient, 0 being that of the
 * loss. */
MT_API mt_tensor *mt_transducer_loss(mt_tape *tape, mt_tensor *logits, mt_tensor *labels,
                                     mt_tensor *frames, mt_tensor *label_lengths, int32_t blank,
                                     double fastemit_lambda);

/* y = mean of (a - b)^2: a scalar;  same shapes */
MT_API mt_tensor *mt_mean_square(mt_tape *tape, mt_tensor *a, mt_tensor *b);

/* Every operator above, for tables and checks; ends with NULL. */
struct mt_op; /* extend.h */
MT_API extern const struct mt_op *const mt_operators[];

#ifdef __cplusplus
}
#endif

#endif
