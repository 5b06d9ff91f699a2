#include "kernels/wkv.h"

#include <inttypes.h>

mt_status mt_wkv_check(int64_t B, int64_t T, int64_t C, int64_t context_size)
{
    enum { ESPNET_ALIGNMENT = 32 };
    if (B < 1 || T < 1 || C < 1) {
        return mt_fail(MT_ERROR_INVALID,
                       "wkv: batch %" PRId64 ", sequence length %" PRId64 ", channels %" PRId64
                       ": each must be positive",
                       B, T, C);
    }
    if (T > context_size) {
        return mt_fail(MT_ERROR_INVALID,
                       "wkv: sequence length %" PRId64 " exceeds context_size %" PRId64
                       " (raise context_size, --context-size)",
                       T, context_size);
    }
    int64_t alignment = C < ESPNET_ALIGNMENT ? C : ESPNET_ALIGNMENT;
    if (B % alignment * (C % alignment) % alignment != 0) {
        return mt_fail(MT_ERROR_INVALID,
                       "wkv: batch %" PRId64 " times channels %" PRId64
                       " is not a multiple of %" PRId64 " (change the batch or the attention size)",
                       B, C, alignment);
    }
    return MT_OK;
}
