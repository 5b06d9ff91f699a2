/* The tables of the CUDA device's kernels. */
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

template <typename real> constexpr mt_kernels make_table()
{
    mt_kernels table = {};
#define MT_KERNEL(result, name, parameters) table.name = name<real>;
#include <mixtape/kernels/list.h>
    return table;
}

static constexpr mt_kernels of_float = make_table<float>(), of_double = make_table<double>();

const mt_kernels *const tables[MT_REAL_DTYPES] = {&of_float, &of_double};

} // namespace mt_cuda
