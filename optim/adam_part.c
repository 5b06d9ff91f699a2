#include "optim/adam_part.h"

#include "kernels/device.h"

static char *place_of(const mt_adam *adam, mt_moment which, int64_t first)
{
    char *block = which == MT_FIRST_MOMENT ? adam->m : adam->v;
    return block + (size_t)(first - adam->first) * mt_dtype_size(adam->parameters->dtype);
}

mt_status mt_adam_read_own(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                           void *values)
{
    mt_device *device = adam->parameters->device;
    return device->read_back(device, values, place_of(adam, which, first),
                             (size_t)n * mt_dtype_size(adam->parameters->dtype));
}

mt_status mt_adam_write_own(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                            const void *values)
{
    mt_device *device = adam->parameters->device;
    return device->write(device, place_of(adam, which, first), values,
                         (size_t)n * mt_dtype_size(adam->parameters->dtype));
}

mt_status mt_adam_read_moments(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                               void *values)
{
    const mt_moments_access *access = adam->access;
    return access != NULL ? access->read(access->context, which, first, n, values)
                          : mt_adam_read_own(adam, which, first, n, values);
}

mt_status mt_adam_write_moments(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                                const void *values)
{
    const mt_moments_access *access = adam->access;
    return access != NULL ? access->write(access->context, which, first, n, values)
                          : mt_adam_write_own(adam, which, first, n, values);
}
