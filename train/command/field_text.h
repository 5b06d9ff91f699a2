/* The values of a model's fields, as people are told them. */
#ifndef MT_COMMAND_FIELD_TEXT_H
#define MT_COMMAND_FIELD_TEXT_H

#include <mixtape/model_fields.h>

enum { FIELD_TEXT = 32 };

/* Its value in this configuration, in `text`, which is returned. */
const char *field_text(const mt_model_field *field, const mt_model_config *config,
                       char text[FIELD_TEXT]);

#endif
