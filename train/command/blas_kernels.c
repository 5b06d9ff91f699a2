/* OpenBLAS knows processors by their numbers. Before 0.3.25 it takes an Intel processor that came
 * after it for a Prescott, which had no AVX (its issue 4267): Debian 12's does so on many of
 * today's. It is told otherwise by OPENBLAS_CORETYPE alone, which it reads when it is loaded: that
 * is before the program begins. */
#include "train/command/blas_kernels.h"

#include <mixtape/device.h>

#include "kernels/cpu/blas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* By instructions, OpenBLAS's kernels for them. */
static const struct {
    const char *isa, *kernels;
} choices[] = {{"avx512", "SkylakeX"}, {"avx2", "Haswell"}};

bool choose_blas_kernels(char **argv)
{
    static const char variable[] = "OPENBLAS_CORETYPE";
    if (getenv(variable) != NULL || strcmp(mt_blas_kernels(), "Prescott") != 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (strcmp(choices[i].isa, mt_cpu_isa()) != 0) {
            continue;
        }
        if (setenv(variable, choices[i].kernels, 1) != 0) {
            fprintf(stderr, "mixtape: no memory to set %s\n", variable);
            return false;
        }
        execv("/proc/self/exe", argv);
    }
    return true;
}
