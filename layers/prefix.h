/* Names inside names: "rwkv_blocks.0." and "att." make "rwkv_blocks.0.att.". Internal. */
#ifndef MT_LAYERS_PREFIX_H
#define MT_LAYERS_PREFIX_H

#include <mixtape/parameter.h>

#include <stdio.h>

typedef struct mt_prefix {
    char text[2 * MT_NAME_MAX]; /* mt_parameters_add refuses what exceeds MT_NAME_MAX */
} mt_prefix;

static inline mt_prefix mt_prefix_join(const char *outer, const char *inner)
{
    mt_prefix prefix;
    snprintf(prefix.text, sizeof prefix.text, "%s%s", outer, inner);
    return prefix;
}

#endif
