/* mixtape info FILE */
#include "io/weights_file.h"
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

/* A sum over rows of a parameter. */
typedef struct square_sum {
    mt_dtype dtype;
    int64_t width;
    double sum;
} square_sum;

static mt_status add_squares(void *context, int64_t first, int64_t rows, const void *values)
{
    square_sum *squares = context;
    (void)first;
    for (int64_t i = 0; i < rows * squares->width; i++) {
        double value = squares->dtype == MT_F64 ? ((const double *)values)[i]
                                                : (double)((const float *)values)[i];
        squares->sum += value * value;
    }
    return MT_OK;
}

/* Root mean square of a parameter's values. */
static mt_status magnitude(const mt_weights *weights, const mt_parameter *parameter, double *rms)
{
    mt_array array = mt_weights_array(weights, parameter);
    int64_t n = mt_array_count(&array);
    square_sum squares = {.dtype = array.dtype, .width = n / mt_array_rows(&array)};
    mt_status status = mt_array_visit(&array, add_squares, &squares);
    *rms = sqrt(squares.sum / (double)n);
    return status;
}

static mt_status print_parameters(const mt_weights *weights)
{
    mt_status status = MT_OK;
    for (int i = 0; i < weights->parameters->count && status == MT_OK; i++) {
        const mt_parameter *parameter = weights->parameters->items[i];
        char name[MT_NAME_MAX], shape[96];
        double rms;
        status = magnitude(weights, parameter, &rms);
        if (status == MT_OK) {
            printf("  %-48s %-16s rms %.4g\n", mt_weights_name(weights, parameter, name),
                   mt_tensor_shape_text(&parameter->tensor, shape, sizeof shape), rms);
        }
    }
    if (status == MT_OK) {
        printf("%" PRId64 " values\n", mt_parameters_size(weights->parameters));
    }
    return status;
}

static mt_status print_checkpoint(const char *path, const mt_checkpoint *checkpoint)
{
    const mt_weights *weights = checkpoint->weights;
    const mt_model_config *config = &weights->config;
    const mt_train_state *state = &checkpoint->state;
    printf("%s: %s%s%s\n", path, checkpoint->has_state ? "checkpoint" : "weights, layout ",
           weights->layout != NULL ? weights->layout->name : "",
           checkpoint->has_optimizer ? ", with optimiser" : "");
    run_config run;
    if (checkpoint->run_config != NULL && session_config_of(path, checkpoint, &run) == MT_OK) {
        printf("task %s%s%s\n", run.task, weights->tokens != NULL ? ", unit " : "",
               weights->tokens != NULL ? run.unit : "");
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
           mt_dtype_name(weights->dtype));
    printf("biases %s, of the head %s, embed_pad %" PRId32
           ", dropout %g after embedding, %g after attention, %g after feed-forward\n",
           config->bias ? "yes" : "no", config->head_bias ? "yes" : "no", config->padding_index,
           config->embed_dropout, config->att_dropout, config->ffn_dropout);
    if (weights->tokens != NULL) {
        printf("token_list of %" PRId32 "\n", weights->tokens->count);
    }
    return print_parameters(weights);
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
        status = print_checkpoint(path, checkpoint);
        mt_checkpoint_destroy(checkpoint);
    }
    return report(status);
}
