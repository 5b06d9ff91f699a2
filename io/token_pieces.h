/* Token lists of SentencePiece's sub-words. Internal. */
#ifndef MT_IO_TOKEN_PIECES_H
#define MT_IO_TOKEN_PIECES_H

#include <mixtape/token_list.h>

#include <stdbool.h>

/* What a piece has in place of the blank before a word: U+2581. */
#define MT_PIECE_MARK "\u2581"

/* Tells if tokens of the list begin with it. */
bool mt_token_list_has_pieces(const mt_token_list *list);

#endif
