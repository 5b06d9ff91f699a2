#include "optim/adam_ranges.h"

#include "kernels/device.h"

#include <stdlib.h>

/* Neighbours of one rate are one range, with the gap behind them. */
static int64_t add_parameter(mt_adam_range *ranges, int64_t count, const mt_parameter *parameter)
{
    if (count > 0 && ranges[count - 1].factor == parameter->rate) {
        return count;
    }
    if (count > 0) {
        ranges[count - 1].end = (int64_t)parameter->offset;
    }
    ranges[count] = (mt_adam_range){.factor = parameter->rate};
    return count + 1;
}

/* In the order of the blocks: those that decay, then the others. Returns how many there are. */
static int64_t find_ranges(const mt_parameters *parameters, mt_adam_range *ranges)
{
    int64_t count = 0;
    for (int decay = 1; decay >= 0; decay--) {
        for (int i = 0; i < parameters->count; i++) {
            const mt_parameter *parameter = parameters->items[i];
            count =
                parameter->decay == (decay == 1) ? add_parameter(ranges, count, parameter) : count;
        }
    }
    if (count > 0) {
        ranges[count - 1].end = parameters->total;
    }
    return count;
}

/* Leaves of ranges what lies in elements first .. first + n - 1, counted from there. */
static int64_t cut_to_part(mt_adam_range *ranges, int64_t count, int64_t first, int64_t n)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < count && (kept == 0 || ranges[kept - 1].end < n); i++) {
        int64_t end = ranges[i].end - first;
        if (end > 0) {
            ranges[kept++] = (mt_adam_range){end < n ? end : n, ranges[i].factor};
        }
    }
    return kept;
}

static mt_status put_on_device(const mt_adam_range *ranges, int64_t count, mt_adam *adam)
{
    mt_device *device = adam->parameters->device;
    size_t bytes = (size_t)count * sizeof *ranges;
    void *memory = NULL;
    mt_status status = device->allocate(device, bytes, &memory);
    adam->ranges = memory;
    if (status == MT_OK) {
        adam->range_count = count;
        status = device->write(device, memory, ranges, bytes);
    }
    return status;
}

mt_status mt_adam_ranges_create(mt_adam *adam)
{
    const mt_parameters *parameters = adam->parameters;
    mt_adam_range *ranges = calloc((size_t)parameters->count + 1, sizeof *ranges);
    if (ranges == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "adam: no memory for the rates of %d parameters",
                       parameters->count);
    }
    int64_t count = find_ranges(parameters, ranges);
    count = cut_to_part(ranges, count, adam->first, adam->count);
    bool is_plain = count == 0 || (count == 1 && ranges[0].factor == 1.0);
    mt_status status = is_plain ? MT_OK : put_on_device(ranges, count, adam);
    free(ranges);
    return status;
}
