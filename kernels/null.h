/* Objects that are NULL, as they are after their creation failed. Internal. */
#ifndef MT_KERNELS_NULL_H
#define MT_KERNELS_NULL_H

#include <mixtape/error.h>

/* MT_ERROR_INVALID, as mixtape/error.h has it, by the function that got NULL; the message goes on
 * with the thread's former failure, which is likely to be why. */
mt_status mt_fail_null(const char *function);

#endif
