/* Transcripts: the first byte chooses the unit, and if the list has <unk>. */
#include <mixtape/transcripts.h>

#include "tests/fuzz/fuzz.h"

static const char *const texts[] = {"<blank>", "a",  "b",         "ä",
                                    "<space>", "ab", "<sos/eos>", "<unk>"};
enum { TEXTS = sizeof texts / sizeof *texts };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    mt_token_list *tokens;
    mt_transcripts *transcripts;
    if (size == 0) {
        return 0;
    }
    int32_t count = (bytes[0] & 1) != 0 ? TEXTS : TEXTS - 1;
    mt_token_unit unit = (bytes[0] & 2) != 0 ? MT_TOKEN_CHAR : MT_TOKEN_WORD;
    CLAIM(mt_token_list_create(count, texts, &tokens) == MT_OK);
    const char *path = fuzz_file("text", bytes + 1, size - 1);
    if (fuzz_done(mt_transcripts_load(path, tokens, unit, &transcripts))) {
        CLAIM(transcripts->count > 0);
        for (int64_t i = 0; i < transcripts->count; i++) {
            const mt_transcript *item = &transcripts->items[i];
            CLAIM(item->length > 0 && item->utterance[0] != '\0');
            for (int64_t t = 0; t < item->length; t++) {
                CLAIM(item->labels[t] >= 0 && item->labels[t] < count);
            }
        }
        mt_transcripts_destroy(transcripts);
    }
    mt_token_list_destroy(tokens);
    return 0;
}
