/* config.yaml, as a run's configuration is read from its checkpoint: what is read is written, read
 * again, and the same. */
#include "tests/fuzz/fuzz.h"
#include "train/command/options.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    run_config config, again;
    char *text = malloc(size + 1), *written, *rewritten;
    CLAIM(text != NULL);
    memcpy(text, bytes, size);
    text[size] = '\0';
    options_defaults(&config);
    options_defaults(&again);
    if (fuzz_done(options_read_yaml(&config, text))) {
        CLAIM(options_write_yaml(&config, &written) == MT_OK);
        CLAIM(options_read_yaml(&again, written) == MT_OK);
        CLAIM(options_write_yaml(&again, &rewritten) == MT_OK);
        CLAIM(strcmp(written, rewritten) == 0);
        free(written);
        free(rewritten);
    }
    run_config_clear(&again);
    run_config_clear(&config);
    free(text);
    return 0;
}
