/* OpenBLAS beneath the CPU's threads. Internal.
 *
 * The threads are ours, and each lets OpenBLAS compute a part alone. OpenBLAS needs a large buffer
 * for each of them at work, keeps those that it has, and where it gets none it asks for ever: so
 * products run on no more threads than there are buffers for. */
#ifndef MT_KERNELS_CPU_BLAS_H
#define MT_KERNELS_CPU_BLAS_H

#include <mixtape/error.h>

#include <stdbool.h>

/* A device begins to use OpenBLAS, which has a buffer for it then: MT_ERROR_MEMORY where it cannot;
 * and leaves it again. */
mt_status mt_blas_join(void);
void mt_blas_leave(void);

/* How many of so many threads may multiply at once for a device: 1 at least. */
int mt_blas_threads(int wanted);

/* Tells if OpenBLAS is a build whose threads are OpenMP's; also before it has started. */
bool mt_blas_is_on_openmp(void);

/* The processor whose kernels OpenBLAS runs, by its name for it, as "SkylakeX". */
const char *mt_blas_kernels(void);

/* Makes OpenBLAS work on the calling thread alone, and gives back what the thread had before. A
 * build on OpenMP would take all of OpenMP's threads. */
int mt_blas_alone(void);
void mt_blas_restore(int before);

/* Tells if there is address space for so many buffers more, and some to spare. It calls nothing but
 * the system. */
enum { MT_BLAS_BUFFER_MIB = 128 };
bool mt_blas_can_map(int buffers);

#endif
