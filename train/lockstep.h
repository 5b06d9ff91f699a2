/* Sequences that go through a model side by side, a label of each in a step, whatever their
 * lengths: a row reads the labels that it was given, goes on with what is chosen behind them, and
 * ends; the next sequence takes its place. So a step has as many rows as there are sequences, and
 * none is padded. Internal.
 *
 *     lockstep_begin(rows, row, whose, prompt, count);        for each row
 *     while (lockstep_feed(rows) == MT_OK) {
 *         const void *logits = lockstep_logits(rows, row);    for each row; NULL: it still reads
 *         lockstep_read(rows, row, &chosen, 1);               or lockstep_end, lockstep_begin
 *     }
 */
#ifndef MT_TRAIN_LOCKSTEP_H
#define MT_TRAIN_LOCKSTEP_H

#include <mixtape/stream.h>

typedef struct lockstep lockstep;

/* At least `rows` rows, all empty: more where WKV takes no such number of them, or a product is no
 * slower for it. The model has labels and outlives the rows; it serves one thread with them.
 * MT_ERROR_MEMORY, and what mt_stream_create gives; `*made` is NULL after a failure. The caller
 * destroys it. */
mt_status lockstep_create(mt_model *model, int64_t rows, lockstep **made);
void lockstep_destroy(lockstep *rows); /* NULL is allowed */

int64_t lockstep_count(const lockstep *rows);

/* Begins a sequence in a row, in place of what it held, with one label or more to be read; gives a
 * row that has read all of its labels more of them; and leaves a row empty. The labels are the
 * caller's, and stay until they were read. `owner` tells the caller whose row it is; NULL of an
 * empty one. */
mt_status lockstep_begin(lockstep *rows, int64_t row, void *owner, const int32_t *labels,
                         int64_t count);
void *lockstep_owner(const lockstep *rows, int64_t row);
void lockstep_read(lockstep *rows, int64_t row, const int32_t *labels, int64_t count);
void lockstep_end(lockstep *rows, int64_t row);

/* Feeds the next label of each row; all that are not empty have one. What an empty row is fed
 * changes nothing but the time. */
mt_status lockstep_feed(lockstep *rows);

/* What the model says behind a row's last label, mt_stream_width values in its type, until the next
 * step; NULL of an empty row, and while there are labels left. */
const void *lockstep_logits(const lockstep *rows, int64_t row);

/* Gives up empty rows, as far as fewer make a step faster. Those that are left have other numbers
 * then, and no logits until the next step. After a failure the rows are as they were. */
mt_status lockstep_shrink(lockstep *rows);

#endif
