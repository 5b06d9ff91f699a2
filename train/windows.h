/* Batches with what they carry: looked up, handed from one to the next, and the loss of several
 * through which gradients flow. For the trainer, mt_evaluate and mt_replay. Internal. */
#ifndef MT_TRAIN_WINDOWS_H
#define MT_TRAIN_WINDOWS_H

#include <mixtape/trainer.h>

/* A batch, and (rows) int32 by which its rows are looked up in a table of what is carried: a row's
 * own number, or that of the empty row behind the others. NULL: nothing is carried. */
typedef struct window {
    mt_batch batch;
    mt_tensor *rows;
} window;

/* Windows of one loss, in the order of time. */
typedef struct windows {
    const mt_objective *objective;
    int64_t count;
    window *items;
    mt_tensor empty; /* (1, width), of the table at hand */
    bool counted;    /* the objective's loss has counts */
} windows;

/* MT_ERROR_INVALID unless it can be carried, or is nothing. */
mt_status carried_check(const mt_carried *carried);

/* A table (rows + 1, width) of what is carried, in device memory of its own, whose rows are all
 * empty, the last of them for good; or one without data, where nothing is carried. On failure there
 * is nothing to free. */
mt_status carried_table_make(mt_device *device, const mt_carried *carried, int64_t rows,
                             mt_tensor *table);
void carried_table_free(mt_tensor *table);

/* Puts batch number `index` on the tape behind what is there, with rows `first` .. first + count -
 * 1 of what is carried looked up in a table of these alone. `scratch` has room for `count`. */
mt_status window_put(const mt_objective *objective, mt_tape *tape, int64_t index, window *put);
mt_status window_put_rows(const mt_objective *objective, mt_tape *tape, int64_t first,
                          int64_t count, int32_t *scratch, window *put);

/* Their loss and counts, as objective_loss has them, and in `after` what is carried on, (rows,
 * width): from a table (rows + 1, width) on the tape's device, NULL where nothing is carried. The
 * windows stay where they are until backward is over. */
mt_status windows_loss(windows *of, mt_tape *tape, mt_tensor *table, mt_tensor **loss,
                       mt_tensor **counts, mt_tensor **after);

#endif
