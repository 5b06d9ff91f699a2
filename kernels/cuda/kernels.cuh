/* The kernels of the CUDA device, as the other files of this folder define them: templates over the
 * stored type (float, double, bfloat16, and of WKV float16). The list and its contracts are in
 * mixtape/kernels/list.h. Internal. */
#ifndef MT_KERNELS_CUDA_KERNELS_CUH
#define MT_KERNELS_CUDA_KERNELS_CUH

#include "kernels/cuda/cuda.cuh"

namespace mt_cuda
{

struct float16; /* kernels/cuda/float16.cuh */

#define MT_KERNEL(result, name, parameters) template <typename stored> result name parameters;
#include <mixtape/kernels/list.h>

/* After a kernel's definition: makes it for all real types, or for float16 too. The parameters are
 * those of the list, so an explicit instantiation, which would repeat them, is not needed; `used`
 * keeps the functions although only the tables, in another file, call them. */
#define INSTANTIATE(name) MT_INSTANCES(name, name<float>, name<double>, name<bfloat16>)
#define INSTANTIATE_F16(name)                                                                      \
    MT_INSTANCES(name, name<float>, name<double>, name<bfloat16>, name<float16>)
#define MT_INSTANCES(name, ...)                                                                    \
    [[gnu::used]] static const decltype(mt_kernels::name) name##_instances[] = {__VA_ARGS__};

/* The device's tables, indexed by mt_dtype. */
extern const mt_kernels *const tables[MT_KERNEL_TABLES];

} // namespace mt_cuda

#endif
