/* The processes that train together (mixtape/communicator.h), of which this one is a rank. Each
 * does the same; rank 0 alone writes files and shows anything, but for a failure that the others do
 * not know of. What several are asked here, all of them ask, in the same order. A process that was
 * not started with others is rank 0 of 1. */
#ifndef MT_COMMAND_RANKS_H
#define MT_COMMAND_RANKS_H

#include <mixtape/communicator.h>

#include "train/run_config.h"

/* Where processes that were started by hand meet (mt_communicator_open_at). */
typedef struct ranks_meeting {
    const char *address; /* NULL: as the environment tells, and so is what follows */
    int rank, size;      /* -1 and 0: as the environment tells */
    double seconds;
} ranks_meeting;

/* Joins the others, and leaves them; what another rank than 0 prints leads nowhere from then on. */
mt_status ranks_open(const ranks_meeting *meeting);
void ranks_close(void);

/* What all do together is over: from here on a rank may end before another. */
void ranks_have_done(void);

/* NULL before ranks_open: who does not train has no ranks, and is the first of one. */
mt_communicator *ranks_communicator(void);
int ranks_count(void);
bool ranks_is_first(void);

/* Gives all ranks the failure of the lowest that failed. */
mt_status ranks_agree(mt_status status);

/* Tells if all ranks are at one place: after a status that none or all of them have. */
bool ranks_are_together(mt_status status);

/* MT_ERROR_INVALID on all ranks unless they have the same options, but for what a process computes
 * on: the first that differs, with its values. And unless they have the same data, by the digests
 * of an open session's configuration, and the same tokens and tokenizer, by another; devices of one
 * kind, since validations are cut by that; and all go on with a run, or none. */
mt_status ranks_compare(const run_config *config);
mt_status ranks_compare_data(const run_config *config);
mt_status ranks_compare_labels(const char digest[DIGEST_MAX]);
mt_status ranks_compare_device(const mt_device *device);
mt_status ranks_compare_resume(bool resumes);

/* Gives all ranks rank 0's bytes. */
mt_status ranks_share(void *bytes, size_t size);

/* Gives all ranks the largest of their numbers. */
mt_status ranks_largest(int count, int *numbers);

/* Reports a failure as report() does, once; one that the ranks have not agreed on names the rank
 * that is to tell it, and ends them all. Returns the exit status. */
int ranks_report(mt_status status);

#endif
