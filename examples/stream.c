/* Streaming inside a program: labels go in one at a time, and what the model expects next comes
 * out. Two speakers share a batch; one of them begins anew while the other goes on.
 * `stream MODEL.h5` does it with a trained model, without it the model is untrained. */
#include <mixtape/mixtape.h>

#include <stdio.h>
#include <stdlib.h>

enum { SPEAKERS = 2, STEPS = 6 };

static mt_status open_model(mt_device *device, const char *path, mt_model **model)
{
    if (path == NULL) {
        mt_model_config config = mt_model_config_default(/* vocabulary */ 32, /* size */ 16);
        return mt_model_create(device, MT_F32, &config, 1, model);
    }
    mt_weights *weights;
    mt_status status = mt_weights_open(path, &weights);
    if (status == MT_OK) {
        status = mt_weights_model(weights, device, model);
        mt_weights_close(weights);
    }
    return status;
}

static int32_t likeliest(const double *logits, int64_t count)
{
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

static mt_status stream_labels(mt_model *model, mt_stream *stream, double *logits)
{
    int64_t width = mt_stream_width(stream);
    int32_t labels[SPEAKERS] = {1, 2};
    mt_status status = MT_OK;
    for (int step = 0; step < STEPS && status == MT_OK; step++) {
        if (step == STEPS / 2) {
            labels[1] = 2;
            status = mt_stream_reset(stream, 1);
        }
        if (status == MT_OK) {
            status = mt_stream_feed(stream, 1, labels, 1, logits);
        }
        if (status != MT_OK) {
            break;
        }
        mt_reals_widen(model->parameters->dtype, SPEAKERS * width, logits);
        for (int i = 0; i < SPEAKERS; i++) {
            int32_t next = likeliest(logits + i * width, width);
            printf("%s%d -> %d", i > 0 ? "    " : "", (int)labels[i], (int)next);
            labels[i] = next;
        }
        printf("\n");
    }
    return status;
}

int main(int count, char **arguments)
{
    mt_device *device = NULL;
    mt_model *model = NULL;
    mt_stream *stream = NULL;
    double *logits = NULL;
    mt_status status = mt_device_open("auto", &device);
    if (status == MT_OK) {
        status = open_model(device, count > 1 ? arguments[1] : NULL, &model);
    }
    if (status == MT_OK) {
        status = mt_stream_create(model, SPEAKERS, &stream);
    }
    if (status == MT_OK) {
        logits = malloc((size_t)(SPEAKERS * mt_stream_width(stream)) * sizeof *logits);
        status = logits != NULL ? stream_labels(model, stream, logits)
                                : mt_fail(MT_ERROR_MEMORY, "no memory for the logits");
    }
    if (status != MT_OK) {
        fprintf(stderr, "%s\n", mt_error_message());
    }
    free(logits);
    mt_stream_destroy(stream);
    mt_model_destroy(model);
    mt_device_close(device);
    return status == MT_OK ? 0 : 1;
}
