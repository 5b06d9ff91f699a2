/* The fields of mt_model_config as one table, for whoever checks, stores, shows or sets
 * configurations: mt_model_config_check, the attributes of files, and the options, `config.yaml`
 * and `info` of the command all walk it. `recompute` is no row: it is how a model is trained, not
 * what it is. */
#ifndef MIXTAPE_MODEL_FIELDS_H
#define MIXTAPE_MODEL_FIELDS_H

#include <mixtape/api.h>
#include <mixtape/model.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Files hold the fields type by type, in this order. */
typedef enum mt_model_field_type {
    MT_MODEL_SIZE,  /* int64_t */
    MT_MODEL_REAL,  /* double */
    MT_MODEL_FLAG,  /* bool */
    MT_MODEL_LABEL, /* int32_t */
    MT_MODEL_CHOICE /* an enumeration */
} mt_model_field_type;

enum { MT_MODEL_FIELD_TYPES = 5 };

/* The name of an enumeration's value; NULL from the first number on that is none. */
typedef const char *(*mt_choice_name)(int value);

typedef struct mt_model_field {
    const char *name;      /* in mt_model_config, and in messages */
    const char *attribute; /* in files and in `info`: ESPnet's name where it has one */
    mt_model_field_type type;
    size_t offset;         /* in mt_model_config */
    mt_choice_name choice; /* of MT_MODEL_CHOICE */

    /* A resolved configuration has least <= value <= most for MT_MODEL_SIZE and MT_MODEL_LABEL, and
     * least <= value < most for MT_MODEL_REAL. */
    double least, most;

    bool optional;   /* files have it where it is not 0, `info` shows it then */
    bool of_weights; /* it goes with weights, which fit no other value but of an optional field */
    const char *espnet;  /* ESPnet's mapping that has the attribute's name as a key, or NULL */
    const char *display; /* in `info`, a star for the value; NULL: the attribute's name before it */

    /* As an option of `mixtape train`; `option` is NULL for what the task decides. An option's
     * range also has what stands for a default. "no-" negates a flag. */
    const char *option, *argument, *help;
    double option_least, option_most;
    bool fixed; /* a run that goes on keeps it */
} mt_model_field;

/* The table; after its last row `name` is NULL. */
MT_API const mt_model_field *mt_model_fields(void);

/* The value of any field but of MT_MODEL_REAL. Setting what the field's type does not hold leaves a
 * value that mt_model_config_check refuses. */
MT_API int64_t mt_model_field_whole(const mt_model_field *field, const mt_model_config *config);
MT_API void mt_model_field_set_whole(const mt_model_field *field, mt_model_config *config,
                                     int64_t value);

/* The value of a field of MT_MODEL_REAL. */
MT_API double mt_model_field_real(const mt_model_field *field, const mt_model_config *config);
MT_API void mt_model_field_set_real(const mt_model_field *field, mt_model_config *config,
                                    double value);

/* Sets the field, of any type, to the value that it has in another configuration. */
MT_API void mt_model_field_copy(const mt_model_field *field, const mt_model_config *from,
                                mt_model_config *to);

/* The number types that a model can have, by mt_dtype: "f32", "f64". */
MT_API const char *mt_model_dtype_name(int value);
/* ... and of the types that a model computes in, for options: "f32", "f64", "bf16". */
MT_API const char *mt_compute_dtype_name(int value);

/* The number whose name `text` is, or -1. */
MT_API int mt_choice_find(mt_choice_name choice, const char *text);

#ifdef __cplusplus
}
#endif

#endif
