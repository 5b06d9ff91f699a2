/* AMD's processors multiply by AVX512-BF16 at twice the rate of float32. Intel's do it at half that
 * rate, and are meant to use AMX, which a virtual machine may hide (docs/performance.md). */
#include "kernels/cpu/fast_bf16.h"

#ifdef __x86_64__

#include <cpuid.h>
#include <stdbool.h>
#include <stddef.h>

/* Tells if the processor has AMX, and the system lets programs use it. */
static bool has_amx(void)
{
    enum { AMX_BF16 = 1 << 22, TILES = 3 << 17 };
    unsigned eax, ebx, ecx, edx, kept, unused;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & AMX_BF16) == 0) {
        return false;
    }
    __asm__("xgetbv" : "=a"(kept), "=d"(unused) : "c"(0));
    return (kept & TILES) == TILES;
}

const char *mt_cpu_lacks_fast_bf16(void)
{
    if (!__builtin_cpu_supports("avx512bf16")) {
        return "the processor has no instructions for them (AVX512-BF16)";
    }
    return __builtin_cpu_is("intel") && !has_amx()
               ? "Intel's processors have fast ones by AMX alone, which is not to be had here"
               : NULL;
}

#else

const char *mt_cpu_lacks_fast_bf16(void)
{
    return "the processor is none of x86-64";
}

#endif
