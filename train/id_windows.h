/* Windows of token ids, cut from documents: at random places to train on, consecutive ones to
 * validate on. A window of T steps is T + 1 ids, the last of which is a target alone. No window
 * crosses the border of a document: where that is shorter, so is the window. */
#ifndef MT_TRAIN_ID_WINDOWS_H
#define MT_TRAIN_ID_WINDOWS_H

#include <mixtape/random.h>

#include "io/token_ids.h"

/* The ids that one split has: from `first` to before `end`. */
typedef struct id_part {
    mt_token_ids *ids;
    int64_t first, end;
} id_part;

/* Cuts off the last `share` of the ids to validate on, whole documents where they have
 * borders and there are several. MT_ERROR_INVALID where nothing would be left on a side. */
mt_status id_part_split(mt_token_ids *ids, double share, id_part *train, id_part *valid);

/* Tells if a document has two ids, of which the first may tell the second. */
bool id_part_has_window(const id_part *part);

/* A window at a random place: a document is chosen in proportion to its length, then a place in it.
 * MT_ERROR_INVALID where no document seems to have two ids. */
mt_status id_part_draw(const id_part *part, int64_t T, mt_random *random, mt_ids_span *window);

/* The consecutive windows of a document of the part, from its first id on: how many, and one of
 * them, of two ids or more. */
int64_t id_part_windows(const id_part *part, int64_t T, int64_t document);
mt_ids_span id_part_window(const id_part *part, int64_t T, int64_t document, int64_t number);

/* The consecutive windows of a part. They are counted once for each thousand documents. */
typedef struct id_windows {
    id_part part;
    int64_t T, count, first_document, end_document;
    int64_t *before; /* how many there are before each block of documents */
} id_windows;

/* Counts them. On failure, which is MT_ERROR_MEMORY, there is nothing to free. */
mt_status id_windows_make(const id_part *part, int64_t T, id_windows *windows);
void id_windows_free(id_windows *windows);

/* Window number 0 .. count - 1, of two ids or more. */
mt_ids_span id_windows_at(const id_windows *windows, int64_t number);

#endif
