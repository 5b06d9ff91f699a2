/* cuBLAS, loaded when a CUDA device is first asked for a matrix product, how to round one, or a
 * recording, which may hold one: a program that does none of it, as with WKV alone, neither needs
 * the library nor waits for it. Internal. */
#ifndef MT_KERNELS_CUDA_BLAS_CUH
#define MT_KERNELS_CUDA_BLAS_CUH

#include "kernels/cuda/cuda.cuh"

namespace mt_cuda
{

#define EACH_BLAS_FUNCTION(X)                                                                      \
    X(create, cublasCreate)                                                                        \
    X(destroy, cublasDestroy)                                                                      \
    X(set_stream, cublasSetStream)                                                                 \
    X(set_workspace, cublasSetWorkspace)                                                           \
    X(set_math_mode, cublasSetMathMode)                                                            \
    X(status_string, cublasGetStatusString)                                                        \
    X(sgemm, cublasSgemm_64)                                                                       \
    X(dgemm, cublasDgemm_64)                                                                       \
    X(sgemm_batch, cublasSgemmStridedBatched_64)                                                   \
    X(dgemm_batch, cublasDgemmStridedBatched_64)                                                   \
    X(gemm_ex, cublasGemmEx_64)                                                                    \
    X(gemm_ex_batch, cublasGemmStridedBatchedEx_64)

struct blas_functions {
#define MEMBER(name, function) decltype(&function) name;
    EACH_BLAS_FUNCTION(MEMBER)
#undef MEMBER
};

/* The functions, once load_blas has been through; it may be called again. MT_ERROR_DEVICE with the
 * library's name where it is missing or lacks one. */
extern blas_functions blas;
mt_status load_blas();

/* Of matmul.cu. Gives a device its cuBLAS, with memory of its own that never changes: products then
 * allocate nothing, can be recorded, and give the same bits each time. Does nothing where it is
 * there; not while work is recorded. */
mt_status open_blas(cuda_device *cuda);
void close_blas(cuda_device *cuda);

mt_status allow_tf32(mt_device *device, bool allowed);

} // namespace mt_cuda

#endif
