/* cuBLAS and cuBLASLt, loaded when a CUDA device is first asked for a matrix product, how to round
 * one, or a recording, which may hold one: a program that does none of it, as with WKV alone,
 * neither needs the libraries nor waits for them. Internal. */
#ifndef MT_KERNELS_CUDA_BLAS_CUH
#define MT_KERNELS_CUDA_BLAS_CUH

#include "kernels/cuda/cuda.cuh"

#include <cublasLt.h>
#include <mixtape/kernels/matmul.h>

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

#define EACH_BLAS_LT_FUNCTION(X)                                                                   \
    X(create_operation, cublasLtMatmulDescCreate)                                                  \
    X(destroy_operation, cublasLtMatmulDescDestroy)                                                \
    X(set_operation, cublasLtMatmulDescSetAttribute)                                               \
    X(create_layout, cublasLtMatrixLayoutCreate)                                                   \
    X(destroy_layout, cublasLtMatrixLayoutDestroy)                                                 \
    X(set_layout, cublasLtMatrixLayoutSetAttribute)                                                \
    X(create_preference, cublasLtMatmulPreferenceCreate)                                           \
    X(destroy_preference, cublasLtMatmulPreferenceDestroy)                                         \
    X(set_preference, cublasLtMatmulPreferenceSetAttribute)                                        \
    X(find_algorithm, cublasLtMatmulAlgoGetHeuristic)                                              \
    X(multiply, cublasLtMatmul)

struct blas_lt_functions {
#define MEMBER(name, function) decltype(&function) name;
    EACH_BLAS_LT_FUNCTION(MEMBER)
#undef MEMBER
};

/* The functions, once load_blas has been through; it may be called again. MT_ERROR_DEVICE with the
 * library's name where it is missing or lacks one. Of cuBLASLt there are all or none (NULL): what
 * lacks one does without. */
extern blas_functions blas;
extern blas_lt_functions blas_lt;
mt_status load_blas();

constexpr size_t BLAS_WORKSPACE = static_cast<size_t>(32)
                                  << 20; /* what cuBLAS asks for on Hopper */

/* Of matmul.cu. Gives a device its cuBLAS, with memory of its own that never changes: products then
 * allocate nothing, can be recorded, and give the same bits each time. Does nothing where it is
 * there; not while work is recorded. */
mt_status open_blas(cuda_device *cuda);
void close_blas(cuda_device *cuda);

mt_status allow_tf32(mt_device *device, bool allowed);

/* MT_OK, or what cuBLAS says. */
mt_status check_blas(const cuda_device *cuda, cublasStatus_t status);

/* Of matmul_biased.cu: products to whose sums cuBLASLt adds the bias, so that the result is written
 * once. A device keeps what it found out about the last few dozen shapes: of these, products
 * allocate nothing. */
mt_status open_biased_products(cuda_device *cuda);
void close_biased_products(cuda_device *cuda);

/* The product of a bias and factors of this type that the arguments, spelled out, ask for; NULL
 * where cuBLASLt does not make it. It is there until the next one is found. */
mt_status find_biased_product(cuda_device *cuda, cudaDataType factors, const mt_matmul_args &args,
                              const biased_product **product);

/* Puts it on the device's own stream. */
cublasStatus_t multiply_biased(cuda_device *cuda, const biased_product &product,
                               const mt_matmul_args &args);

} // namespace mt_cuda

#endif
