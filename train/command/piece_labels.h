/* Labels of ESPnet's token lists, which a model of SentencePiece makes of text and text of labels:
 * its pieces are looked up in the list as they are spelt, since their ids are other numbers. */
#ifndef MT_COMMAND_PIECE_LABELS_H
#define MT_COMMAND_PIECE_LABELS_H

#include <mixtape/token_list.h>

#include "train/command/tokenizer_process.h"

#include <stdbool.h>

/* Pieces as the process gives them, each behind its length, of which there may be none. */
typedef struct piece_reader {
    const char *at, *end;
} piece_reader;

/* False behind the last. */
bool pieces_next(piece_reader *reader, const char **piece, size_t *length);

/* The pieces of all ids; the caller frees the bytes, after a failure, too. */
mt_status pieces_of_all(tokenizer_process *process, char **bytes, piece_reader *reader);

/* The list that ESPnet's recipes make of a model. The caller destroys it. */
mt_status piece_labels_make_list(tokenizer_process *process, mt_token_list **list);

/* MT_ERROR_INVALID, naming the first, where tokens of the list, but for symbols as <unk>, are no
 * pieces of the model, and where the list has less than half of those. `name` is the model's. */
mt_status piece_labels_check(tokenizer_process *process, const char *name,
                             const mt_token_list *list);

/* The first few pieces that a list lacks, as a message names them: "'a', 'b'". */
typedef struct unknown_pieces {
    int count;
    char names[160];
} unknown_pieces;

/* The labels of a text, and the text of labels, which the caller frees. Pieces that become <unk>
 * are added to `unknown`. */
mt_status piece_labels_encode(tokenizer_process *process, const mt_token_list *list,
                              const char *text, size_t size, unknown_pieces *unknown,
                              int32_t **labels, int64_t *count);
mt_status piece_labels_decode(tokenizer_process *process, const mt_token_list *list,
                              const int32_t *labels, int count, char **text, size_t *length);

#endif
