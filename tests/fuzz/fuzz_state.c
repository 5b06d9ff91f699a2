/* The state of a stream: what is loaded can be saved, and is then the same. */
#include <mixtape/device.h>
#include <mixtape/stream.h>

#include "tests/fuzz/apart.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/small_model.h"

static mt_stream *stream;

static void take(const uint8_t *bytes, size_t size)
{
    float outputs[SMALL_VOCABULARY], again[SMALL_VOCABULARY];
    mt_stream_end end = {outputs, 0}, saved;
    const char *path = fuzz_path("again.h5");
    if (fuzz_done(mt_stream_load_file(stream, 0, fuzz_file("state", bytes, size), &end))) {
        CLAIM(mt_stream_save_file(stream, 0, &end, path) == MT_OK);
        saved = (mt_stream_end){again, 0};
        CLAIM(mt_stream_load_file(stream, 0, path, &saved) == MT_OK);
        CLAIM(saved.position == end.position && (saved.outputs == NULL) == (end.outputs == NULL));
        for (int i = 0; i < SMALL_VOCABULARY && end.outputs != NULL; i++) {
            CLAIM(outputs[i] == again[i]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static mt_device *device;
    static mt_model *model;
    if (device == NULL) {
        mt_model_config config = small_model();
        CLAIM(mt_device_open("cpu", &device) == MT_OK);
        CLAIM(mt_model_create(device, MT_F32, &config, 1, &model) == MT_OK);
        CLAIM(mt_stream_create(model, 1, &stream) == MT_OK);
    }
    fuzz_apart(take, bytes, size);
    return 0;
}
