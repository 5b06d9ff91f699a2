/* Labels of a text that are not in its token list. Internal. */
#ifndef MT_IO_TOKEN_UNKNOWN_H
#define MT_IO_TOKEN_UNKNOWN_H

#include <mixtape/token_list.h>

#include <stdbool.h>

/* How many of the ids are that of <unk>; none, where the list has none, or is NULL. */
int64_t mt_token_count_unknown(const mt_token_list *list, const int32_t *ids, int64_t count);

/* The share of <unk> above which a text is hardly of the list, or cut in another way: of sub-words
 * hardly anything is unknown in a text that is split into them, but most of one that is not. */
double mt_token_most_unknown(bool of_subwords);

#endif
