/* Rates of learning of a model's parameters, by their names. */
#include <mixtape/parameter.h>

#include "kernels/null.h"

#include <fnmatch.h>
#include <math.h>

mt_status mt_parameters_set_rate(mt_parameters *parameters, const char *pattern, double factor)
{
    if (parameters == NULL || pattern == NULL) {
        return mt_fail_null(__func__);
    }
    if (!(factor >= 0.0) || !isfinite(factor)) {
        return mt_fail(MT_ERROR_INVALID, "parameters: %s has the rate %g, not a number from 0 on",
                       pattern, factor);
    }
    int found = 0;
    for (int i = 0; i < parameters->count; i++) {
        mt_parameter *parameter = parameters->items[i];
        if (fnmatch(pattern, parameter->name, 0) == 0) {
            parameter->rate = factor;
            found++;
        }
    }
    return found > 0 ? MT_OK
                     : mt_fail(MT_ERROR_INVALID, "parameters: none of %d has a name like %s",
                               parameters->count, pattern);
}
