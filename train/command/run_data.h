/* The data that a run began with, known again when it goes on: files by their digests, which stand
 * in its configuration. Of a file above 64 MiB a digest has the length, the sum of a thousand
 * pieces from all over it, and the time when it was written. */
#ifndef MT_COMMAND_RUN_DATA_H
#define MT_COMMAND_RUN_DATA_H

#include "train/command/session.h"

/* Notes the digests of the data's files in the session's configuration, and which came through
 * pipes. MT_ERROR_INVALID where it has another digest already: the file changed under its name, in
 * more than its time. Runs of 0.1.0 noted none. */
mt_status run_data_note(train_session *session);

/* A digest of what labels stand for: the task's tokens, and the tokenizer that makes them. */
void run_data_of_labels(const train_session *session, char digest[DIGEST_MAX]);

/* Tells if two digests are of the same bytes, as far as they tell. */
bool run_data_are_same(const char *a, const char *b);

/* For a session that could not be opened, with `status`: fails as run_data_note does where the data
 * changed, which goes before what they hold. Returns `status` where they did not, where the task
 * does not read them to memory, and where they cannot be read again. */
mt_status run_data_blame(const run_config *config, mt_status status);

/* Says on standard error which of the data that the session validates on are no longer what they
 * were when its run was saved. */
mt_status run_data_tell_changed(const train_session *session);

/* Forgets the digest of the files that an option names, which are others from here on. */
void run_data_forget(run_config *config, const char *option);

/* Tells if two runs are trained on the same part of the same files. */
bool run_data_trains_on_same(const run_config *a, const run_config *b);

enum { RUN_DATA_TEXT = 256 };

/* Says in one line what a run that began as `former` and goes on as the session trains or validates
 * on otherwise, "" where it is the same; and begins the best loss and patience of `state` anew
 * where its validations are no longer those of the same data. Tells if both are of the same files,
 * held out in the same way. */
bool run_data_compare(const run_config *former, const train_session *session, mt_train_state *state,
                      char text[RUN_DATA_TEXT]);

#endif
