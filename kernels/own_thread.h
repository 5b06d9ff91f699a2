/* Threads of the library's own, beside those of the program. Internal. */
#ifndef MT_KERNELS_OWN_THREAD_H
#define MT_KERNELS_OWN_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Begins a thread. Signals are for the program's own threads, but for those that a thread causes
 * itself. Returns false where none is to be had. */
bool mt_own_thread_begin(pthread_t *thread, void *(*work)(void *context), void *context);

/* A thread that looks after something: it calls a function again and again until it is ended, or
 * the function returns false. */
typedef struct mt_own_watch {
    pthread_t thread;
    pthread_mutex_t lock; /* of `ends` */
    pthread_cond_t told;
    bool has_thread, ends;
    int milliseconds;
    bool (*look)(void *context);
    void *context;
} mt_own_watch;

/* Begins, the first look so many milliseconds later. Returns false where no thread is to be had. */
bool mt_own_watch_begin(mt_own_watch *watch, int milliseconds, bool (*look)(void *context),
                        void *context);

/* Ends the thread, once a look at work is done; by another thread. Of a watch that was not begun,
 * and is all zeros, or was ended, it does nothing. */
void mt_own_watch_end(mt_own_watch *watch);

#endif
