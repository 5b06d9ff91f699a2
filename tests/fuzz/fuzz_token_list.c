/* Token lists: what is read finds each token by its text. */
#include <mixtape/token_list.h>

#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    mt_token_list *list;
    if (fuzz_done(mt_token_list_load(fuzz_file("tokens.txt", bytes, size), &list))) {
        for (int32_t i = 0; i < list->count; i++) {
            CLAIM(mt_token_find(list, list->tokens[i], strlen(list->tokens[i])) == i);
        }
        mt_token_list_destroy(list);
    }
    return 0;
}
