/* World lists: each piece is found by its text, and a text that is encoded comes back. */
#include "io/world.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* A text that has pieces for all its bytes is made of them. */
static void claim_encoded(const mt_world *world, const char *text, size_t length)
{
    int32_t *ids;
    int64_t count;
    if (!fuzz_done(mt_world_encode(world, text, length, &ids, &count))) {
        return;
    }
    size_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        size_t size;
        const char *piece = mt_world_piece(world, ids[i], &size);
        CLAIM(piece != NULL && size > 0 && size <= length - at);
        CLAIM(memcmp(piece, text + at, size) == 0);
        at += size;
    }
    CLAIM(at == length);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    mt_world *world;
    const char *text = (const char *)bytes;
    (void)mt_world_is_list(text, size);
    if (fuzz_done(mt_world_read("world.txt", text, size, &world))) {
        CLAIM(mt_world_size(world) > 1);
        for (int64_t id = 0; id < mt_world_size(world); id++) {
            size_t length;
            const char *piece = mt_world_piece(world, (int32_t)id, &length);
            CLAIM(piece == NULL || mt_world_find(world, piece, length) == id);
        }
        claim_encoded(world, text, size);
        mt_world_destroy(world);
    }
    return 0;
}
