/* OpenBLAS knows processors by their numbers. Before 0.3.25 it takes many that came after it for a
 * Prescott, which had no AVX (its issue 4267): Debian 12's does so on many of Intel's. It is told
 * otherwise by OPENBLAS_CORETYPE alone, which it reads when it is loaded: before main. */
#include "train/command/blas_kernels.h"

#include <mixtape/device.h>

#include "kernels/cpu/blas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* By instructions, OpenBLAS's kernels for them. */
static const struct {
    const char *isa, *kernels;
} choices[] = {{"avx512", "SkylakeX"}, {"avx2", "Haswell"}};

/* Who began the dynamic loader by hand, with the program as its argument, has a loader that had
 * none, and is not to be begun as it was. */
static bool may_begin_anew(void)
{
    return getauxval(AT_BASE) != 0;
}

bool choose_blas_kernels(char **argv)
{
    static const char variable[] = "OPENBLAS_CORETYPE";
    if (getenv(variable) != NULL || strcmp(mt_blas_kernels(), "Prescott") != 0 ||
        !may_begin_anew()) {
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
        unsetenv(variable);
    }
    return true;
}
