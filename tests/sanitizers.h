/* Which sanitizer watches the build, as 1 or 0: GCC and clang tell it differently. */
#ifndef MT_TESTS_SANITIZERS_H
#define MT_TESTS_SANITIZERS_H

#if defined __clang__
#define WATCHES_ADDRESSES __has_feature(address_sanitizer)
#define WATCHES_THREADS   __has_feature(thread_sanitizer)
#else
#ifdef __SANITIZE_ADDRESS__
#define WATCHES_ADDRESSES 1
#else
#define WATCHES_ADDRESSES 0
#endif
#ifdef __SANITIZE_THREAD__
#define WATCHES_THREADS 1
#else
#define WATCHES_THREADS 0
#endif
#endif

#endif
