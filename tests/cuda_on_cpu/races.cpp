/* Volatile accesses are how blocks tell one another something while they run (one number at a time,
 * in one piece, in no order): atomic accesses that order nothing. ThreadSanitizer has the compiler
 * call these functions before each of them; a plain access to the same memory by another thread is
 * a race as ever. */
#include "tests/sanitizers.h"

#if WATCHES_THREADS
#define VOLATILE_ACCESSES(bytes, word)                                                             \
    void __tsan_volatile_read##bytes(void *at)                                                     \
    {                                                                                              \
        (void)__atomic_load_n(static_cast<word *>(at), __ATOMIC_RELAXED);                          \
    }                                                                                              \
    void __tsan_volatile_write##bytes(void *at) /* as a write that changes nothing */              \
    {                                                                                              \
        (void)__atomic_fetch_or(static_cast<word *>(at), 0, __ATOMIC_RELAXED);                     \
    }

extern "C" {
VOLATILE_ACCESSES(1, unsigned char)
VOLATILE_ACCESSES(2, unsigned short)
VOLATILE_ACCESSES(4, unsigned)
VOLATILE_ACCESSES(8, unsigned long)
}
#endif
