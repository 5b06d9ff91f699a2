/* mixtape info FILE */
#include "train/command/arguments.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static error_t parse(int key, char *text, struct argp_state *state)
{
    const char **file = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (*file != NULL) {
            wrong_arguments(state, "one file is enough");
        }
        *file = text;
        return 0;
    case ARGP_KEY_NO_ARGS:
        wrong_arguments(state, "name a file, or a run");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Root mean square of a parameter's values. */
static double magnitude(const mt_checkpoint *checkpoint, const mt_parameter *parameter)
{
    int64_t n = mt_tensor_count(&parameter->tensor);
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        size_t at = parameter->offset + (size_t)i;
        double value = checkpoint->dtype == MT_F64 ? ((const double *)checkpoint->data)[at]
                                                   : (double)((const float *)checkpoint->data)[at];
        sum += value * value;
    }
    return sqrt(sum / (double)n);
}

static void print_checkpoint(const char *path, const mt_checkpoint *checkpoint)
{
    const mt_model_config *config = &checkpoint->config;
    const mt_train_state *state = &checkpoint->state;
    printf("%s: %s%s%s\n", path, checkpoint->has_state ? "checkpoint" : "weights, layout ",
           checkpoint->layout != NULL ? checkpoint->layout->name : "",
           checkpoint->m != NULL ? ", with optimiser" : "");
    run_config run;
    if (checkpoint->run_config != NULL && session_config_of(path, checkpoint, &run) == MT_OK) {
        printf("task %s%s%s\n", run.task, checkpoint->tokens != NULL ? ", unit " : "",
               checkpoint->tokens != NULL ? run.unit : "");
    }
    if (checkpoint->has_state) {
        printf("step %" PRId64 ", %.1f s of training\n", state->step, state->seconds);
    }
    if (checkpoint->has_state && state->best_step > 0) {
        printf("best validation loss %.6f at step %" PRId64 "\n", state->best_loss,
               state->best_step);
    }
    printf("vocab_size %" PRId64 ", input_size %" PRId64 ", output_size %" PRId64
           ", block_size %" PRId64 ", attention_size %" PRId64 ", linear_size %" PRId64
           ", context_size %" PRId64 ", num_blocks %" PRId64 "\n",
           config->vocab_size, config->input_size, config->output_size, config->block_size,
           config->attention_size, config->linear_size, config->context_size, config->num_blocks);
    printf("normalization_type %s, eps %g, partial %g, time_first %s, dtype %s\n",
           mt_norm_kind_name(config->norm.kind), config->norm.eps, config->norm.partial,
           config->time_first == MT_TIME_FIRST_RWKV ? "rwkv" : "espnet",
           mt_dtype_name(checkpoint->dtype));
    printf("biases %s, of the head %s, embed_pad %" PRId32
           ", dropout %g after embedding, %g after attention, %g after feed-forward\n",
           config->bias ? "yes" : "no", config->head_bias ? "yes" : "no", config->padding_index,
           config->embed_dropout, config->att_dropout, config->ffn_dropout);
    if (checkpoint->tokens != NULL) {
        printf("token_list of %" PRId32 "\n", checkpoint->tokens->count);
    }
    for (int i = 0; i < checkpoint->described->count; i++) {
        const mt_parameter *parameter = checkpoint->described->items[i];
        char name[MT_NAME_MAX], shape[96];
        snprintf(name, sizeof name, "%s", parameter->name);
        if (checkpoint->layout != NULL) {
            mt_layout_name(checkpoint->layout, parameter->name, name);
        }
        printf("  %-48s %-16s rms %.4g\n", name,
               mt_tensor_shape_text(&parameter->tensor, shape, sizeof shape),
               magnitude(checkpoint, parameter));
    }
    printf("%" PRId64 " values\n", mt_parameters_size(checkpoint->described));
}

int verb_info(int argc, char **argv)
{
    const struct argp argp = {
        .parser = parse,
        .args_doc = "RUN or FILE",
        .doc = "Tells what a checkpoint, of a run or in a file, or an exchange file holds."};
    const char *file = NULL;
    parse_arguments(&argp, argc, argv, &file);
    char path[TEXT_MAX];
    mt_checkpoint *checkpoint;
    mt_status status = session_find_model(file, true, path);
    if (status == MT_OK) {
        status = mt_checkpoint_load(path, &checkpoint);
    }
    if (status == MT_OK) {
        print_checkpoint(path, checkpoint);
        mt_checkpoint_destroy(checkpoint);
    }
    return report(status);
}
