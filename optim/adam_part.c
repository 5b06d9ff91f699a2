#include "optim/adam_part.h"

#include "kernels/device.h"
#include "layers/layer.h"

#include <string.h>

static char *place_of(const mt_adam *adam, mt_moment which, int64_t first)
{
    char *block = which == MT_FIRST_MOMENT ? adam->m : adam->v;
    return block + (size_t)(first - adam->first) * mt_dtype_size(adam->parameters->dtype);
}

bool mt_adam_is_blank(const mt_adam *adam)
{
    return adam->blank && adam->step == 0;
}

mt_status mt_adam_read_own(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                           void *values)
{
    mt_device *device = adam->parameters->device;
    size_t bytes = (size_t)n * mt_dtype_size(adam->parameters->dtype);
    if (mt_adam_is_blank(adam)) {
        memset(values, 0, bytes);
        return MT_OK;
    }
    return device->read_back(device, values, place_of(adam, which, first), bytes);
}

mt_status mt_adam_write_own(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                            const void *values)
{
    mt_device *device = adam->parameters->device;
    return device->write(device, place_of(adam, which, first), values,
                         (size_t)n * mt_dtype_size(adam->parameters->dtype));
}

mt_status mt_adam_written_all(mt_adam *adam)
{
    void *const moments[] = {adam->m, adam->v};
    mt_status status = MT_OK;
    for (int i = 0; i < 2 && adam->blank && status == MT_OK; i++) {
        status = mt_parameters_clear_gaps(adam->parameters, adam->first, adam->count, moments[i]);
    }
    adam->blank = adam->blank && status != MT_OK;
    return status;
}

mt_status mt_adam_read_moments(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                               void *values)
{
    const mt_moments_access *access = adam->access;
    return access != NULL ? access->read(access->context, which, first, n, values)
                          : mt_adam_read_own(adam, which, first, n, values);
}

const void *mt_adam_find_moments(const mt_adam *adam, mt_moment which, int64_t first)
{
    bool is_here =
        adam->access == NULL && !mt_adam_is_blank(adam) && adam->parameters->device->is_host;
    return is_here ? place_of(adam, which, first) : NULL;
}

mt_status mt_adam_write_moments(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                                const void *values)
{
    const mt_moments_access *access = adam->access;
    return access != NULL ? access->write(access->context, which, first, n, values)
                          : mt_adam_write_own(adam, which, first, n, values);
}
