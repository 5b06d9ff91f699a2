/* For tests that are linked with --wrap=pthread_create: threads that are not to be had. */
#ifndef MT_TESTS_ABSENT_THREADS_H
#define MT_TESTS_ABSENT_THREADS_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

static bool no_threads; /* from now on, as without memory for a stack, which errno tells, too */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*begin)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*begin)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*begin)(void *), void *context)
{
    if (no_threads) {
        errno = ENOMEM;
        return EAGAIN;
    }
    return __real_pthread_create(thread, attributes, begin, context);
}

#endif
