/* cuBLAS on OpenBLAS, enqueued like any other work. */
#include "control.h"
#include "kernels/cuda/blas.cuh"

#include <vector>

extern "C" {
#include <cblas.h>
}

struct cuda_on_cpu_blas {
    cudaStream_t stream;
    cublasMath_t mode;
};

const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS        ? "success"
           : status == CUBLAS_STATUS_ALLOC_FAILED ? "the resource allocation failed"
                                                  : "the function failed to launch";
}

cublasStatus_t cublasCreate(cublasHandle_t *blas)
{
    void *memory; /* counted, and made to fail, as an allocation of the runtime */
    *blas = nullptr;
    if (cudaMallocHost(&memory, sizeof(cuda_on_cpu_blas)) != cudaSuccess) {
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    *blas = static_cast<cublasHandle_t>(memory);
    **blas = {nullptr, CUBLAS_DEFAULT_MATH};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t blas)
{
    cudaFreeHost(blas);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t blas, cudaStream_t stream)
{
    blas->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t, void *, size_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t blas, cublasMath_t mode)
{
    blas->mode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t status_of(cudaError_t error)
{
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

static CBLAS_TRANSPOSE transpose(cublasOperation_t op)
{
    return op == CUBLAS_OP_T ? CblasTrans : CblasNoTrans;
}

/* As cuBLAS has it: columns are at least as long as what stands in them, and never empty. */
static bool long_enough(int64_t ld, int64_t rows)
{
    return ld >= 1 && ld >= rows;
}

static bool can_multiply(cublasOperation_t op_a, cublasOperation_t op_b, int64_t m, int64_t n,
                         int64_t k, int64_t lda, int64_t ldb, int64_t ldc)
{
    return m >= 0 && n >= 0 && k >= 0 && long_enough(lda, op_a == CUBLAS_OP_N ? m : k) &&
           long_enough(ldb, op_b == CUBLAS_OP_N ? k : n) && long_enough(ldc, m);
}

/* A matrix with its numbers rounded to the 10 bits of TF32's mantissa. */
static std::vector<float> in_tf32(const float *matrix, int64_t rows, int64_t columns, int64_t ld)
{
    std::vector<float> rounded(static_cast<size_t>(ld * columns));
    for (int64_t column = 0; column < columns; column++) {
        for (int64_t row = 0; row < rows; row++) {
            int exponent;
            float fraction = frexpf(matrix[column * ld + row], &exponent);
            rounded[static_cast<size_t>(column * ld + row)] =
                ldexpf(rintf(ldexpf(fraction, 11)), exponent - 11);
        }
    }
    return rounded;
}

cublasStatus_t cublasSgemm_64(cublasHandle_t blas, cublasOperation_t op_a, cublasOperation_t op_b,
                              int64_t m, int64_t n, int64_t k, const float *alpha, const float *a,
                              int64_t lda, const float *b, int64_t ldb, const float *beta, float *c,
                              int64_t ldc)
{
    if (!can_multiply(op_a, op_b, m, n, k, lda, ldb, ldc)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    float by = *alpha, keep = *beta;
    bool tf32 = blas->mode == CUBLAS_TF32_TENSOR_OP_MATH;
    return status_of(cuda_on_cpu::enqueue(blas->stream, [=] {
        std::vector<float> of_a, of_b;
        if (tf32) {
            of_a = op_a == CUBLAS_OP_N ? in_tf32(a, m, k, lda) : in_tf32(a, k, m, lda);
            of_b = op_b == CUBLAS_OP_N ? in_tf32(b, k, n, ldb) : in_tf32(b, n, k, ldb);
        }
        cblas_sgemm(CblasColMajor, transpose(op_a), transpose(op_b), static_cast<int>(m),
                    static_cast<int>(n), static_cast<int>(k), by, tf32 ? of_a.data() : a,
                    static_cast<int>(lda), tf32 ? of_b.data() : b, static_cast<int>(ldb), keep, c,
                    static_cast<int>(ldc));
    }));
}

cublasStatus_t cublasDgemm_64(cublasHandle_t blas, cublasOperation_t op_a, cublasOperation_t op_b,
                              int64_t m, int64_t n, int64_t k, const double *alpha, const double *a,
                              int64_t lda, const double *b, int64_t ldb, const double *beta,
                              double *c, int64_t ldc)
{
    if (!can_multiply(op_a, op_b, m, n, k, lda, ldb, ldc)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    double by = *alpha, keep = *beta;
    return status_of(cuda_on_cpu::enqueue(blas->stream, [=] {
        cblas_dgemm(CblasColMajor, transpose(op_a), transpose(op_b), static_cast<int>(m),
                    static_cast<int>(n), static_cast<int>(k), by, a, static_cast<int>(lda), b,
                    static_cast<int>(ldb), keep, c, static_cast<int>(ldc));
    }));
}

/* One product after the other. */
#define BATCH_OF(name, one, real)                                                                  \
    cublasStatus_t name(cublasHandle_t blas, cublasOperation_t op_a, cublasOperation_t op_b,       \
                        int64_t m, int64_t n, int64_t k, const real *alpha, const real *a,         \
                        int64_t lda, long long stride_a, const real *b, int64_t ldb,               \
                        long long stride_b, const real *beta, real *c, int64_t ldc,                \
                        long long stride_c, int64_t batch)                                         \
    {                                                                                              \
        cublasStatus_t status = CUBLAS_STATUS_SUCCESS;                                             \
        for (int64_t i = 0; i < batch && status == CUBLAS_STATUS_SUCCESS; i++) {                   \
            status = one(blas, op_a, op_b, m, n, k, alpha, a + i * stride_a, lda,                  \
                         b + i * stride_b, ldb, beta, c + i * stride_c, ldc);                      \
        }                                                                                          \
        return status;                                                                             \
    }

BATCH_OF(cublasSgemmStridedBatched_64, cublasSgemm_64, float)
BATCH_OF(cublasDgemmStridedBatched_64, cublasDgemm_64, double)

/* In place of kernels/cuda/blas.cu: there is no library to load. */
mt_cuda::blas_functions mt_cuda::blas = {
#define ROW(name, function) function,
    EACH_BLAS_FUNCTION(ROW)
#undef ROW
};

mt_status mt_cuda::load_blas()
{
    return cuda_on_cpu::machine_is(CUDA_ON_CPU_NO_BLAS, "no-blas")
               ? mt_fail(MT_ERROR_DEVICE, "cuda: cuBLAS was not found")
               : MT_OK;
}
