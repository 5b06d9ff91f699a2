#include "kernels/own_thread.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

bool mt_own_thread_begin(pthread_t *thread, void *(*work)(void *context), void *context)
{
    static const int own[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP, SIGXFSZ};
    sigset_t others, before;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        sigdelset(&others, own[i]);
    }
    pthread_sigmask(SIG_SETMASK, &others, &before);
    bool begun = pthread_create(thread, NULL, work, context) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return begun;
}

static bool wait_for_look(mt_own_watch *watch)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += watch->milliseconds * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&watch->lock);
    for (int error = 0; !watch->ends && error != ETIMEDOUT;) {
        error = pthread_cond_timedwait(&watch->told, &watch->lock, &until);
    }
    bool goes_on = !watch->ends;
    pthread_mutex_unlock(&watch->lock);
    return goes_on;
}

static void *look_again(void *of)
{
    mt_own_watch *watch = of;
    while (wait_for_look(watch) && watch->look(watch->context)) {
    }
    return NULL;
}

static void release(mt_own_watch *watch)
{
    pthread_cond_destroy(&watch->told);
    pthread_mutex_destroy(&watch->lock);
    watch->has_thread = false;
}

bool mt_own_watch_begin(mt_own_watch *watch, int milliseconds, bool (*look)(void *context),
                        void *context)
{
    pthread_condattr_t attributes;
    *watch = (mt_own_watch){.milliseconds = milliseconds, .look = look, .context = context};
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* which is never set */
    pthread_cond_init(&watch->told, &attributes);
    pthread_condattr_destroy(&attributes);
    watch->has_thread = mt_own_thread_begin(&watch->thread, look_again, watch);
    if (!watch->has_thread) {
        release(watch);
        return false;
    }
    return true;
}

void mt_own_watch_end(mt_own_watch *watch)
{
    if (!watch->has_thread) {
        return;
    }
    pthread_mutex_lock(&watch->lock);
    watch->ends = true;
    pthread_cond_signal(&watch->told);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    release(watch);
}
