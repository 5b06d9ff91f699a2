/* Text: the first byte chooses the unit, and if the vocabulary is given. What is read is, decoded,
 * the file's bytes but for a byte order mark. */
#include <mixtape/text.h>

#include "tests/fuzz/fuzz.h"

#include <string.h>

static const char *const letters[] = {"\n", " ", "a", "b", "ä", "€"};
enum { LETTERS = sizeof letters / sizeof *letters };

static void claim_same(const mt_text *text, const mt_token_list *vocabulary, mt_text_unit unit,
                       const uint8_t *bytes, size_t size)
{
    bool marked = unit == MT_TEXT_CHAR && size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0;
    size_t at = marked ? 3 : 0;
    for (int64_t i = 0; i < text->length; i++) {
        size_t length;
        CLAIM(text->ids[i] >= 0 && text->ids[i] < vocabulary->count);
        const char *symbol = mt_text_decode(vocabulary, unit, text->ids[i], &length);
        CLAIM(length <= size - at && memcmp(bytes + at, symbol, length) == 0);
        at += length;
    }
    CLAIM(at == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    mt_token_list *vocabulary = NULL;
    mt_text text;
    if (size == 0) {
        return 0;
    }
    mt_text_unit unit = (bytes[0] & 1) != 0 ? MT_TEXT_CHAR : MT_TEXT_BYTE;
    if ((bytes[0] & 2) != 0) {
        CLAIM(mt_token_list_create(LETTERS, letters, &vocabulary) == MT_OK);
    }
    const char *path = fuzz_file("text", bytes + 1, size - 1);
    if (fuzz_done(mt_text_load(path, unit, &vocabulary, &text))) {
        claim_same(&text, vocabulary, unit, bytes + 1, size - 1);
        mt_text_destroy(&text);
    }
    mt_token_list_destroy(vocabulary);
    return 0;
}
