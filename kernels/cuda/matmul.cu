/* Matrix products by cuBLAS, which counts columns first: the transposes of a row-major product. */
#include "kernels/cuda/blas.cuh"
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_b, cublasOperation_t op_a,
                    int64_t N, int64_t M, int64_t K, double alpha, const float *b, int64_t ldb,
                    const float *a, int64_t lda, double beta, float *c)
{
    float narrow_alpha = static_cast<float>(alpha), narrow_beta = static_cast<float>(beta);
    return blas.sgemm(handle, op_b, op_a, N, M, K, &narrow_alpha, b, ldb, a, lda, &narrow_beta, c,
                      N);
}

cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_b, cublasOperation_t op_a,
                    int64_t N, int64_t M, int64_t K, double alpha, const double *b, int64_t ldb,
                    const double *a, int64_t lda, double beta, double *c)
{
    return blas.dgemm(handle, op_b, op_a, N, M, K, &alpha, b, ldb, a, lda, &beta, c, N);
}

} // namespace

template <typename real> mt_status matmul(mt_device *device, const mt_matmul_args *args)
{
    if (args->M == 0 || args->N == 0) {
        return MT_OK;
    }
    /* cuBLAS refuses rows of no length, which an empty sum has. */
    int64_t inner = args->K > 0 ? args->K : 1;
    cublasStatus_t status =
        gemm(of(device)->blas, args->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
             args->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, args->N, args->M, args->K, args->alpha,
             static_cast<const real *>(args->b), args->transpose_b ? inner : args->N,
             static_cast<const real *>(args->a), args->transpose_a ? args->M : inner, args->beta,
             static_cast<real *>(args->c));
    return status == CUBLAS_STATUS_SUCCESS
               ? MT_OK
               : mt_fail(MT_ERROR_DEVICE, "cuda: matrix product (%lld, %lld) by (%lld, %lld): %s",
                         static_cast<long long>(args->M), static_cast<long long>(args->K),
                         static_cast<long long>(args->K), static_cast<long long>(args->N),
                         blas.status_string(status));
}

template mt_status matmul<float>(mt_device *, const mt_matmul_args *);
template mt_status matmul<double>(mt_device *, const mt_matmul_args *);

} // namespace mt_cuda
