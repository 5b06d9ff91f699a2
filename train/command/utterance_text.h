/* The text of an utterance of transcripts, for counting it. */
#ifndef MT_COMMAND_UTTERANCE_TEXT_H
#define MT_COMMAND_UTTERANCE_TEXT_H

#include "train/command/symbols.h"

/* Makes what stands behind an utterance's id, in place, the text that its symbols stand for:
 * without the blanks around it and, where it is made of words, with single ones between them;
 * `pieces` are put together to words. Returns where it begins. */
char *utterance_text(const text_symbols *symbols, char *text, bool pieces);

#endif
