#include "kernels/cpu/device.h"
#include "kernels/cpu/summed_copy.h"

#ifdef MT_CPU_HAS_AVX2
#include <cpuid.h>
#endif
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DECLARE(isa)                                                                               \
    extern const mt_kernels mt_cpu_kernels_##isa##_f32, mt_cpu_kernels_##isa##_f64,                \
        mt_cpu_kernels_##isa##_bf16, mt_cpu_kernels_##isa##_f16;                                   \
    extern mt_summed_copy mt_cpu_summed_copy_##isa##_f32, mt_cpu_summed_copy_##isa##_f64
#define TABLES(isa)                                                                                \
    {[MT_F32] = &mt_cpu_kernels_##isa##_f32,                                                       \
     [MT_F64] = &mt_cpu_kernels_##isa##_f64,                                                       \
     [MT_BF16] = &mt_cpu_kernels_##isa##_bf16,                                                     \
     [MT_F16] = &mt_cpu_kernels_##isa##_f16},                                                      \
        mt_cpu_summed_copy_##isa##_f32, mt_cpu_summed_copy_##isa##_f64

DECLARE(baseline);

#ifdef MT_CPU_HAS_AVX2
/* Of these instructions __builtin_cpu_supports tells nothing in every compiler. */
static int has_f16c(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

#ifdef MT_CPU_HAS_AVX2
DECLARE(avx2);

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2") && has_f16c();
}
#endif

#ifdef MT_CPU_HAS_AVX512
DECLARE(avx512);

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd") && has_avx2();
}
#endif

static int always(void)
{
    return 1;
}

/* The best first: a processor that has one has all behind it. */
static const mt_cpu_isa_build builds[] = {
#ifdef MT_CPU_HAS_AVX512
    {"avx512", has_avx512, TABLES(avx512)},
#endif
#ifdef MT_CPU_HAS_AVX2
    {"avx2", has_avx2, TABLES(avx2)},
#endif
    {"baseline", always, TABLES(baseline)},
};

enum { BUILDS = sizeof builds / sizeof *builds };

/* Looked for once: in a virtual machine some of the questions take longer than a kernel. */
static const mt_cpu_isa_build *best(void)
{
    static _Atomic(const mt_cpu_isa_build *) found;
    const mt_cpu_isa_build *build = atomic_load(&found);
    if (build == NULL) {
        for (build = builds; !build->supported(); build++) {
        }
        atomic_store(&found, build);
    }
    return build;
}

/* The build that the environment names, or the best; NULL: it is not to be had here. */
static const mt_cpu_isa_build *wanted(const char *name)
{
    const mt_cpu_isa_build *build = best();
    if (name == NULL || name[0] == '\0') {
        return build;
    }
    while (build < builds + BUILDS && strcmp(build->name, name) != 0) {
        build++;
    }
    return build < builds + BUILDS ? build : NULL;
}

mt_status mt_cpu_choose_isa(const mt_cpu_isa_build **build)
{
    const char *name = getenv("MIXTAPE_ISA");
    *build = wanted(name);
    if (*build == NULL) {
        return mt_fail(MT_ERROR_INVALID,
                       "cpu: MIXTAPE_ISA=%s is not to be had here (the best is %s)", name,
                       best()->name);
    }
    return MT_OK;
}

static const mt_cpu_isa_build *chosen(void)
{
    const mt_cpu_isa_build *build = wanted(getenv("MIXTAPE_ISA"));
    return build != NULL ? build : best();
}

const char *mt_cpu_isa(void)
{
    return chosen()->name;
}

mt_summed_copy *mt_cpu_summed_copy(mt_dtype dtype)
{
    const mt_cpu_isa_build *build = chosen();
    return dtype == MT_F64 ? build->summed_copy_f64 : build->summed_copy_f32;
}
