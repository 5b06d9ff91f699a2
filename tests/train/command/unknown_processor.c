/* Preloaded, it stands for an OpenBLAS that does not know the processor. */
#include <stdlib.h>

const char *openblas_get_corename(void);

const char *openblas_get_corename(void)
{
    const char *told = getenv("OPENBLAS_CORETYPE");
    return told != NULL ? told : "Prescott";
}
