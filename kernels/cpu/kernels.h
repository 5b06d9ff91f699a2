/* What each kernel file of this folder defines, for the build at hand (real.h). The contracts are
 * those of the table in kernels/device.h. Internal. */
#ifndef MT_KERNELS_CPU_KERNELS_H
#define MT_KERNELS_CPU_KERNELS_H

#include "real.h"

/* elementwise.c */
mt_status KERNEL(fill)(mt_device *device, int64_t n, double value, void *y);
mt_status KERNEL(add)(mt_device *device, int64_t n, const void *a, const void *b, void *y);
mt_status KERNEL(subtract)(mt_device *device, int64_t n, const void *a, const void *b, void *y);
mt_status KERNEL(multiply)(mt_device *device, int64_t n, const void *a, const void *b, void *y);
mt_status KERNEL(scale)(mt_device *device, int64_t n, double alpha, const void *x, void *y);
mt_status KERNEL(sigmoid_forward)(mt_device *device, int64_t n, const void *x, void *y);
mt_status KERNEL(sigmoid_backward)(mt_device *device, int64_t n, const void *y, const void *dy,
                                   void *dx);
mt_status KERNEL(negative_exp_forward)(mt_device *device, int64_t n, const void *x, void *y);
mt_status KERNEL(squared_relu_forward)(mt_device *device, int64_t N, int64_t C, const void *x,
                                       const void *bias, void *y);
mt_status KERNEL(squared_relu_backward)(mt_device *device, int64_t n, const void *y, const void *dy,
                                        void *dx);
mt_status KERNEL(sigmoid_gate_forward)(mt_device *device, int64_t n, const void *r, const void *x,
                                       void *y);
mt_status KERNEL(sigmoid_gate_backward)(mt_device *device, int64_t n, const void *r, const void *x,
                                        const void *dy, void *dr, void *dx);

/* reduce.c */
mt_status KERNEL(broadcast_rows)(mt_device *device, int64_t N, int64_t C, const void *x, void *y);
mt_status KERNEL(sum_rows)(mt_device *device, int64_t N, int64_t C, const void *x, void *y);
mt_status KERNEL(sum)(mt_device *device, int64_t n, double alpha, const void *x, void *y);
mt_status KERNEL(sum_squares)(mt_device *device, int64_t n, const void *x, double *y);
mt_status KERNEL(mean_square_forward)(mt_device *device, int64_t n, const void *a, const void *b,
                                      void *y);
mt_status KERNEL(mean_square_backward)(mt_device *device, int64_t n, const void *a, const void *b,
                                       const void *dy, void *da);
mt_status KERNEL(copy_rows)(mt_device *device, int64_t rows, int64_t columns, const void *src,
                            int64_t src_stride, void *dst, int64_t dst_stride);

mt_status KERNEL(matmul)(mt_device *device, const mt_matmul_args *args);
mt_status KERNEL(time_mix_forward)(mt_device *device, const mt_time_mix_forward_args *args);
mt_status KERNEL(time_mix_backward)(mt_device *device, const mt_time_mix_backward_args *args);
mt_status KERNEL(norm_forward)(mt_device *device, const mt_norm_forward_args *args);
mt_status KERNEL(norm_backward)(mt_device *device, const mt_norm_backward_args *args);
mt_status KERNEL(embedding_forward)(mt_device *device, const mt_embedding_forward_args *args);
mt_status KERNEL(embedding_backward)(mt_device *device, const mt_embedding_backward_args *args);
mt_status KERNEL(cross_entropy_forward)(mt_device *device,
                                        const mt_cross_entropy_forward_args *args);
mt_status KERNEL(cross_entropy_backward)(mt_device *device,
                                         const mt_cross_entropy_backward_args *args);
mt_status KERNEL(dropout)(mt_device *device, const mt_dropout_args *args);
mt_status KERNEL(adam)(mt_device *device, const mt_adam_args *args);

size_t KERNEL(wkv_saved_size)(mt_device *device, int64_t B, int64_t T, int64_t C);
size_t KERNEL(wkv_workspace_size)(mt_device *device, int64_t B, int64_t T, int64_t C);
mt_status KERNEL(wkv_forward)(mt_device *device, const mt_wkv_forward_args *args);
mt_status KERNEL(wkv_backward)(mt_device *device, const mt_wkv_backward_args *args);

extern const mt_kernels KERNEL(kernels);

#endif
