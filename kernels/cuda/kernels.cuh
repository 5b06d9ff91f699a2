/* The kernels of the CUDA device, as the other files of this folder define them for float and
 * double. The contracts are those of the table in kernels/device.h. Internal. */
#ifndef MT_KERNELS_CUDA_KERNELS_CUH
#define MT_KERNELS_CUDA_KERNELS_CUH

#include "kernels/cuda/cuda.cuh"

namespace mt_cuda
{

#define EACH_ELEMENTWISE(X)                                                                        \
    X(fill, (mt_device *, int64_t, double, void *))                                                \
    X(add, (mt_device *, int64_t, const void *, const void *, void *))                             \
    X(subtract, (mt_device *, int64_t, const void *, const void *, void *))                        \
    X(multiply, (mt_device *, int64_t, const void *, const void *, void *))                        \
    X(scale, (mt_device *, int64_t, double, const void *, void *))                                 \
    X(sigmoid_forward, (mt_device *, int64_t, const void *, void *))                               \
    X(sigmoid_backward, (mt_device *, int64_t, const void *, const void *, void *))                \
    X(negative_exp_forward, (mt_device *, int64_t, const void *, void *))                          \
    X(squared_relu_forward, (mt_device *, int64_t, int64_t, const void *, const void *, void *))   \
    X(squared_relu_backward, (mt_device *, int64_t, const void *, const void *, void *))           \
    X(sigmoid_gate_forward, (mt_device *, int64_t, const void *, const void *, void *))            \
    X(sigmoid_gate_backward,                                                                       \
      (mt_device *, int64_t, const void *, const void *, const void *, void *, void *))

#define EACH_REDUCE(X)                                                                             \
    X(broadcast_rows, (mt_device *, int64_t, int64_t, const void *, void *))                       \
    X(sum_rows, (mt_device *, int64_t, int64_t, const void *, void *))                             \
    X(sum, (mt_device *, int64_t, double, const void *, void *))                                   \
    X(sum_squares, (mt_device *, int64_t, const void *, double *))                                 \
    X(mean_square_forward, (mt_device *, int64_t, const void *, const void *, void *))             \
    X(mean_square_backward,                                                                        \
      (mt_device *, int64_t, const void *, const void *, const void *, void *))                    \
    X(copy_rows, (mt_device *, int64_t, int64_t, const void *, int64_t, void *, int64_t))

#define EACH_OF_ARGS(X)                                                                            \
    X(matmul, (mt_device *, const mt_matmul_args *))                                               \
    X(time_mix_forward, (mt_device *, const mt_time_mix_forward_args *))                           \
    X(time_mix_backward, (mt_device *, const mt_time_mix_backward_args *))                         \
    X(norm_forward, (mt_device *, const mt_norm_forward_args *))                                   \
    X(norm_backward, (mt_device *, const mt_norm_backward_args *))                                 \
    X(embedding_forward, (mt_device *, const mt_embedding_forward_args *))                         \
    X(embedding_backward, (mt_device *, const mt_embedding_backward_args *))                       \
    X(cross_entropy_forward, (mt_device *, const mt_cross_entropy_forward_args *))                 \
    X(cross_entropy_backward, (mt_device *, const mt_cross_entropy_backward_args *))               \
    X(dropout, (mt_device *, const mt_dropout_args *))                                             \
    X(adam, (mt_device *, const mt_adam_args *))                                                   \
    X(wkv_forward, (mt_device *, const mt_wkv_forward_args *))                                     \
    X(wkv_backward, (mt_device *, const mt_wkv_backward_args *))

#define DECLARE(name, parameters) template <typename real> mt_status name parameters;
EACH_ELEMENTWISE(DECLARE)
EACH_REDUCE(DECLARE)
EACH_OF_ARGS(DECLARE)
#undef DECLARE
template <typename real> size_t wkv_saved_size(mt_device *, int64_t B, int64_t T, int64_t C);
template <typename real> size_t wkv_workspace_size(mt_device *, int64_t B, int64_t T, int64_t C);

/* At the end of a file: its kernels for both types. */
#define INSTANTIATE(name, parameters)                                                              \
    template mt_status name<float> parameters;                                                     \
    template mt_status name<double> parameters;

/* The device's tables, indexed by mt_dtype. */
extern const mt_kernels *const tables[MT_REAL_DTYPES];

} // namespace mt_cuda

#endif
