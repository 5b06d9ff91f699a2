/* cuBLAS on OpenBLAS, enqueued like any other work. */
#include "control.h"
#include "factors.h"
#include "kernels/cuda/blas.cuh"

#include <vector>

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

static std::vector<float> in_tf32(const float *matrix, int64_t rows, int64_t columns, int64_t ld)
{
    std::vector<float> rounded(static_cast<size_t>(ld * columns));
    for (int64_t column = 0; column < columns; column++) {
        for (int64_t row = 0; row < rows; row++) {
            rounded[static_cast<size_t>(column * ld + row)] =
                cuda_on_cpu::in_tf32(matrix[column * ld + row]);
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
    bool tf32 = (blas->mode & CUBLAS_TF32_TENSOR_OP_MATH) != 0;
    return status_of(cuda_on_cpu::enqueue(blas->stream, [=] {
        std::vector<float> of_a, of_b;
        if (tf32) {
            of_a = op_a == CUBLAS_OP_N ? in_tf32(a, m, k, lda) : in_tf32(a, k, m, lda);
            of_b = op_b == CUBLAS_OP_N ? in_tf32(b, k, n, ldb) : in_tf32(b, n, k, ldb);
        }
        cblas_sgemm(CblasColMajor, cuda_on_cpu::transpose(op_a), cuda_on_cpu::transpose(op_b),
                    static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), by,
                    tf32 ? of_a.data() : a, static_cast<int>(lda), tf32 ? of_b.data() : b,
                    static_cast<int>(ldb), keep, c, static_cast<int>(ldc));
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
        cblas_dgemm(CblasColMajor, cuda_on_cpu::transpose(op_a), cuda_on_cpu::transpose(op_b),
                    static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), by, a,
                    static_cast<int>(lda), b, static_cast<int>(ldb), keep, c,
                    static_cast<int>(ldc));
    }));
}

/* A matrix of bfloat16 as one of float. */
static std::vector<float> widened(const void *matrix, int64_t ld, int64_t columns)
{
    const mt_bf16 *narrow = static_cast<const mt_bf16 *>(matrix);
    std::vector<float> wide(static_cast<size_t>(ld * columns));
    for (size_t i = 0; i < wide.size(); i++) {
        wide[i] = mt_bf16_value(narrow[i]);
    }
    return wide;
}

static void round_all(std::vector<float> *numbers)
{
    for (float &number : *numbers) {
        number = mt_bf16_value(mt_bf16_rounded(number));
    }
}

/* Of bfloat16, with a result of it or of float. Unless the mode forbids it, the sums are cut in two
 * and both parts have the precision of the result, as cuBLAS may do it. */
cublasStatus_t cublasGemmEx_64(cublasHandle_t blas, cublasOperation_t op_a, cublasOperation_t op_b,
                               int64_t m, int64_t n, int64_t k, const void *alpha, const void *a,
                               cudaDataType type_a, int64_t lda, const void *b, cudaDataType type_b,
                               int64_t ldb, const void *beta, void *c, cudaDataType type_c,
                               int64_t ldc, cublasComputeType_t compute, cublasGemmAlgo_t)
{
    bool typed = type_a == CUDA_R_16BF && type_b == CUDA_R_16BF && compute == CUBLAS_COMPUTE_32F;
    if (!typed || !can_multiply(op_a, op_b, m, n, k, lda, ldb, ldc)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    float by = *static_cast<const float *>(alpha), keep = *static_cast<const float *>(beta);
    bool narrow = type_c == CUDA_R_16BF;
    int64_t cut = blas->mode & CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION ? k : k / 2;
    return status_of(cuda_on_cpu::enqueue(blas->stream, [=] {
        std::vector<float> of_a = widened(a, lda, op_a == CUBLAS_OP_N ? k : m);
        std::vector<float> of_b = widened(b, ldb, op_b == CUBLAS_OP_N ? n : k);
        std::vector<float> of_c = widened(c, ldc, narrow ? n : 0);
        float *sums = narrow ? of_c.data() : static_cast<float *>(c);
        auto add = [&](int64_t first, int64_t end, float kept) {
            cblas_sgemm(CblasColMajor, cuda_on_cpu::transpose(op_a), cuda_on_cpu::transpose(op_b),
                        static_cast<int>(m), static_cast<int>(n), static_cast<int>(end - first), by,
                        of_a.data() + first * (op_a == CUBLAS_OP_N ? lda : 1),
                        static_cast<int>(lda),
                        of_b.data() + first * (op_b == CUBLAS_OP_N ? 1 : ldb),
                        static_cast<int>(ldb), kept, sums, static_cast<int>(ldc));
        };
        add(0, cut, keep);
        if (cut < k) {
            round_all(&of_c);
            add(cut, k, 1.0f);
        }
        for (size_t i = 0; i < of_c.size(); i++) {
            static_cast<mt_bf16 *>(c)[i] = mt_bf16_rounded(of_c[i]);
        }
    }));
}

cublasStatus_t cublasGemmStridedBatchedEx_64(
    cublasHandle_t blas, cublasOperation_t op_a, cublasOperation_t op_b, int64_t m, int64_t n,
    int64_t k, const void *alpha, const void *a, cudaDataType type_a, int64_t lda,
    long long stride_a, const void *b, cudaDataType type_b, int64_t ldb, long long stride_b,
    const void *beta, void *c, cudaDataType type_c, int64_t ldc, long long stride_c, int64_t batch,
    cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    const mt_bf16 *of_a = static_cast<const mt_bf16 *>(a), *of_b = static_cast<const mt_bf16 *>(b);
    size_t size = type_c == CUDA_R_16BF ? sizeof(mt_bf16) : sizeof(float);
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    for (int64_t i = 0; i < batch && status == CUBLAS_STATUS_SUCCESS; i++) {
        status = cublasGemmEx_64(blas, op_a, op_b, m, n, k, alpha, of_a + i * stride_a, type_a, lda,
                                 of_b + i * stride_b, type_b, ldb, beta,
                                 static_cast<char *>(c) + static_cast<size_t>(i * stride_c) * size,
                                 type_c, ldc, compute, algorithm);
    }
    return status;
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

mt_cuda::blas_lt_functions mt_cuda::blas_lt;

mt_status mt_cuda::load_blas()
{
    static const blas_lt_functions functions = {
#define ROW(name, function) function,
        EACH_BLAS_LT_FUNCTION(ROW)
#undef ROW
    };
    blas_lt = cuda_on_cpu::machine_is(CUDA_ON_CPU_NO_BLAS_LT, "no-blas-lt") ? blas_lt_functions{}
                                                                            : functions;
    return cuda_on_cpu::machine_is(CUDA_ON_CPU_NO_BLAS, "no-blas")
               ? mt_fail(MT_ERROR_DEVICE, "cuda: cuBLAS was not found")
               : MT_OK;
}
