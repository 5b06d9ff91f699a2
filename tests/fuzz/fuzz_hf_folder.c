/* The configuration and the index of a folder of Hugging Face's, with a blank line between them;
 * the two shards are always the same. What is opened can be read, and written as a folder. */
#include <mixtape/device.h>

#include "io/weights_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/small_model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "model/"

static mt_device *device;

static mt_arrays arrays_of_model(const mt_layout *layout)
{
    mt_model_config config = small_model();
    mt_arrays arrays;
    mt_model *model;
    config.norm.eps = layout->eps;
    config.bias = config.head_bias = false;
    config.output_size = config.vocab_size;
    CLAIM(mt_model_create(device, MT_F32, &config, 1, &model) == MT_OK);
    CLAIM(mt_weights_save(fuzz_path("whole.safetensors"), model, layout, NULL) == MT_OK);
    CLAIM(mt_arrays_read(fuzz_path("whole.safetensors"), NULL, NULL, &arrays) == MT_OK);
    mt_model_destroy(model);
    return arrays;
}

/* The shards a and b: half of the arrays each. */
static void write_shards(void)
{
    const mt_layout *layout;
    CLAIM(mt_device_open("cpu", &device) == MT_OK);
    CLAIM(mt_layout_parse("hf", &layout) == MT_OK);
    CLAIM(mkdir(fuzz_path("model"), 0777) == 0);
    mt_arrays arrays = arrays_of_model(layout);
    int64_t half = arrays.count / 2;
    mt_arrays first = {.items = arrays.items, .count = half};
    mt_arrays second = {.items = arrays.items + half, .count = arrays.count - half};
    CLAIM(mt_arrays_write(fuzz_path(FOLDER "a.safetensors"), &first) == MT_OK);
    CLAIM(mt_arrays_write(fuzz_path(FOLDER "b.safetensors"), &second) == MT_OK);
    mt_arrays_free(&arrays);
}

static void take(const mt_weights *weights)
{
    const char *again = fuzz_path("again");
    CLAIM(mt_model_config_check(&weights->config) == MT_OK);
    CLAIM(weights->config.vocab_size == SMALL_VOCABULARY);
    if (fuzz_done(mt_weights_export(weights, again, weights->layout, MT_STORED_BF16))) {
        mt_weights *read;
        CLAIM(mt_weights_open(again, &read) == MT_OK);
        CLAIM(mt_weights_check(read) == MT_OK);
        CLAIM(read->config.context_size == weights->config.context_size);
        mt_weights_close(read);
        CLAIM(unlink(fuzz_path("again/config.json")) == 0);
        CLAIM(unlink(fuzz_path("again/model.safetensors")) == 0);
        CLAIM(rmdir(fuzz_path("again")) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    mt_weights *weights;
    const uint8_t *blank = memmem(bytes, size, "\n\n", 2);
    size_t first = blank != NULL ? (size_t)(blank - bytes) : size;
    size_t rest = blank != NULL ? first + 2 : size;
    if (device == NULL) {
        write_shards();
    }
    fuzz_file(FOLDER "config.json", bytes, first);
    fuzz_file(FOLDER "model.safetensors.index.json", bytes + rest, size - rest);
    if (fuzz_done(mt_weights_open(fuzz_path("model"), &weights))) {
        take(weights);
    }
    mt_weights_close(weights);
    return 0;
}
