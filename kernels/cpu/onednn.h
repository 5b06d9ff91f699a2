/* Products of bfloat16 by oneDNN, which has them for processors with instructions for it. It is
 * loaded when a product first asks for it, where the build knew its header and the system has its
 * library. Internal. */
#ifndef MT_KERNELS_CPU_ONEDNN_H
#define MT_KERNELS_CPU_ONEDNN_H

#include "kernels/cpu/product.h"

#include <mixtape/error.h>

/* NULL where the processor and the system have what it takes, else what is lacking, in words. */
const char *mt_onednn_lacks(void);

/* Computes it on the calling thread alone: alpha is 1, beta 0 or 1. MT_ERROR_DEVICE where oneDNN
 * fails, which it says without a reason. */
mt_status mt_onednn_multiply(const mt_product *product);

#endif
