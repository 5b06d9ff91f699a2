/* Threads of the library's own, beside those of the program. Internal. */
#ifndef MT_KERNELS_OWN_THREAD_H
#define MT_KERNELS_OWN_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Begins a thread. Signals are for the program's own threads, but for those that a thread causes
 * itself. Returns false where none is to be had. */
bool mt_own_thread_begin(pthread_t *thread, void *(*work)(void *context), void *context);

#endif
