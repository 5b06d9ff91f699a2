/* The transducer loss for other languages and frameworks: plain arrays, a device, and the stream
 * that the caller works on. Nothing here allocates arrays or keeps them.
 *
 * Shapes, formulas and errors are those of kernels/transducer.h; `stream` and what is said of it
 * are mixtape/wkv.h's, as is the version of the interface. */
#ifndef MIXTAPE_TRANSDUCER_H
#define MIXTAPE_TRANSDUCER_H

#include <mixtape/api.h>
#include <mixtape/device.h>
#include <mixtape/dtype.h>
#include <mixtape/kernels/transducer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* MT_ERROR_INVALID, with the figures, for sizes or a blank out of range, a negative
 * fastemit_lambda, or a type that has no kernels; and for lengths and labels out of range, on CUDA
 * in a later call. */
MT_API mt_status mt_transducer_forward(mt_device *device, void *stream, mt_dtype dtype,
                                       const mt_transducer_forward_args *args);
MT_API mt_status mt_transducer_backward(mt_device *device, void *stream, mt_dtype dtype,
                                        const mt_transducer_backward_args *args);

#ifdef __cplusplus
}
#endif

#endif
