/* The WKV operator for other languages and frameworks: plain arrays, a device, and the stream that
 * the caller works on. Nothing here allocates arrays or keeps them.
 *
 *     mt_wkv_forward_args args = {0};
 *     args.B = B;                            and so on: whatever is not set is absent
 *     mt_device_open("cuda:0", &device);
 *     mt_wkv_forward(device, stream, MT_F32, &args);
 *
 * Shapes, formulas and the gradient's conventions are those of kernels/wkv.h. The type is that of
 * k, v, y and their gradients; what is too large for MT_F16 is written as infinity. On a CUDA
 * device the call returns once the work is on the stream; errors of the work itself come with a
 * later call. */
#ifndef MIXTAPE_WKV_H
#define MIXTAPE_WKV_H

#include <mixtape/api.h>
#include <mixtape/device.h>
#include <mixtape/dtype.h>
#include <mixtape/kernels/wkv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes with any change to what this header and transducer.h declare, the structures of
 * kernels/wkv.h and kernels/transducer.h included, and to those functions of weights.h that need no
 * structure. */
enum { MT_BINDINGS_VERSION = 7 };
MT_API int mt_bindings_version(void);

/* Bytes that forward leaves in `saved`; 0 for a type that has no kernels. As kernels are tuned they
 * are at most ((T + 31) / 32 + 1) 3 B C wide numbers (mt_dtype_wide), in float64
 * ((T + 15) / 16 + 1) 3 B C, for callers that plan memory without a device. */
MT_API size_t mt_wkv_saved_size(mt_device *device, mt_dtype dtype, int64_t B, int64_t T, int64_t C);

/* Bytes of workspace that suffice for either direction; 0 where the caller need give none, as on
 * the CPU, and for what has no kernels. */
MT_API size_t mt_wkv_workspace_size(mt_device *device, mt_dtype dtype, int64_t B, int64_t T,
                                    int64_t C);

/* `stream` is a cudaStream_t, NULL being CUDA's default stream; the CPU does not look at it. On
 * CUDA a call allocates nothing and waits for nothing, so the stream may be recording a CUDA graph,
 * once a first call of the same direction and type has brought the kernels to the device. Calls on
 * one device come from one thread at a time. MT_ERROR_INVALID, with the figures, for sizes below 1,
 * a type that has no kernels, or where a workspace is needed (for either direction) and not given.
 * The alignment of B C and a context_size are the caller's to check (mt_wkv_check). */
MT_API mt_status mt_wkv_forward(mt_device *device, void *stream, mt_dtype dtype,
                                const mt_wkv_forward_args *args);
MT_API mt_status mt_wkv_backward(mt_device *device, void *stream, mt_dtype dtype,
                                 const mt_wkv_backward_args *args);

#ifdef __cplusplus
}
#endif

#endif
