/* Libraries of Mixtape's own that are loaded when a program wants them, so that one binary serves
 * machines with and without what they stand on. Internal. */
#ifndef MT_KERNELS_OWN_LIBRARY_H
#define MT_KERNELS_OWN_LIBRARY_H

#include <limits.h>

/* What came of it. */
typedef struct mt_own_library {
    char folder[PATH_MAX];  /* where it was looked for first, with a slash */
    char problem[PATH_MAX]; /* what is wrong with one that is there; "" if there is none */
} mt_own_library;

/* Of any type, to be cast to its own. */
typedef void mt_own_function(void);

/* Of a macro, what it stands for. */
#define MT_NAME_OF(macro)  MT_NAME_OF_(macro)
#define MT_NAME_OF_(macro) #macro

/* A function of a library that stands beside the file that this code is in, a program or
 * libmixtape.so, or in the folder of libraries that is installed beside programs: nowhere that
 * others could put one. NULL: there is none that can be loaded, or none of this version, whose
 * function has another name. */
mt_own_function *mt_own_library_function(const char *name, const char *function,
                                         mt_own_library *told);

#endif
