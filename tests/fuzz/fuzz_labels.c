/* The labels that `mixtape forward --input` reads. */
#include "tests/fuzz/apart.h"
#include "tests/fuzz/fuzz.h"
#include "train/command/labels.h"

#include <stdlib.h>

static void take(const uint8_t *bytes, size_t size)
{
    int64_t shape[MT_MAX_RANK];
    int32_t *labels;
    if (fuzz_done(labels_read(fuzz_file("labels", bytes, size), shape, &labels))) {
        CLAIM(shape[0] > 0 && shape[1] > 0 && shape[0] <= (int64_t)size / shape[1]);
    }
    free(labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_apart(take, bytes, size);
    return 0;
}
