#include "train/numbers.h"

#include <string.h>

mt_status tensor_read_doubles(const mt_tensor *tensor, double *values)
{
    mt_status status = mt_tensor_read(tensor, values);
    if (status != MT_OK || tensor->dtype == MT_F64) {
        return status;
    }
    /* The floats fill the first half of the array: widened from the last, none is overwritten
     * before it is read. */
    for (int64_t i = mt_tensor_count(tensor) - 1; i >= 0; i--) {
        float narrow;
        memcpy(&narrow, (const char *)values + (size_t)i * sizeof narrow, sizeof narrow);
        values[i] = (double)narrow;
    }
    return MT_OK;
}
