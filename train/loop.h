/* The training loop. */
#ifndef MT_TRAIN_LOOP_H
#define MT_TRAIN_LOOP_H

#include "train/session.h"

/* How a run ended. */
typedef enum loop_end { LOOP_DONE, LOOP_OUT_OF_PATIENCE, LOOP_INTERRUPTED } loop_end;

/* Trains a session from where `checkpoint` stands (NULL: from the start, in a new folder; else in
 * `folder`), saving as it goes. SIGINT and SIGTERM end it after the step at work, saved. Whatever
 * happens, the run's folder holds a whole checkpoint once the first was written. */
mt_status loop_run(train_session *session, const mt_checkpoint *checkpoint, const char *folder,
                   loop_end *end);

/* The signal that ended the run, 0 if none did. */
int loop_signal(void);

#endif
