#include "train/command/lost_ranks.h"

#include "kernels/communicator.h"
#include "kernels/own_thread.h"
#include "train/command/lines.h"
#include "train/command/verbs.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* A rank finds out by itself where it exchanges something, and others leave in order just before
 * this one ends its thread. */
enum { LOOK_MS = 200, LOOKS = 10 };

static mt_communicator *watched;
static FILE *told_to;
static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of `ends` */
static pthread_cond_t left = PTHREAD_COND_INITIALIZER;
static bool has_thread, ends;
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

/* Waits for the time of a look; false if that is to be none. */
static bool wait_for_look(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&lock);
    if (!ends) {
        pthread_cond_timedwait(&left, &lock, &until);
    }
    bool goes_on = !ends;
    pthread_mutex_unlock(&lock);
    return goes_on;
}

static void *watch(void *of)
{
    char words[256], message[300];
    int seen = 0;
    (void)of;
    while (wait_for_look()) {
        seen += watched->look(watched, sizeof words, words);
        if (seen == 1) { /* the first that was seen: others end because of it */
            snprintf(message, sizeof message, "communicator: %s", words);
        }
        if (seen > LOOKS) {
            lost_ranks_tell(watched, told_to, message);
        }
    }
    return NULL;
}

void lost_ranks_watch(mt_communicator *communicator, FILE *complaints)
{
    watched = communicator;
    told_to = complaints;
    ends = false;
    has_thread = communicator->look != NULL && mt_own_thread_begin(&thread, watch, NULL);
}

void lost_ranks_leave(void)
{
    if (has_thread) {
        pthread_mutex_lock(&lock);
        ends = true;
        pthread_cond_signal(&left);
        pthread_mutex_unlock(&lock);
        pthread_join(thread, NULL);
        has_thread = false;
    }
}
