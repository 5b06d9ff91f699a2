/* Token ids, in any of their files. An input that begins as an index does is split: its last byte
 * tells how many of those before it are the .bin beside. */
#include "io/token_ids.h"
#include "tests/fuzz/apart.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <unistd.h>

enum { MOST_READ = 1 << 16 };

/* Documents follow one another and are all that there is. */
static void claim_documents(const mt_token_ids *ids, size_t size)
{
    int64_t end = 0, documents = mt_token_ids_documents(ids);
    const int64_t most_by_deflate = 1032;
    CLAIM(mt_token_ids_count(ids) > 0);
    CLAIM(mt_token_ids_count(ids) <= most_by_deflate * (int64_t)size);
    for (int64_t d = 0; d < documents; d++) {
        mt_ids_span document = mt_token_ids_document(ids, d);
        CLAIM(document.first == end && document.count >= 0);
        CLAIM(document.count == 0 || mt_token_ids_find(ids, end) == d);
        end += document.count;
        CLAIM(document.count == 0 || mt_token_ids_find(ids, end - 1) == d);
    }
    CLAIM(end == mt_token_ids_count(ids));
}

/* Whatever is read is below what was asked for; and so is the largest id. */
static void claim_ids(mt_token_ids *ids)
{
    static int32_t values[MOST_READ];
    int64_t largest;
    bool are_ids = fuzz_done(mt_token_ids_largest(ids, &largest));
    int64_t vocabulary = are_ids ? largest + 1 : MT_IDS_MOST;
    for (int64_t d = 0; d < mt_token_ids_documents(ids) && d < MOST_READ; d++) {
        mt_ids_span document = mt_token_ids_document(ids, d);
        int64_t count = document.count < MOST_READ ? document.count : MOST_READ;
        bool read = fuzz_done(mt_token_ids_read(ids, document.first, count, vocabulary, values));
        CLAIM(read || !are_ids);
        for (int64_t i = 0; i < count && read; i++) {
            CLAIM(values[i] >= 0 && values[i] < vocabulary);
        }
    }
}

static const char *write_files(const uint8_t *bytes, size_t size)
{
    bool is_index = size > 8 && memcmp(bytes + 1, "MIDIDX", 6) == 0;
    const char *index = fuzz_path("ids.idx"), *bin = fuzz_path("ids.bin");
    (void)unlink(index);
    if (!is_index) {
        return fuzz_file("ids.bin", bytes, size);
    }
    size_t of_bin = bytes[size - 1] < size - 1 ? bytes[size - 1] : size - 1;
    fuzz_file("ids.idx", bytes, size - 1 - of_bin);
    fuzz_file("ids.bin", bytes + size - 1 - of_bin, of_bin);
    return bin;
}

static void take(const uint8_t *bytes, size_t size)
{
    mt_token_ids *ids;
    const char *path = write_files(bytes, size);
    if (fuzz_done(mt_token_ids_open(&path, 1, MT_IDS_UNSAID, &ids))) {
        claim_documents(ids, size);
        claim_ids(ids);
        mt_token_ids_close(ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_apart(take, bytes, size);
    return 0;
}
