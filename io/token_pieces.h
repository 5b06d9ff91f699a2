/* Token lists of SentencePiece's sub-words. Internal. */
#ifndef MT_IO_TOKEN_PIECES_H
#define MT_IO_TOKEN_PIECES_H

#include <mixtape/token_list.h>

#include <stdbool.h>

/* What a piece has in place of the blank before a word: U+2581. */
#define MT_PIECE_MARK "\u2581"

/* Tells if tokens of the list begin with it. */
bool mt_token_list_has_pieces(const mt_token_list *list);

/* Tells if a text has it, as one that is split into pieces already. */
bool mt_text_has_piece_mark(const char *text, size_t length);

#endif
