/* A device is a table of kernels: memory, copies, and one entry per kernel contract for each real
 * type. Autograd and everything above it call through the table and never ask which device they
 * have.
 *
 * A device serves one thread at a time. Work is issued in order; on a device that is not the host
 * it may run behind, and read_back and synchronize are the calls that wait. */
#ifndef MT_KERNELS_DEVICE_H
#define MT_KERNELS_DEVICE_H

#include "adam.h"
#include "cross_entropy.h"
#include "dtype.h"
#include "embedding.h"
#include "error.h"
#include "matmul.h"
#include "norm.h"
#include "random.h"
#include "time_mix.h"
#include "wkv.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_device mt_device;
typedef struct mt_recording mt_recording; /* the device's own */

enum { MT_READ_SLOTS = 64, MT_READ_BYTES = 64 };

/* One entry per kernel, for one real type. Pointers are to that type on the device unless their
 * type says otherwise. A kernel writes its outputs whole: what they held before is never read,
 * except where `beta`, `parameter`, `m` and `v` say so. An output that is NULL is not computed.
 * Inputs and outputs may be the same array only where the comment says so. */
typedef struct mt_kernels {
    /* y[i] = value */
    mt_status (*fill)(mt_device *, int64_t n, double value, void *y);
    /* y = a + b, y = a - b, y = a b, y = alpha x; y may be an input */
    mt_status (*add)(mt_device *, int64_t n, const void *a, const void *b, void *y);
    mt_status (*subtract)(mt_device *, int64_t n, const void *a, const void *b, void *y);
    mt_status (*multiply)(mt_device *, int64_t n, const void *a, const void *b, void *y);
    mt_status (*scale)(mt_device *, int64_t n, double alpha, const void *x, void *y);
    /* y = 1 / (1 + e^-x);  dx = dy y (1 - y) */
    mt_status (*sigmoid_forward)(mt_device *, int64_t n, const void *x, void *y);
    mt_status (*sigmoid_backward)(mt_device *, int64_t n, const void *y, const void *dy, void *dx);
    /* y = -e^x;  dx = dy y.  time_decay to w */
    mt_status (*negative_exp_forward)(mt_device *, int64_t n, const void *x, void *y);
    /* y = max(x + bias, 0)^2;  x, y (N, C), bias (C) or NULL; y may be x.  dx = 2 sqrt(y) dy, from
     * the output: the root of a rounded square is what was squared */
    mt_status (*squared_relu_forward)(mt_device *, int64_t N, int64_t C, const void *x,
                                      const void *bias, void *y);
    mt_status (*squared_relu_backward)(mt_device *, int64_t n, const void *y, const void *dy,
                                       void *dx);
    /* y = sigmoid(r) x;  dr = dy x s (1 - s), dx = dy s with s = sigmoid(r) */
    mt_status (*sigmoid_gate_forward)(mt_device *, int64_t n, const void *r, const void *x,
                                      void *y);
    mt_status (*sigmoid_gate_backward)(mt_device *, int64_t n, const void *r, const void *x,
                                       const void *dy, void *dr, void *dx);

    /* y[n][c] = x[c];  y (N, C) */
    mt_status (*broadcast_rows)(mt_device *, int64_t N, int64_t C, const void *x, void *y);
    /* y[c] = sum over n of x[n][c], in a fixed order */
    mt_status (*sum_rows)(mt_device *, int64_t N, int64_t C, const void *x, void *y);
    /* y[0] = alpha sum of x, y[0] = sum of x^2, in a fixed order, accumulated in double; y on the
     * device, for sum_squares a double whatever the real type */
    mt_status (*sum)(mt_device *, int64_t n, double alpha, const void *x, void *y);
    mt_status (*sum_squares)(mt_device *, int64_t n, const void *x, double *y);
    /* y[0] = mean of (a - b)^2;  da = dy[0] 2 (a - b) / n */
    mt_status (*mean_square_forward)(mt_device *, int64_t n, const void *a, const void *b, void *y);
    mt_status (*mean_square_backward)(mt_device *, int64_t n, const void *a, const void *b,
                                      const void *dy, void *da);
    /* dst[r][c] = src[r][c] for r < rows, c < columns, with rows `src_stride` and `dst_stride`
     * elements apart: slices of time and their gradients */
    mt_status (*copy_rows)(mt_device *, int64_t rows, int64_t columns, const void *src,
                           int64_t src_stride, void *dst, int64_t dst_stride);

    mt_status (*matmul)(mt_device *, const mt_matmul_args *);
    mt_status (*time_mix_forward)(mt_device *, const mt_time_mix_forward_args *);
    mt_status (*time_mix_backward)(mt_device *, const mt_time_mix_backward_args *);
    mt_status (*norm_forward)(mt_device *, const mt_norm_forward_args *);
    mt_status (*norm_backward)(mt_device *, const mt_norm_backward_args *);
    mt_status (*embedding_forward)(mt_device *, const mt_embedding_forward_args *);
    mt_status (*embedding_backward)(mt_device *, const mt_embedding_backward_args *);
    mt_status (*cross_entropy_forward)(mt_device *, const mt_cross_entropy_forward_args *);
    mt_status (*cross_entropy_backward)(mt_device *, const mt_cross_entropy_backward_args *);
    mt_status (*dropout)(mt_device *, const mt_dropout_args *);
    mt_status (*adam)(mt_device *, const mt_adam_args *);

    /* bytes that wkv_forward leaves in `saved` for wkv_backward: one state per chunk of time */
    size_t (*wkv_saved_size)(mt_device *, int64_t B, int64_t T, int64_t C);
    /* bytes of workspace that suffice for either direction; 0 where the caller need give none */
    size_t (*wkv_workspace_size)(mt_device *, int64_t B, int64_t T, int64_t C);
    mt_status (*wkv_forward)(mt_device *, const mt_wkv_forward_args *);
    mt_status (*wkv_backward)(mt_device *, const mt_wkv_backward_args *);
} mt_kernels;

struct mt_device {
    const char *name;                          /* "cpu", "cuda:0" */
    const mt_kernels *kernels[MT_REAL_DTYPES]; /* indexed by mt_dtype */

    /* Memory, aligned to 64 bytes at least; its content is unspecified. MT_ERROR_MEMORY with the
     * size asked for. */
    mt_status (*allocate)(mt_device *, size_t bytes, void **memory);
    void (*release)(mt_device *, void *memory); /* NULL is allowed */
    mt_status (*write)(mt_device *, void *device_memory, const void *host_memory, size_t bytes);
    mt_status (*read_back)(mt_device *, void *host_memory, const void *device_memory, size_t bytes);
    mt_status (*copy)(mt_device *, void *to, const void *from, size_t bytes);
    mt_status (*zero)(mt_device *, void *memory, size_t bytes);
    mt_status (*synchronize)(mt_device *);

    /* Reading without waiting: read_later enqueues a copy of at most MT_READ_BYTES into slot 0 ..
     * MT_READ_SLOTS-1, and read_arrived waits for that copy alone and hands it out. */
    mt_status (*read_later)(mt_device *, int slot, const void *device_memory, size_t bytes);
    mt_status (*read_arrived)(mt_device *, int slot, void *host_memory, size_t bytes);

    /* Recording: between record and recorded, work is noted instead of done; replay does all of it
     * with one call. It works on the same addresses, so whatever is to differ from replay to replay
     * is read from device memory. Nothing may be allocated, written or read back in between. A
     * recording in which something failed is ended by recorded with NULL, which keeps the error's
     * message. forget waits for work that may use the recording. All four are NULL on a device that
     * would gain nothing. */
    mt_status (*record)(mt_device *);
    mt_status (*recorded)(mt_device *, mt_recording **recording);
    mt_status (*replay)(mt_device *, mt_recording *recording);
    void (*forget)(mt_device *, mt_recording *recording); /* NULL is allowed */

    /* From use_stream to use_own_stream, work goes to a stream of the caller's (a cudaStream_t).
     * Neither waits for anything. In between only WKV with a workspace and `synchronize` may be
     * called: everything else counts on one order of all work. */
    void (*use_stream)(mt_device *, void *stream);
    void (*use_own_stream)(mt_device *);

    /* Whether matrix products of MT_F32 may round their factors to TF32, on a device that has it.
     * Not at first. */
    mt_status (*allow_tf32)(mt_device *, bool allowed);

    void (*close)(mt_device *);
};

/* Opens "cpu", "cuda", "cuda:I" or "auto" (a CUDA device where there is one, with its cuBLAS, else
 * the CPU). The caller closes it with mt_device_close, after everything that lives on it.
 * MT_ERROR_INVALID for an unknown name, MT_ERROR_DEVICE where this build or machine has no such
 * device. */
mt_status mt_device_open(const char *name, mt_device **device);
void mt_device_close(mt_device *device); /* NULL is allowed */

/* Threads of the CPU device, for this process; 0 (the default) takes what OpenMP would
 * (OMP_NUM_THREADS, else the cores it may use). What Mixtape's own kernels compute does not depend
 * on it. */
void mt_cpu_set_threads(int threads);
int mt_cpu_threads(void);

/* The instruction set that the CPU device's kernels were chosen for: "avx512", "avx2" or
 * "baseline". The environment variable MIXTAPE_ISA, read when a CPU device is opened, names a lower
 * one. */
const char *mt_cpu_isa(void);

#ifdef __cplusplus
}
#endif

#endif
