/* The training loop. */
#ifndef MT_COMMAND_LOOP_H
#define MT_COMMAND_LOOP_H

#include "train/command/session.h"
#include "train/run_folder.h"

/* The end that a run came to. */
typedef enum loop_end {
    LOOP_DONE,
    LOOP_OUT_OF_PATIENCE,
    LOOP_OUT_OF_TIME,
    LOOP_INTERRUPTED
} loop_end;

/* From here on SIGUSR1 asks a run to save and go on; before, it ends the program. */
void loop_catch_saving(void);

/* Trains a session from where `checkpoint` stands (NULL: from the start), saving as it goes. Takes
 * the checkpoint over, and closes it before it trains. `notice` is said at the start, unless it is
 * "". `folder` is locked where there is a checkpoint; else the run makes it. The caller closes it.
 *
 * SIGHUP, SIGINT, SIGTERM and SIGXCPU end the run after the step, or the batch of a validation, at
 * work, saved, and SIGUSR1 has it saved and go on. A save that fails for the disk's sake is told,
 * and tried again when the next is due; the last one has to succeed, and is read back. Whatever
 * happens, the folder holds a whole checkpoint once the first was written. */
mt_status loop_run(train_session *session, mt_checkpoint *checkpoint, const char *notice,
                   run_folder *folder, loop_end *end);

/* The signal that ended the run, 0 if none did. */
int loop_signal(void);

/* Prints input, target and prediction of the first sequences of the validation batches on standard
 * output, as a run of a toy task ends with; nothing for language tasks. They are computed on the
 * tape. Implemented in examples.c. */
mt_status examples_show(train_session *session, mt_tape *tape);

#endif
