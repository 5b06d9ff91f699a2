/* The kernels of the CUDA device, as the other files of this folder define them: templates over the
 * stored type (float, double, bfloat16). The list and its contracts are in mixtape/kernels/list.h.
 * Internal. */
#ifndef MT_KERNELS_CUDA_KERNELS_CUH
#define MT_KERNELS_CUDA_KERNELS_CUH

#include "kernels/cuda/cuda.cuh"

namespace mt_cuda
{

#define MT_KERNEL(result, name, parameters) template <typename stored> result name parameters;
#include <mixtape/kernels/list.h>

/* After a kernel's definition: makes it for all types. The parameters are those of the list, so an
 * explicit instantiation, which would repeat them, is not needed; `used` keeps the functions
 * although only the tables, in another file, call them. */
#define INSTANTIATE(name)                                                                          \
    [[gnu::used]] static const decltype(mt_kernels::name) name##_instances[] = {                   \
        name<float>, name<double>, name<bfloat16>};

/* The device's tables, indexed by mt_dtype. */
extern const mt_kernels *const tables[MT_REAL_DTYPES];

} // namespace mt_cuda

#endif
