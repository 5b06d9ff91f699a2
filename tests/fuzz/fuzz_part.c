/* A part of a model, in HDF5 or safetensors. */
#include <mixtape/device.h>
#include <mixtape/part.h>

#include "tests/fuzz/apart.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/small_model.h"

static mt_model *model;

static void take(const uint8_t *bytes, size_t size)
{
    fuzz_done(mt_part_load(fuzz_file("part", bytes, size), SMALL_PART, model));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static mt_device *device;
    if (model == NULL) {
        mt_model_config config = small_model();
        CLAIM(mt_device_open("cpu", &device) == MT_OK);
        CLAIM(mt_model_create(device, MT_F32, &config, 1, &model) == MT_OK);
    }
    fuzz_apart(take, bytes, size);
    return 0;
}
