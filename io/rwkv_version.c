#include "io/foreign_names.h"

#include <string.h>

/* What stands in the names of later versions and of no earlier one, the latest first: as RWKV-LM
 * (att), Hugging Face's files (attention) and flash-linear-attention (attn) have it. */
static const struct {
    const char *in_name;
    int version;
} marks[] = {
    {".att.r_k", 7},         {".attention.r_k", 7}, {".attn.r_k", 7},     {".att.x_r", 7},
    {".attention.x_r", 7},   {".attn.x_r", 7},      {".attn.w_lora.", 7}, {".time_maa_", 6},
    {".attn.bonus", 6},      {".time_faaaa", 5},    {".time_mix_g", 5},   {".att.ln_x.", 5},
    {".attention.ln_x.", 5},
};
enum { MARKS = sizeof marks / sizeof *marks };

int mt_rwkv_version(const mt_arrays *arrays)
{
    for (int m = 0; m < MARKS; m++) {
        for (int64_t i = 0; i < arrays->count; i++) {
            if (strstr(arrays->items[i].name, marks[m].in_name) != NULL) {
                return marks[m].version;
            }
        }
    }
    return 4;
}
