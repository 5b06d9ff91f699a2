/* What a token list has for mt_token_list_keep_whole. Internal. */
#ifndef MT_IO_TOKEN_WHOLE_H
#define MT_IO_TOKEN_WHOLE_H

#include <mixtape/token_list.h>

void mt_token_list_forget_whole(mt_token_list *list);

#endif
