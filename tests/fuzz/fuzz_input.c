/* What gzip compressed, or is told by its first bytes: as much is read as there may be, no more. */
#include "io/input.h"

#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    enum { MOST = 1 << 20 };
    char *found;
    size_t count;
    if (fuzz_done(mt_input_read(fuzz_file("text", bytes, size), MOST, &found, &count))) {
        CLAIM(count <= MOST && found[count] == '\0');
        CLAIM(count == size || (size > 2 && bytes[0] == 0x1F && bytes[1] == 0x8B));
        fuzz_done(mt_input_check_lines("text", found, count));
        free(found);
    }
    return 0;
}
