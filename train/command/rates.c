#include "train/command/rates.h"

#include "train/command/arguments.h"

#include <stdio.h>
#include <string.h>

enum { MOST_FACTOR = 1000 };

static mt_status set_one(const char *part, size_t length, mt_parameters *parameters)
{
    char pattern[2 * MT_NAME_MAX];
    double factor;
    if (length >= sizeof pattern) {
        return mt_fail(MT_ERROR_INVALID, "--rates %.32s...: longer than %zu bytes", part,
                       sizeof pattern - 1);
    }
    memcpy(pattern, part, length);
    pattern[length] = '\0';
    char *equals = strrchr(pattern, '=');
    if (equals == NULL || equals == pattern) {
        return mt_fail(MT_ERROR_INVALID, "--rates '%s': not PATTERN=FACTOR", pattern);
    }
    *equals = '\0';
    mt_status status = parse_real("rates", equals + 1, 0.0, MOST_FACTOR, &factor);
    if (status != MT_OK) {
        return mt_fail(status, "%s (the factor of %s)", mt_error_message(), pattern);
    }
    status = mt_parameters_set_rate(parameters, pattern, factor);
    return status == MT_OK ? MT_OK : mt_fail(status, "--rates %s: %s", pattern, mt_error_message());
}

mt_status rates_set(const char *rates, mt_parameters *parameters)
{
    mt_status status = MT_OK;
    for (const char *at = rates; *at != '\0' && status == MT_OK;) {
        size_t length = strcspn(at, ",");
        status = set_one(at, length, parameters);
        at += length;
        if (status == MT_OK && at[0] == ',' && (++at)[0] == '\0') {
            status = set_one(at, 0, parameters); /* what is behind the last comma is nothing */
        }
    }
    return status;
}
