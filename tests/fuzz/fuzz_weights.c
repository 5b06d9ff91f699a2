/* Files of weights: checkpoints, exchange files and those of other programs, HDF5 or safetensors.
 * What is opened can be read whole, made a model of, and saved; and what was saved is opened. */
#include <mixtape/checkpoint.h>
#include <mixtape/device.h>

#include "tests/fuzz/apart.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static const int64_t most_values = 1 << 20; /* of what is made a model of */

static mt_device *device;

static void read_values(const mt_weights *weights)
{
    size_t size = mt_dtype_size(weights->dtype);
    for (int i = 0; i < weights->parameters->count; i++) {
        const mt_parameter *parameter = weights->parameters->items[i];
        const mt_tensor *tensor = &parameter->tensor;
        void *values = malloc((size_t)mt_tensor_count(tensor) * size);
        CLAIM(values != NULL);
        fuzz_done(mt_weights_read(weights, parameter, 0, tensor->rank > 0 ? tensor->shape[0] : 1,
                                  values));
        free(values);
    }
}

static void restore(const mt_checkpoint *checkpoint)
{
    mt_model *model;
    mt_adam *adam = NULL;
    if (!fuzz_done(mt_weights_model(checkpoint->weights, device, &model))) {
        return;
    }
    if (checkpoint->has_optimizer && !model->parameters->frozen) {
        CLAIM(mt_adam_create(model->parameters, checkpoint->adam, &adam) == MT_OK);
    }
    fuzz_done(mt_checkpoint_restore(checkpoint, model, adam));
    mt_adam_destroy(adam);
    mt_model_destroy(model);
}

static void save_and_open(const mt_checkpoint *checkpoint)
{
    mt_checkpoint *again;
    const char *path = fuzz_path("again");
    if (fuzz_done(mt_checkpoint_convert(checkpoint->weights, path, &checkpoint->state,
                                        checkpoint->run_config))) {
        CLAIM(mt_checkpoint_load(path, &again) == MT_OK);
        CLAIM(mt_checkpoint_check(again) == MT_OK);
        CLAIM(again->weights->parameters->count == checkpoint->weights->parameters->count);
        mt_checkpoint_destroy(again);
    }
    for (int i = 0; mt_layouts[i].name != NULL; i++) {
        path = fuzz_path(i % 2 == 0 ? "again.h5" : "again.safetensors");
        if (fuzz_done(mt_weights_convert(checkpoint->weights, path, &mt_layouts[i]))) {
            CLAIM(mt_checkpoint_load(path, &again) == MT_OK);
            CLAIM(mt_checkpoint_check(again) == MT_OK);
            mt_checkpoint_destroy(again);
        }
    }
}

static void take(const uint8_t *bytes, size_t size)
{
    mt_checkpoint *checkpoint;
    if (fuzz_done(mt_checkpoint_load(fuzz_file("weights", bytes, size), &checkpoint))) {
        read_values(checkpoint->weights);
        if (mt_parameters_size(checkpoint->weights->parameters) <= most_values) {
            restore(checkpoint);
            save_and_open(checkpoint);
        }
        mt_checkpoint_destroy(checkpoint);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (device == NULL) {
        CLAIM(mt_device_open("cpu", &device) == MT_OK);
    }
    fuzz_apart(take, bytes, size);
    return 0;
}
