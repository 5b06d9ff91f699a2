#include "train/command/lost_ranks.h"

#include "kernels/communicator.h"
#include "kernels/own_thread.h"
#include "train/command/lines.h"
#include "train/command/verbs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

/* A rank finds out by itself where it exchanges something, and others leave in order just before
 * this one ends its thread. */
enum { LOOK_MS = 200, LOOKS = 10 };

static mt_communicator *watched;
static FILE *told_to;
static mt_own_watch watch;
static int seen;              /* looks by which others have ended */
static char first_words[300]; /* of the first, as others end because of it */
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER; /* whoever has it ends the program */

void lost_ranks_tell(mt_communicator *communicator, FILE *complaints, const char *message)
{
    pthread_mutex_lock(&telling);
    if (mt_communicator_is_to_tell(communicator)) {
        print_line(complaints, "mixtape: rank %d: %s", mt_communicator_rank(communicator), message);
    }
    mt_communicator_end_all(communicator, EXIT_FAILED);
    pthread_mutex_unlock(&telling);
}

static bool look(void *context)
{
    char words[256];
    (void)context;
    seen += watched->look(watched, sizeof words, words);
    if (seen == 1) {
        snprintf(first_words, sizeof first_words, "communicator: %s", words);
    }
    if (seen > LOOKS) {
        lost_ranks_tell(watched, told_to, first_words);
    }
    return true;
}

void lost_ranks_watch(mt_communicator *communicator, FILE *complaints)
{
    watched = communicator;
    told_to = complaints;
    seen = 0;
    if (communicator->look != NULL) {
        mt_own_watch_begin(&watch, LOOK_MS, look, NULL);
    }
}

void lost_ranks_leave(void)
{
    mt_own_watch_end(&watch);
}
