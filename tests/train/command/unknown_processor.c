/* Preloaded, it stands for an OpenBLAS that does not know the processor, and reads what it is told
 * when it is loaded. */
#include <stdlib.h>

const char *openblas_get_corename(void);

static const char *told;

__attribute__((constructor)) static void load(void)
{
    told = getenv("OPENBLAS_CORETYPE");
}

const char *openblas_get_corename(void)
{
    return told != NULL ? told : "Prescott";
}
