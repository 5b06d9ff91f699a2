/* ESPnet's training configuration, as --espnet-config reads it. */
#include "tests/fuzz/fuzz.h"
#include "train/command/espnet_config.h"
#include "train/command/options.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    run_config config;
    options_defaults(&config);
    strcpy(config.task, "tokens");
    const train_arguments given = {.espnet_config = fuzz_file("train.yaml", bytes, size)};
    fuzz_done(espnet_config_read(&given, NULL, &config));
    run_config_clear(&config);
    return 0;
}
