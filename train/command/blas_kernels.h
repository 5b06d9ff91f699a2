/* Makes OpenBLAS run the kernels that are for this processor. */
#ifndef MT_COMMAND_BLAS_KERNELS_H
#define MT_COMMAND_BLAS_KERNELS_H

#include <stdbool.h>

/* Begins the program anew, as `argv` has it, where OpenBLAS would multiply at a fourth of what the
 * processor can; else, and where the system does not let it, returns true. False where there is no
 * memory for it, which it has told then. */
bool choose_blas_kernels(char **argv);

#endif
