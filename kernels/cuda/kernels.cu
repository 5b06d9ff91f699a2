/* The tables of the CUDA device's kernels. */
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

template <typename real> constexpr mt_kernels make_table()
{
    mt_kernels table = {};
#define ENTER(name, parameters) table.name = name<real>;
    EACH_ELEMENTWISE(ENTER)
    EACH_REDUCE(ENTER)
    EACH_OF_ARGS(ENTER)
#undef ENTER
    table.wkv_saved_size = wkv_saved_size<real>;
    table.wkv_workspace_size = wkv_workspace_size<real>;
    return table;
}

static constexpr mt_kernels of_float = make_table<float>(), of_double = make_table<double>();

const mt_kernels *const tables[MT_REAL_DTYPES] = {&of_float, &of_double};

} // namespace mt_cuda
