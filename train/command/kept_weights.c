#include "train/command/kept_weights.h"

#include <mixtape/model_fields.h>

#include "train/command/arguments.h"

static const struct {
    const char *name;
    mt_dtype type;
} kinds[] = {{"f32", MT_F32}, {"bf16", MT_BF16}, {"int8", MT_I8}};

enum { KINDS = sizeof kinds / sizeof *kinds };

static const char *kind_name(int kind)
{
    return kind < KINDS ? kinds[kind].name : NULL;
}

void kept_weights_check(const char *name, const struct argp_state *state)
{
    if (name != NULL && mt_choice_find(kind_name, name) < 0) {
        wrong_arguments(state, "--weights %s: not one of f32, bf16, int8", name);
    }
}

mt_status kept_weights_turn(mt_model *model, const char *name)
{
    if (name == NULL) {
        return MT_OK;
    }
    mt_dtype type = kinds[mt_choice_find(kind_name, name)].type, own = model->parameters->dtype;
    if (type == MT_F32) {
        return own == type ? MT_OK
                           : mt_fail(MT_ERROR_INVALID, "--weights %s: the model's are %s", name,
                                     mt_dtype_name(own));
    }
    mt_status status = mt_parameters_compact(model->parameters, type);
    return status == MT_OK ? status : mt_fail(status, "--weights %s: %s", name, mt_error_message());
}
