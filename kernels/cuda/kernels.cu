/* The tables of the CUDA device's kernels. */
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

template <typename stored> constexpr mt_kernels make_table()
{
    mt_kernels table = {};
#define MT_KERNEL(result, name, parameters) table.name = name<stored>;
#include <mixtape/kernels/list.h>
    return table;
}

constexpr mt_kernels make_table_of_float16()
{
    mt_kernels table = {};
#define MT_KERNEL_F16(result, name, parameters) table.name = name<float16>;
#include <mixtape/kernels/list.h>
    return table;
}

static constexpr mt_kernels of_float = make_table<float>(), of_double = make_table<double>(),
                            of_bfloat16 = make_table<bfloat16>(),
                            of_float16 = make_table_of_float16();

const mt_kernels *const tables[MT_KERNEL_TABLES] = {&of_float, &of_double, &of_bfloat16,
                                                    &of_float16};

} // namespace mt_cuda
