/* Consecutive windows of documents, laid one behind the other and cut into lanes of equal length,
 * one for each row of a batch: the windows that follow one another in a row do so in a document, so
 * that a state can be carried from batch to batch. */
#ifndef MT_TRAIN_LANES_H
#define MT_TRAIN_LANES_H

#include "train/run_config.h"

/* What is laid: documents, and how many windows each has, which may be none. */
typedef struct lane_source {
    const void *context;
    int64_t documents;
    int64_t (*windows_of)(const void *context, int64_t document);
} lane_source;

/* A window by its number in its document; number -1: none, behind the end of the last lane. */
typedef struct lane_window {
    int64_t document, number;
} lane_window;

typedef struct lanes lanes;

/* Lanes of all windows to train on, in an order of documents that the seed and the number of the
 * pass determine: batch i of a pass has the windows i of its lanes, and the pass that follows goes
 * on with the next batch. What is left of windows when each lane has as many, fewer than --batch,
 * is not in that pass. MT_ERROR_INVALID where there is no window for each row.
 *
 * 16 bytes are held for each document, and the source's context stays where it is. */
mt_status lanes_to_train(const run_config *config, const lane_source *source, lanes **made);

/* Lanes of the windows that a validation has: the first of all, in their order. */
mt_status lanes_to_validate(const run_config *config, const lane_source *source, lanes **made);
void lanes_free(lanes *of); /* NULL is allowed */

/* The window of a batch's row. Rows begin where a document does, and where a lane does; they are
 * noted in `begins`, --batch of them. */
lane_window lanes_at(lanes *of, int64_t index, int64_t row);
const bool *lanes_begins(const lanes *of);

#endif
