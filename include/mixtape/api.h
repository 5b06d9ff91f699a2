/* Marks for declarations. MT_API: the shared library exports it. Everything that is not so marked
 * is hidden. MT_PRINTF: the compiler checks arguments against the format. */
#ifndef MIXTAPE_API_H
#define MIXTAPE_API_H

#if defined(__GNUC__)
#define MT_API                 __attribute__((visibility("default")))
#define MT_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define MT_API
#define MT_PRINTF(text, first)
#endif

#endif
