/* The list of the kernels, from which the structure mt_kernels (mixtape/extend.h) and the
 * declarations and tables of every device come. A row is MT_KERNEL(result, name, parameters), or
 * MT_KERNEL_F16 of the same for a kernel that there is for MT_F16 too. Whoever includes this file
 * defines MT_KERNEL first, or MT_KERNEL_F16 for those rows alone, and may include it again with
 * another definition. The CPU's function add is defined as KERNEL(add), CUDA's as the template add.
 *
 * Pointers are to the table's type of reals, on the device, unless their type says otherwise. Those
 * that a comment calls wide are to mt_dtype_wide of it: of MT_BF16 and MT_F16 they are float32, as
 * all arithmetic is, and in the other tables they are like the rest. A kernel writes its outputs
 * whole: what they held before is never read, except where `beta`, `parameter`, `m`, `v`, `halt`
 * and commit say so. An output that is NULL is not computed. Inputs and outputs may be the same
 * array only where the comment says so. */
#ifndef MT_KERNEL
#define MT_KERNEL(result, name, parameters) /* included by itself, the list declares nothing */
#endif
#ifndef MT_KERNEL_F16
#define MT_KERNEL_F16 MT_KERNEL
#endif

/* A row is no statement, which clang-format would take it for. */
/* clang-format off */

/* y[i] = value */
MT_KERNEL(mt_status, fill, (mt_device *device, int64_t n, double value, void *y))
/* y = a + b, y = a - b, y = a b, y = a / b, y = alpha x; y may be an input */
MT_KERNEL(mt_status, add, (mt_device *device, int64_t n, const void *a, const void *b, void *y))
MT_KERNEL(mt_status, subtract,
          (mt_device *device, int64_t n, const void *a, const void *b, void *y))
MT_KERNEL(mt_status, multiply,
          (mt_device *device, int64_t n, const void *a, const void *b, void *y))
MT_KERNEL(mt_status, divide, (mt_device *device, int64_t n, const void *a, const void *b, void *y))
MT_KERNEL(mt_status, scale, (mt_device *device, int64_t n, double alpha, const void *x, void *y))
/* y = alpha[0] x, alpha on the device, wide; y may be x */
MT_KERNEL(mt_status, scale_by,
          (mt_device *device, int64_t n, const void *alpha, const void *x, void *y))
/* y = 1 / (1 + e^-x);  dx = dy y (1 - y) */
MT_KERNEL(mt_status, sigmoid_forward, (mt_device *device, int64_t n, const void *x, void *y))
MT_KERNEL(mt_status, sigmoid_backward,
          (mt_device *device, int64_t n, const void *y, const void *dy, void *dx))
/* y = e^x and y = -e^x, which is time_decay to w;  dx = dy y */
MT_KERNEL(mt_status, exp_forward, (mt_device *device, int64_t n, const void *x, void *y))
MT_KERNEL(mt_status, negative_exp_forward, (mt_device *device, int64_t n, const void *x, void *y))
/* y = ln x;  dx = dy / x */
MT_KERNEL(mt_status, log_forward, (mt_device *device, int64_t n, const void *x, void *y))
/* y = tanh x;  dx = dy (1 - y^2) */
MT_KERNEL(mt_status, tanh_forward, (mt_device *device, int64_t n, const void *x, void *y))
MT_KERNEL(mt_status, tanh_backward,
          (mt_device *device, int64_t n, const void *y, const void *dy, void *dx))
/* y = max(x, 0), NaN for NaN;  dx = dy where y > 0, else 0 */
MT_KERNEL(mt_status, relu_forward, (mt_device *device, int64_t n, const void *x, void *y))
MT_KERNEL(mt_status, relu_backward,
          (mt_device *device, int64_t n, const void *y, const void *dy, void *dx))
/* y = x F(x) with F the normal distribution's share below x, f its density (Hendrycks and Gimpel
 * 2016);  dx = dy (F(x) + x f(x)) */
MT_KERNEL(mt_status, gelu_forward, (mt_device *device, int64_t n, const void *x, void *y))
MT_KERNEL(mt_status, gelu_backward,
          (mt_device *device, int64_t n, const void *x, const void *dy, void *dx))
/* y = e^x / sum of e^x, in each row of (N, V);  dx = y (dy - sum of y dy) */
MT_KERNEL(mt_status, softmax_forward,
          (mt_device *device, int64_t N, int64_t V, const void *x, void *y))
MT_KERNEL(mt_status, softmax_backward,
          (mt_device *device, int64_t N, int64_t V, const void *y, const void *dy, void *dx))
/* y = max(x + bias, 0)^2;  x, y (N, C), bias (C), wide, or NULL; y may be x.  dx = 2 sqrt(y) dy,
 * from the output: the root of a rounded square is what was squared */
MT_KERNEL(mt_status, squared_relu_forward,
          (mt_device *device, int64_t N, int64_t C, const void *x, const void *bias, void *y))
MT_KERNEL(mt_status, squared_relu_backward,
          (mt_device *device, int64_t n, const void *y, const void *dy, void *dx))
/* y = sigmoid(r) x;  dr = dy x s (1 - s), dx = dy s with s = sigmoid(r) */
MT_KERNEL(mt_status, sigmoid_gate_forward,
          (mt_device *device, int64_t n, const void *r, const void *x, void *y))
MT_KERNEL(mt_status, sigmoid_gate_backward,
          (mt_device *device, int64_t n, const void *r, const void *x, const void *dy, void *dr,
           void *dx))

/* y[n][c] = x[c];  y (N, C), x wide */
MT_KERNEL(mt_status, broadcast_rows,
          (mt_device *device, int64_t N, int64_t C, const void *x, void *y))
/* y[b][c] = sum over n of x[b][n][c], b < batch, in a fixed order; x has matrices (N, C) that begin
 * x_step elements one after the other, y rows (C), wide, that begin y_step; 0: no gaps */
MT_KERNEL(mt_status, sum_rows,
          (mt_device *device, int64_t batch, int64_t N, int64_t C, const void *x, int64_t x_step,
           void *y, int64_t y_step))
/* y[0] = alpha sum of x, y[0] = sum of x^2, in a fixed order, accumulated in double; y on the
 * device, wide, for sum_squares a double whatever the real type */
MT_KERNEL(mt_status, sum, (mt_device *device, int64_t n, double alpha, const void *x, void *y))
MT_KERNEL(mt_status, sum_squares, (mt_device *device, int64_t n, const void *x, double *y))
/* halt[0] is not a number from then on unless |x[0]| <= most, else it stays as it is; x wide, halt
 * a double whatever the real type */
MT_KERNEL(mt_status, watch, (mt_device *device, double most, const void *x, double *halt))
/* y = x where halt[0] is a number, else y stays as it is; x, y wide */
MT_KERNEL(mt_status, commit,
          (mt_device *device, int64_t n, const double *halt, const void *x, void *y))
/* y[0] = mean of (a - b)^2;  da = dy[0] 2 (a - b) / n; y and dy wide */
MT_KERNEL(mt_status, mean_square_forward,
          (mt_device *device, int64_t n, const void *a, const void *b, void *y))
MT_KERNEL(mt_status, mean_square_backward,
          (mt_device *device, int64_t n, const void *a, const void *b, const void *dy, void *da))
/* dst[r][c] = src[r][c] for r < rows, c < columns, with rows `src_stride` and `dst_stride`
 * elements apart: slices, what they are put together from, and their gradients */
MT_KERNEL(mt_status, copy_rows,
          (mt_device *device, int64_t rows, int64_t columns, const void *src, int64_t src_stride,
           void *dst, int64_t dst_stride))
/* y[a][q][m][p][n] = x[a][p][m][q][n];  x (A, P, M, Q, N) */
MT_KERNEL(mt_status, swap_axes,
          (mt_device *device, int64_t A, int64_t P, int64_t M, int64_t Q, int64_t N, const void *x,
           void *y))

/* y = x: widen from the table's type, y wide, and narrow to it, x wide */
MT_KERNEL(mt_status, widen, (mt_device *device, int64_t n, const void *x, void *y))
MT_KERNEL(mt_status, narrow, (mt_device *device, int64_t n, const void *x, void *y))

MT_KERNEL(mt_status, matmul, (mt_device *device, const mt_matmul_args *args))
MT_KERNEL(mt_status, matmul_compact, (mt_device *device, const mt_matmul_compact_args *args))
MT_KERNEL(mt_status, time_mix_forward, (mt_device *device, const mt_time_mix_forward_args *args))
MT_KERNEL(mt_status, time_mix_backward, (mt_device *device, const mt_time_mix_backward_args *args))
MT_KERNEL(mt_status, norm_forward, (mt_device *device, const mt_norm_forward_args *args))
MT_KERNEL(mt_status, norm_backward, (mt_device *device, const mt_norm_backward_args *args))
MT_KERNEL(mt_status, embedding_forward, (mt_device *device, const mt_embedding_forward_args *args))
MT_KERNEL(mt_status, embedding_backward,
          (mt_device *device, const mt_embedding_backward_args *args))
MT_KERNEL(mt_status, cross_entropy_forward,
          (mt_device *device, const mt_cross_entropy_forward_args *args))
MT_KERNEL(mt_status, cross_entropy_total,
          (mt_device *device, const mt_cross_entropy_total_args *args))
MT_KERNEL(mt_status, cross_entropy_backward,
          (mt_device *device, const mt_cross_entropy_backward_args *args))
MT_KERNEL(mt_status, dropout, (mt_device *device, const mt_dropout_args *args))
MT_KERNEL(mt_status, adam, (mt_device *device, const mt_adam_args *args))

/* bytes that wkv_forward leaves in `saved` for wkv_backward: one state per chunk of time */
MT_KERNEL_F16(size_t, wkv_saved_size, (mt_device *device, int64_t B, int64_t T, int64_t C))
/* bytes of workspace that suffice for either direction; 0 where the caller need give none */
MT_KERNEL_F16(size_t, wkv_workspace_size, (mt_device *device, int64_t B, int64_t T, int64_t C))
/* mixtape/kernels/wkv.h has their contract */
MT_KERNEL_F16(mt_status, wkv_forward, (mt_device *device, const mt_wkv_forward_args *args))
MT_KERNEL_F16(mt_status, wkv_backward, (mt_device *device, const mt_wkv_backward_args *args))

/* mixtape/kernels/transducer.h has their contract */
MT_KERNEL(mt_status, transducer_forward,
          (mt_device *device, const mt_transducer_forward_args *args))
MT_KERNEL(mt_status, transducer_backward,
          (mt_device *device, const mt_transducer_backward_args *args))

/* clang-format on */

#undef MT_KERNEL
#undef MT_KERNEL_F16
