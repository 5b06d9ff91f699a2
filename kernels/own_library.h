/* Libraries of Mixtape's own that are loaded when a program wants them, so that one binary serves
 * machines with and without what they stand on. Internal. */
#ifndef MT_KERNELS_OWN_LIBRARY_H
#define MT_KERNELS_OWN_LIBRARY_H

#include <limits.h>

/* What came of it. */
typedef struct mt_own_library {
    char folder[PATH_MAX];  /* where it was looked for first, with a slash */
    char problem[PATH_MAX]; /* what the loader says of one that is there; "" if there is none */
} mt_own_library;

/* Loads a library that stands beside the file that this code is in, a program or libmixtape.so, or
 * in the folder of libraries that is installed beside programs: nowhere that others could put one.
 * NULL: there is none that can be loaded. */
void *mt_own_library_load(const char *name, mt_own_library *told);

#endif
