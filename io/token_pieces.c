#include "io/token_pieces.h"

#include <string.h>

bool mt_token_list_has_pieces(const mt_token_list *list)
{
    bool found = false;
    for (int32_t i = 0; i < list->count && !found; i++) {
        found = strncmp(list->tokens[i], MT_PIECE_MARK, strlen(MT_PIECE_MARK)) == 0;
    }
    return found;
}

bool mt_text_has_piece_mark(const char *text, size_t length)
{
    return memmem(text, length, MT_PIECE_MARK, strlen(MT_PIECE_MARK)) != NULL;
}
