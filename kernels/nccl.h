/* What sums arrays of several GPUs, and gives them to one another: the little that is asked of
 * NCCL. kernels/nccl/library.c fills it in; that file alone is compiled with NCCL's header, into a
 * library of its own, which names libnccl.so.2. It includes nothing else of Mixtape's.
 *
 * Nothing here waits for another process, but for `abort`, which waits for what the GPU does: what
 * was begun is asked after with `state`. Functions return NULL, or what failed, in words that live
 * as long as the program. Those of one context are called by one thread at a time. */
#ifndef MT_KERNELS_NCCL_H
#define MT_KERNELS_NCCL_H

#include <stdbool.h>
#include <stddef.h>

enum { MT_NCCL_ID_BYTES = 128 };

typedef struct mt_nccl {
    int version; /* 22803: 2.28.3 */

    /* By rank 0, for all of them to open with. */
    const char *(*make_id)(unsigned char id[MT_NCCL_ID_BYTES]);

    /* Begins to connect the GPU that is the calling thread's. */
    const char *(*open)(int rank, int size, const unsigned char id[MT_NCCL_ID_BYTES],
                        void **context);

    /* Tells if what was begun is still at work, or what failed, beside a call too. */
    const char *(*state)(void *context, bool *at_work);

    /* Begins to put the sum over all ranks of n float32 or float64 on a stream (a cudaStream_t), in
     * place of what is summed. */
    const char *(*sum)(void *context, bool is_double, size_t n, void *values, void *stream);

    /* Begin, on a stream, to give all ranks each one's part, rank r's being the `part` bytes from
     * r part on, and to give them one rank's bytes. */
    const char *(*gather)(void *context, size_t part, void *memory, void *stream);
    const char *(*broadcast)(void *context, int root, size_t bytes, void *memory, void *stream);

    /* Begins to end, of all ranks, once what they began is done; `close` follows. */
    const char *(*finish)(void *context);
    void (*close)(void *context);

    /* Ends what is at work, whose values are lost, and closes. */
    void (*abort)(void *context);
} mt_nccl;

/* The one function of the library, whose name changes whenever this header does. */
#define MT_NCCL_LIBRARY mt_nccl_library_2
typedef const char *mt_open_nccl(mt_nccl *nccl);

#endif
