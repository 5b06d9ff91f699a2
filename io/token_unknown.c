#include "io/token_unknown.h"

#include <string.h>

int64_t mt_token_count_unknown(const mt_token_list *list, const int32_t *ids, int64_t count)
{
    int32_t unknown = list != NULL ? mt_token_find(list, "<unk>", strlen("<unk>")) : -1;
    int64_t found = 0;
    for (int64_t i = 0; i < count && unknown >= 0; i++) {
        found += ids[i] == unknown;
    }
    return found;
}

double mt_token_most_unknown(bool of_subwords)
{
    return of_subwords ? 0.01 : 0.5;
}
