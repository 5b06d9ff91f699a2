#include "train/command/field_text.h"

#include <inttypes.h>
#include <stdio.h>

const char *field_text(const mt_model_field *field, const mt_model_config *config,
                       char text[FIELD_TEXT])
{
    int64_t whole = mt_model_field_whole(field, config);
    if (field->type == MT_MODEL_REAL) {
        snprintf(text, FIELD_TEXT, "%g", mt_model_field_real(field, config));
    } else if (field->type == MT_MODEL_FLAG) {
        snprintf(text, FIELD_TEXT, "%s", whole != 0 ? "yes" : "no");
    } else if (field->type == MT_MODEL_CHOICE) {
        snprintf(text, FIELD_TEXT, "%s", field->choice((int)whole));
    } else {
        snprintf(text, FIELD_TEXT, "%" PRId64, whole);
    }
    return text;
}
