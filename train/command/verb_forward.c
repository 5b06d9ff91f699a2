/* mixtape forward MODEL --input IN.h5 --output OUT.h5: for comparing with other implementations. */
#include "io/archive.h"
#include "io/arrays.h"
#include "train/command/arguments.h"
#include "train/command/labels.h"
#include "train/command/output.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct arguments {
    const char *model, *adapter, *input, *output, *device;
    bool last;
    long long threads, context_size;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    mt_status status = MT_OK;
    switch (key) {
    case LONG_ONLY + 'l':
        given->last = true;
        return 0;
    case LONG_ONLY + 'A':
        given->adapter = text;
        return 0;
    case LONG_ONLY + 'T':
        status = parse_threads(text, &given->threads);
        break;
    case LONG_ONLY + 'c':
        status = parse_whole("context-size", text, 1, 1 << 24, &given->context_size);
        break;
    case LONG_ONLY + 'i':
        given->input = text;
        return 0;
    case 'o':
        given->output = text;
        return 0;
    case LONG_ONLY + 'd':
        given->device = text;
        return 0;
    case ARGP_KEY_NO_ARGS:
    case ARGP_KEY_END:
        if (given->model == NULL || given->input == NULL || given->output == NULL) {
            wrong_arguments(state, "name a model, --input and --output");
        }
        return 0;
    default:
        return parse_argument(key, text, state, "model", &given->model);
    }
    return parsed(status);
}

static void write_tensor(mt_archive *archive, const char *name, const mt_tensor *tensor)
{
    double wrong;
    void *values = malloc(mt_tensor_bytes(tensor));
    mt_status status = values != NULL ? mt_tensor_read(tensor, values)
                                      : mt_fail(MT_ERROR_MEMORY, "forward: no memory for %zu bytes",
                                                mt_tensor_bytes(tensor));
    int64_t at = status == MT_OK
                     ? mt_first_not_finite(tensor->dtype, values, mt_tensor_count(tensor), &wrong)
                     : -1;
    if (at >= 0) {
        status =
            mt_fail(MT_ERROR_NUMERIC, "forward: element %" PRId64 " of %s is %g", at, name, wrong);
    }
    mt_archive_keep(archive, status);
    mt_archive_write_array(archive, "/", name, tensor->dtype, tensor->rank, tensor->shape, values);
    free(values);
}

static mt_status write_outputs(const char *path, const mt_tensor *output, const mt_tensor *logits)
{
    mt_archive *archive;
    mt_status status = mt_archive_create(path, &archive);
    if (status != MT_OK) {
        return status;
    }
    write_tensor(archive, "output", output);
    if (logits != NULL) {
        write_tensor(archive, "logits", logits);
    }
    return mt_archive_close(archive);
}

static mt_status forward(train_session *session, const int64_t *shape, const int32_t *labels,
                         const char *path)
{
    mt_tape *tape = session->tape;
    mt_tape_set_recording(tape, false);
    mt_tensor *input = mt_tape_input(tape, MT_I32, 2, shape, labels, false);
    mt_tensor *output = mt_model_decode(tape, session->model, input, NULL, false);
    mt_tensor *logits =
        session->model->config.output_size > 0 ? mt_model_head(tape, session->model, output) : NULL;
    output = mt_cast(tape, output, session->model->parameters->dtype);
    if (mt_tape_status(tape) != MT_OK) {
        return mt_fail(mt_tape_status(tape), "%s", mt_tape_error(tape));
    }
    return write_outputs(path, output, logits);
}

/* Neither the model nor the labels are replaced by what is computed of them. */
static mt_status refuse_output(const arguments *given)
{
    char path[TEXT_MAX];
    mt_status status = session_find_model(given->model, !given->last, path);
    if (status == MT_OK) {
        status = output_refuse("--output", given->output, path, "computed with");
    }
    if (status == MT_OK) {
        status = output_refuse("--output", given->output, given->input, "read");
    }
    return status == MT_OK ? output_refuse_kind("--output", given->output, OUTPUT_WEIGHTS) : status;
}

static mt_status run(const arguments *given, const mt_checkpoint *checkpoint)
{
    int64_t shape[MT_MAX_RANK];
    int32_t *labels;
    train_session session;
    if (checkpoint->weights->config.input_size > 0) {
        return mt_fail(MT_ERROR_INVALID, "%s: a model of real-valued input takes no labels",
                       given->model);
    }
    mt_status status = labels_read(given->input, shape, &labels);
    if (status == MT_OK) {
        status = labels_check(given->input, shape, labels, checkpoint->weights->config.vocab_size);
    }
    if (status == MT_OK) {
        status = session_open_model(checkpoint, checkpoint->weights->dtype, given->device,
                                    (int)given->threads, &session);
    }
    if (status == MT_OK) {
        if (given->context_size > 0) {
            mt_model_set_context_size(session.model, given->context_size);
        }
        status = forward(&session, shape, labels, given->output);
        session_close(&session);
    }
    free(labels);
    return status;
}

int verb_forward(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"input", LONG_ONLY + 'i', "FILE", 0, "HDF5 file with `labels`, integers (B, U)", 0},
        {"output", 'o', "FILE", 0,
         "HDF5 file to write: `output` (B, U, size), `logits` (B, U, vocab)", 0},
        {"context-size", LONG_ONLY + 'c', "N", 0,
         "Longest sequence that the model accepts (default: its own)", 0},
        {"last", LONG_ONLY + 'l', NULL, 0, "A run's last checkpoint, instead of its best", 0},
        {"adapter", LONG_ONLY + 'A', "RUN", 0,
         "Use the model with what this run trained beside it (--tune)", 0},
        {"device", LONG_ONLY + 'd', "auto|cpu|cuda[:I]", 0, "Where to compute (default auto)", 0},
        {"threads", LONG_ONLY + 'T', "N", 0, "Threads of the CPU (default 0: all)", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "MODEL",
        .doc = "Computes the outputs of a model: a run, a checkpoint, or an exchange file."};
    arguments given = {.device = "auto"};
    parse_arguments(&argp, argc, argv, &given);
    mt_checkpoint *checkpoint;
    mt_status status = refuse_output(&given);
    if (status == MT_OK) {
        status = session_load_adapted(given.model, given.adapter, !given.last, &checkpoint);
    }
    if (status == MT_OK) {
        status = run(&given, checkpoint);
        mt_checkpoint_destroy(checkpoint);
    }
    return report(status);
}
