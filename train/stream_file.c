/* A row of a stream in a file: the model's configuration as a checkpoint has it, a fingerprint of
 * its weights, and what the row carries. */
#include <mixtape/model_fields.h>

#include "io/arrays.h"
#include "io/weights_file.h"
#include "kernels/device.h"
#include "kernels/null.h"
#include "train/data_sum.h"
#include "train/stream_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STATE_FORMAT "mixtape-state"

enum { PRINTED = 1024 }; /* values of each parameter that its weights' fingerprint is made of */

/* To read all weights would take longer than what a state saves. */
static mt_status fingerprint(const mt_model *model, int64_t *print)
{
    const mt_parameters *parameters = model->parameters;
    mt_device *device = parameters->device;
    unsigned char bytes[PRINTED * sizeof(double)];
    data_sum sum = data_sum_begin();
    mt_status status = MT_OK;
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        int64_t count = mt_tensor_count(tensor) < PRINTED ? mt_tensor_count(tensor) : PRINTED;
        size_t size = (size_t)count * mt_dtype_size(tensor->dtype);
        status = device->read_back(device, bytes, tensor->data, size);
        if (status == MT_OK) {
            data_sum_add(&sum, bytes, size);
        }
    }
    *print = (int64_t)sum.sum;
    return status;
}

/* What a row carries as an array, a row of it for each block. */
typedef struct state_values {
    mt_dtype dtype;
    int64_t shape[2], width; /* of the outputs */
    size_t bytes, output_bytes;
    void *row;
} state_values;

static mt_status make_values(const mt_stream *stream, state_values *values)
{
    const mt_model *model = stream->model;
    size_t size = mt_dtype_size(model->parameters->dtype);
    int64_t blocks = model->config.num_blocks;
    size_t bytes = mt_stream_row_bytes(stream);
    *values = (state_values){.dtype = model->parameters->dtype,
                             .shape = {blocks, (int64_t)(bytes / size) / blocks},
                             .width = mt_stream_width(stream),
                             .bytes = bytes,
                             .output_bytes = (size_t)mt_stream_width(stream) * size,
                             .row = malloc(bytes)};
    return values->row != NULL
               ? MT_OK
               : mt_fail(MT_ERROR_MEMORY, "stream: no memory for a state of %zu bytes", bytes);
}

/* No sampler has chosen as often; a file that says so is damaged. */
static const int64_t last_position = INT64_C(1) << 53;

static bool is_position(int64_t position)
{
    return position >= 0 && position <= last_position;
}

/* ---- saving ---- */

static void write_array(mt_archive *archive, const char *path, const char *name, mt_dtype dtype,
                        int rank, const int64_t *shape, const void *values)
{
    mt_array array = {.name = (char *)(uintptr_t)name, .dtype = dtype, .rank = rank};
    memcpy(array.shape, shape, (size_t)rank * sizeof *shape);
    mt_status status = mt_array_check_values(&array, values);
    if (status != MT_OK) {
        mt_archive_keep(archive, mt_fail(status, "%s: %s", path, mt_error_message()));
    }
    mt_archive_write_array(archive, "/", name, dtype, rank, shape, values);
}

static mt_status save(const mt_stream *stream, const state_values *values, int64_t print,
                      const mt_stream_end *end, const char *path)
{
    mt_archive *archive;
    mt_status status = mt_native_create(path, STATE_FORMAT, NULL, &archive);
    if (status != MT_OK) {
        return status;
    }
    mt_model_attributes_write(archive, "/", &stream->model->config, values->dtype);
    mt_archive_write_int(archive, "/", "weights", print);
    mt_archive_write_int(archive, "/", "position", end->position);
    write_array(archive, path, "state", values->dtype, 2, values->shape, values->row);
    if (end->outputs != NULL) {
        write_array(archive, path, "outputs", values->dtype, 1, &values->width, end->outputs);
    }
    return mt_archive_close(archive);
}

/* What is there and holds no state is not written over. */
static mt_status refuse_other(const char *path)
{
    struct stat info;
    mt_archive *archive;
    if (stat(path, &info) != 0) {
        return MT_OK; /* what else keeps it from being written is told then */
    }
    mt_status status = mt_archive_open(path, &archive);
    if (status == MT_OK) {
        status = mt_native_check_format(archive, STATE_FORMAT);
        mt_archive_discard(archive);
    }
    return status == MT_ERROR_FORMAT
               ? mt_fail(MT_ERROR_INVALID,
                         "%s: it is there, and no state of a stream: it is not written over", path)
               : status;
}

mt_status stream_check_target(const char *path)
{
    mt_archive *archive;
    mt_status status = refuse_other(path);
    if (status == MT_OK) {
        status = mt_archive_create(path, &archive);
    }
    if (status == MT_OK) {
        mt_archive_discard(archive);
    }
    return status;
}

mt_status mt_stream_save_file(const mt_stream *stream, int64_t row, const mt_stream_end *end,
                              const char *path)
{
    if (stream == NULL) {
        return mt_fail_null(__func__);
    }
    state_values values = {.row = NULL};
    int64_t print;
    mt_status status = stream_check_row(stream, row, 0);
    if (status == MT_OK && !is_position(end->position)) {
        status = mt_fail(MT_ERROR_INVALID, "%s: position %" PRId64 ", not in 0 .. %" PRId64, path,
                         end->position, last_position);
    }
    if (status == MT_OK) {
        status = refuse_other(path);
    }
    if (status == MT_OK) {
        status = make_values(stream, &values);
    }
    if (status == MT_OK) {
        status = mt_stream_save(stream, row, values.row);
    }
    if (status == MT_OK) {
        status = fingerprint(stream->model, &print);
    }
    if (status == MT_OK) {
        status = save(stream, &values, print, end, path);
    }
    free(values.row);
    return status;
}

/* ---- loading ---- */

/* Tells if a field says what the model computes, whatever it was trained with. */
static bool is_compared(const mt_model_field *field)
{
    return field->of_weights
               ? field->offset != offsetof(mt_model_config, context_size) && !field->optional
               : field->type == MT_MODEL_SIZE;
}

static mt_status check_field(const char *path, const mt_model_field *field,
                             const mt_model_config *is, const mt_model_config *wanted)
{
    if (field->type == MT_MODEL_REAL) {
        double a = mt_model_field_real(field, is), b = mt_model_field_real(field, wanted);
        return a == b ? MT_OK
                      : mt_fail(MT_ERROR_INVALID,
                                "%s: the state of another model: %s %g, this one has %g", path,
                                field->attribute, a, b);
    }
    int64_t a = mt_model_field_whole(field, is), b = mt_model_field_whole(field, wanted);
    if (a != b && field->type == MT_MODEL_CHOICE) {
        return mt_fail(MT_ERROR_INVALID, "%s: the state of another model: %s %s, this one has %s",
                       path, field->attribute, field->choice((int)a), field->choice((int)b));
    }
    return a == b ? MT_OK
                  : mt_fail(MT_ERROR_INVALID,
                            "%s: the state of another model: %s %" PRId64 ", this one has %" PRId64,
                            path, field->attribute, a, b);
}

static mt_status check_config(const char *path, const mt_model_config *config, mt_dtype dtype,
                              const mt_model *model)
{
    mt_status status = MT_OK;
    if (dtype != model->parameters->dtype) {
        return mt_fail(MT_ERROR_INVALID, "%s: a state of %s, where the model has %s", path,
                       mt_dtype_name(dtype), mt_dtype_name(model->parameters->dtype));
    }
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++) {
        if (status == MT_OK && is_compared(field)) {
            status = check_field(path, field, config, &model->config);
        }
    }
    return status;
}

static void refuse_unknown(mt_archive *archive, const char *name, void *context)
{
    (void)context;
    if (strcmp(name, "state") != 0 && strcmp(name, "outputs") != 0) {
        mt_archive_fail(archive, name, "unknown: no part of a stream's state");
    }
}

static void read_array(mt_archive *archive, const char *name, mt_dtype dtype, int rank,
                       const int64_t *shape, size_t bytes, void *values)
{
    double value;
    mt_archive_check_array(archive, "/", name, dtype, rank, shape);
    mt_archive_read_rows(archive, "/", name, dtype, 0, shape[0], bytes, values);
    if (mt_archive_status(archive) != MT_OK) {
        return;
    }
    int64_t at =
        mt_first_not_finite(dtype, values, (int64_t)(bytes / mt_dtype_size(dtype)), &value);
    if (at >= 0) {
        mt_archive_fail(archive, name, "element %" PRId64 " is %g", at, value);
    }
}

static mt_status check_weights(const char *path, int64_t saved, const mt_model *model)
{
    int64_t print;
    mt_status status = fingerprint(model, &print);
    return status != MT_OK || print == saved
               ? status
               : mt_fail(MT_ERROR_INVALID,
                         "%s: the state of other weights of a model of the same sizes, or of these "
                         "in another type",
                         path);
}

static mt_status check_whose(mt_archive *archive, const char *path, const mt_model *model)
{
    mt_model_config config;
    mt_dtype dtype;
    mt_status status = mt_native_check_format(archive, STATE_FORMAT);
    if (status != MT_OK) {
        return status;
    }
    mt_model_attributes_read(archive, "/", &config, &dtype);
    int64_t weights = mt_archive_read_int(archive, "/", "weights");
    status = mt_archive_status(archive);
    if (status == MT_OK) {
        status = check_config(path, &config, dtype, model);
    }
    return status == MT_OK ? check_weights(path, weights, model) : status;
}

/* Everything but the row itself, which is changed last. */
static mt_stream_end load(mt_archive *archive, const char *path, const mt_model *model,
                          const state_values *values, void *outputs)
{
    mt_archive_keep(archive, check_whose(archive, path, model));
    mt_archive_visit(archive, "/", refuse_unknown, NULL);
    read_array(archive, "state", values->dtype, 2, values->shape, values->bytes, values->row);
    bool has_outputs = mt_archive_has(archive, "outputs");
    if (has_outputs && outputs != NULL) {
        read_array(archive, "outputs", values->dtype, 1, &values->width, values->output_bytes,
                   outputs);
    }
    int64_t position = mt_archive_read_int(archive, "/", "position");
    if (mt_archive_status(archive) == MT_OK && !is_position(position)) {
        mt_archive_fail(archive, "position", "%" PRId64 ", not in 0 .. %" PRId64, position,
                        last_position);
    }
    return (mt_stream_end){has_outputs ? outputs : NULL, position};
}

mt_status mt_stream_load_file(mt_stream *stream, int64_t row, const char *path, mt_stream_end *end)
{
    if (stream == NULL) {
        return mt_fail_null(__func__);
    }
    state_values values = {.row = NULL};
    mt_stream_end found = {NULL, 0};
    mt_archive *archive;
    mt_status status = stream_check_row(stream, row, 0);
    if (status == MT_OK) {
        status = make_values(stream, &values);
    }
    if (status == MT_OK) {
        status = mt_archive_open(path, &archive);
    }
    if (status == MT_OK) {
        found = load(archive, path, stream->model, &values, end->outputs);
        status = mt_archive_close(archive);
    }
    if (status == MT_OK) {
        status = mt_stream_load(stream, row, values.row);
    }
    if (status == MT_OK) {
        *end = found;
    }
    free(values.row);
    return status;
}
