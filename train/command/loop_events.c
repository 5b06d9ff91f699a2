/* What TensorBoard shows of a run: RUN/tensorboard/train and RUN/tensorboard/valid, with ESPnet's
 * names of curves. It is there to be looked at: what cannot be written ends no run. */
#include "train/command/loop_internal.h"
#include "train/command/ranks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A failure is told once, and nothing more is written. */
static void go_on(train_loop *loop, mt_status status)
{
    if (status != MT_OK) {
        progress_say(&loop->progress, "no more for TensorBoard: %s (the run goes on)",
                     mt_error_message());
        loop_events_close(loop);
    }
}

static bool writes(const train_loop *loop)
{
    return loop->training_events.path != NULL;
}

/* Markdown shows lines that are indented as they are. */
static mt_status write_configuration(train_loop *loop)
{
    const char *text = loop->config_text;
    size_t lines = 1, length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        lines += text[i] == '\n';
    }
    char *shown = malloc(length + 4 * lines + 1), *to = shown;
    if (shown == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for the configuration");
    }
    for (const char *line = text; *line != '\0';) {
        size_t size = strcspn(line, "\n") + 1;
        to += sprintf(to, "    %.*s", (int)size, line);
        line += line[size - 1] == '\n' ? size : size - 1;
    }
    *to = '\0';
    mt_status status =
        events_text(&loop->training_events, loop->state->step + 1, "configuration", shown);
    free(shown);
    return status;
}

void loop_events_open(train_loop *loop)
{
    char folder[TEXT_MAX], path[TEXT_MAX];
    if (!loop->session->config.tensorboard || !ranks_is_first()) {
        return;
    }
    mkdir(run_folder_file(loop->folder, "tensorboard", folder), 0777); /* or the next one fails */
    run_folder_file(loop->folder, "tensorboard/train", path);
    mt_status status = events_open(&loop->training_events, path, loop->state->step);
    if (status == MT_OK) {
        run_folder_file(loop->folder, "tensorboard/valid", path);
        status = events_open(&loop->validation_events, path, loop->state->step);
    }
    go_on(loop, status == MT_OK ? write_configuration(loop) : status);
}

void loop_events_close(train_loop *loop)
{
    events_close(&loop->training_events);
    events_close(&loop->validation_events);
}

void loop_events_add(train_loop *loop, const metrics_row *row)
{
    const event_scalar training[] = {{"loss", row->loss},
                                     {"acc", row->accuracy},
                                     {"grad_norm", row->grad_norm},
                                     {"optim0_lr0", row->lr},
                                     {"tokens_per_s", row->tokens_per_s}};
    if (writes(loop)) {
        go_on(loop, events_scalars(&loop->training_events, row->step,
                                   sizeof training / sizeof *training, training));
    }
    loop_events_add_validation(loop, row);
}

void loop_events_add_validation(train_loop *loop, const metrics_row *row)
{
    const event_scalar validation[] = {{"loss", row->val_loss}, {"acc", row->val_accuracy}};
    if (writes(loop) && !isnan(row->val_loss)) {
        go_on(loop, events_scalars(&loop->validation_events, row->step,
                                   sizeof validation / sizeof *validation, validation));
    }
}

/* ---- histograms ---- */

/* Of values in the host's memory, times a factor. What is not finite is not counted. */
static event_histogram histogram_of(mt_dtype dtype, int64_t n, const void *values, double factor)
{
    event_histogram made = {.least = INFINITY, .largest = -INFINITY};
    for (int pass = 0; pass < 2; pass++) {
        double width = made.largest - made.least;
        for (int64_t i = 0; i < n; i++) {
            double value = factor * (dtype == MT_F64 ? ((const double *)values)[i]
                                                     : (double)((const float *)values)[i]);
            if (!isfinite(value)) {
                continue;
            }
            if (pass == 0) {
                made.least = fmin(made.least, value);
                made.largest = fmax(made.largest, value);
                made.count += 1.0;
                made.sum += value;
                made.squares += value * value;
            } else {
                int bucket = width > 0.0 && isfinite(width)
                                 ? (int)((value - made.least) / width * EVENT_BUCKETS)
                                 : 0;
                made.buckets[bucket < EVENT_BUCKETS ? bucket : EVENT_BUCKETS - 1] += 1.0;
            }
        }
    }
    return made;
}

static mt_status add_histogram(train_loop *loop, const char *what, const mt_tensor *tensor,
                               const void *memory, double factor, void *values)
{
    char tag[32 + MT_NAME_MAX];
    int64_t n = mt_tensor_count(tensor);
    mt_status status = mt_device_read(tensor->device, values, memory, mt_tensor_bytes(tensor));
    if (status != MT_OK) {
        return status;
    }
    const event_histogram made = histogram_of(tensor->dtype, n, values, factor);
    snprintf(tag, sizeof tag, "%s/%s", what, tensor->name);
    return made.count > 0.0
               ? events_histogram(&loop->training_events, loop->state->step, tag, &made)
               : MT_OK;
}

void loop_events_add_histograms(train_loop *loop)
{
    const mt_parameters *parameters = session_trained(loop->session);
    double factor = 1.0 / (double)loop->session->config.accumulate;
    size_t most = 0;
    if (!writes(loop) || !loop->session->config.histograms) {
        return;
    }
    for (int i = 0; i < parameters->count; i++) {
        size_t bytes = mt_tensor_bytes(&parameters->items[i]->tensor);
        most = bytes > most ? bytes : most;
    }
    void *values = malloc(most);
    mt_status status =
        values != NULL ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes", most);
    for (int i = 0; i < parameters->count && status == MT_OK; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        status = add_histogram(loop, "weights", tensor, tensor->data, 1.0, values);
        if (status == MT_OK && tensor->has_grad) {
            status = add_histogram(loop, "gradients", tensor, tensor->grad, factor, values);
        }
    }
    free(values);
    go_on(loop, status);
}
