/* The main function of a fuzzer where there is no libFuzzer: gives it each file that is named, or
 * of a folder that is. */
#include "io/file.h"
#include "tests/fuzz/fuzz.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static int replayed;

static int replay(const char *path, const struct stat *info, int type, struct FTW *at)
{
    char *bytes;
    size_t size;
    (void)info;
    (void)at;
    if (type != FTW_F) {
        return 0;
    }
    fuzz_claim(mt_file_read(path, &bytes, &size) == MT_OK, "an input can be read");
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput((const uint8_t *)bytes, size);
    free(bytes);
    replayed++;
    return 0;
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        if (nftw(arguments[i], replay, 8, FTW_PHYS) != 0) {
            perror(arguments[i]);
            return EXIT_FAILURE;
        }
    }
    printf("%d inputs\n", replayed);
    return replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
