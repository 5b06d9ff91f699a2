#include "train/command/info_json.h"

#include <mixtape/model_fields.h>

#include "io/adapter_file.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>

/* Sets what was made, unless there was no memory for it. Returns whether all is well. */
static bool set(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *whole(int64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *field_of(const mt_model_field *field, const mt_model_config *config)
{
    int64_t value = mt_model_field_whole(field, config);
    switch (field->type) {
    case MT_MODEL_REAL:
        return real(mt_model_field_real(field, config));
    case MT_MODEL_FLAG:
        return json_boolean(value != 0);
    case MT_MODEL_CHOICE:
        return json_string(field->choice((int)value));
    default:
        return whole(value);
    }
}

static json_t *model_of(const mt_weights *weights)
{
    json_t *made = json_object();
    bool good = set(made, "dtype", json_string(mt_dtype_name(weights->dtype)));
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL && good; field++) {
        good = set(made, field->attribute, field_of(field, &weights->config));
    }
    if (!good) {
        json_decref(made);
    }
    return good ? made : NULL;
}

/* Text, or null for a name that is none. */
static json_t *text_of(const char *text)
{
    json_t *made = json_string(text);
    return made != NULL ? made : json_null();
}

static json_t *adapter_of(const mt_weights *weights)
{
    const mt_adapter_config *adapter = weights->adapter;
    bool is_lora = adapter->kind == MT_ADAPT_LORA;
    char on[MT_PROJECTIONS_TEXT];
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o}", "kind",
                     mt_adapter_kind_name((int)adapter->kind), "values",
                     (json_int_t)mt_parameters_size(weights->file->own->parameters), "model",
                     text_of(weights->file->model->file->path), "rank",
                     is_lora ? whole(adapter->rank) : json_null(), "alpha",
                     is_lora ? real(adapter->alpha) : json_null(), "on",
                     is_lora ? json_string(mt_projections_text(adapter->on, on)) : json_null());
}

static json_t *progress_of(const mt_train_state *state)
{
    return json_pack("{s:I, s:f, s:I, s:I, s:o, s:I, s:I}", "step", (json_int_t)state->step,
                     "seconds", state->seconds, "symbols", (json_int_t)state->symbols, "best_step",
                     (json_int_t)state->best_step, "best_loss",
                     state->best_step > 0 ? real(state->best_loss) : json_null(), "skipped",
                     (json_int_t)state->skipped, "spikes", (json_int_t)state->spikes);
}

static json_t *run_of(const run_view *run)
{
    const metrics_row last = run_view_last(run);
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:b}", "step", (json_int_t)last.step, "steps",
                     run->steps > 0 ? whole(run->steps) : json_null(), "loss", real(last.loss),
                     "tokens_per_s", real(last.tokens_per_s), "seconds_left",
                     real(run->is_at_work ? run->seconds_left : NAN), "at_work", run->is_at_work);
}

static json_t *parameter_of(const mt_parameter *parameter, double rms)
{
    json_t *shape = json_array(), *made = json_object();
    bool good = made != NULL;
    for (int i = 0; i < parameter->tensor.rank && good; i++) {
        good = json_array_append_new(shape, whole(parameter->tensor.shape[i])) == 0;
    }
    good = set(made, "shape", shape) && good && set(made, "rms", real(rms));
    if (!good) {
        json_decref(made);
    }
    return good ? made : NULL;
}

static bool set_parameters(json_t *object, const mt_parameters *parameters, const double *rms)
{
    bool good = object != NULL;
    for (int i = 0; i < parameters->count && good; i++) {
        const mt_parameter *parameter = parameters->items[i];
        good = set(object, parameter->name, parameter_of(parameter, rms[i]));
    }
    return good;
}

/* Behind the magnitudes of the weights are those of a tuned state. */
static json_t *parameters_of(const mt_weights *weights, const double *rms)
{
    const mt_weights *tuned = mt_weights_tuned(weights);
    json_t *made = json_object();
    bool good = set_parameters(made, weights->parameters, rms);
    if (good && tuned != NULL) {
        good = set_parameters(made, tuned->parameters, rms + weights->parameters->count);
    }
    if (!good) {
        json_decref(made);
    }
    return good ? made : NULL;
}

static bool fill(json_t *object, const run_view *run, const char *path,
                 const mt_checkpoint *checkpoint, const double *rms)
{
    const mt_weights *weights = checkpoint->weights;
    bool good =
        set(object, "file", text_of(path)) &&
        set(object, "layout",
            weights->layout != NULL ? json_string(weights->layout->name) : json_null()) &&
        set(object, "adapter", weights->adapter != NULL ? adapter_of(weights) : json_null()) &&
        set(object, "has_optimizer", json_boolean(checkpoint->has_optimizer)) &&
        set(object, "progress",
            checkpoint->has_state ? progress_of(&checkpoint->state) : json_null()) &&
        set(object, "run", run != NULL ? run_of(run) : json_null()) &&
        set(object, "model", model_of(weights)) &&
        set(object, "tokens",
            weights->tokens != NULL ? whole(weights->tokens->count) : json_null()) &&
        set(object, "tokenizer_bytes",
            weights->tokenizer.bytes != NULL ? whole((int64_t)weights->tokenizer.size)
                                             : json_null()) &&
        set(object, "values", whole(mt_parameters_size(weights->parameters)));
    return good && (rms == NULL || set(object, "parameters", parameters_of(weights, rms)));
}

/* Takes the object over, NULL where there was no memory to fill it. */
static mt_status print(json_t *object)
{
    bool good = object != NULL &&
                (json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) == 0 ||
                 ferror(stdout) != 0);
    printf("\n");
    json_decref(object);
    return good ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for JSON");
}

mt_status info_json(const run_view *run, const char *path, const mt_checkpoint *checkpoint,
                    const double *rms)
{
    json_t *object = json_object();
    if (!fill(object, run, path, checkpoint, rms)) {
        json_decref(object);
        object = NULL;
    }
    return print(object);
}

mt_status info_json_unsaved(const run_view *run)
{
    return print(json_pack("{s:n, s:n, s:n, s:b, s:n, s:o, s:n, s:n, s:n, s:n}", "file", "layout",
                           "adapter", "has_optimizer", 0, "progress", "run", run_of(run), "model",
                           "tokens", "tokenizer_bytes", "values"));
}
