/* Whose kernels OpenBLAS runs. */
#ifndef MT_COMMAND_BLAS_KERNELS_H
#define MT_COMMAND_BLAS_KERNELS_H

/* Begins the program anew, as `argv` has it, where OpenBLAS would multiply at a third of what the
 * processor can; else, and if that cannot be done, it returns. */
void choose_blas_kernels(char **argv);

#endif
