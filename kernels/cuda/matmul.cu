/* Matrix products by cuBLAS, which counts columns first: the transposes of a row-major product. */
#include "kernels/cuda/blas.cuh"
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr size_t BLAS_WORKSPACE = static_cast<size_t>(32)
                                  << 20; /* what cuBLAS asks for on Hopper */

cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_b, cublasOperation_t op_a,
                    int64_t batch, int64_t N, int64_t M, int64_t K, double alpha, const float *b,
                    int64_t ldb, const float *a, int64_t lda, double beta, float *c)
{
    float narrow_alpha = static_cast<float>(alpha), narrow_beta = static_cast<float>(beta);
    return batch == 1 ? blas.sgemm(handle, op_b, op_a, N, M, K, &narrow_alpha, b, ldb, a, lda,
                                   &narrow_beta, c, N)
                      : blas.sgemm_batch(handle, op_b, op_a, N, M, K, &narrow_alpha, b, ldb, N * K,
                                         a, lda, M * K, &narrow_beta, c, N, M * N, batch);
}

cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_b, cublasOperation_t op_a,
                    int64_t batch, int64_t N, int64_t M, int64_t K, double alpha, const double *b,
                    int64_t ldb, const double *a, int64_t lda, double beta, double *c)
{
    return batch == 1 ? blas.dgemm(handle, op_b, op_a, N, M, K, &alpha, b, ldb, a, lda, &beta, c, N)
                      : blas.dgemm_batch(handle, op_b, op_a, N, M, K, &alpha, b, ldb, N * K, a, lda,
                                         M * K, &beta, c, N, M * N, batch);
}

/* The result is float or bfloat16. */
template <typename result>
cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_b, cublasOperation_t op_a,
                    int64_t batch, int64_t N, int64_t M, int64_t K, double alpha, const bfloat16 *b,
                    int64_t ldb, const bfloat16 *a, int64_t lda, double beta, result *c)
{
    const cudaDataType narrow = CUDA_R_16BF, type = sizeof *c == sizeof *a ? narrow : CUDA_R_32F;
    float narrow_alpha = static_cast<float>(alpha), narrow_beta = static_cast<float>(beta);
    return batch == 1
               ? blas.gemm_ex(handle, op_b, op_a, N, M, K, &narrow_alpha, b, narrow, ldb, a, narrow,
                              lda, &narrow_beta, c, type, N, CUBLAS_COMPUTE_32F,
                              CUBLAS_GEMM_DEFAULT)
               : blas.gemm_ex_batch(handle, op_b, op_a, N, M, K, &narrow_alpha, b, narrow, ldb,
                                    N * K, a, narrow, lda, M * K, &narrow_beta, c, type, N, M * N,
                                    batch, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

/* The names of products, by which of their factors are transposed. */
const char *const product_names[2][2] = {{"product a b", "product a b^T"},
                                         {"product a^T b", "product a^T b^T"}};

template <typename stored, typename result>
cublasStatus_t multiply(cublasHandle_t handle, const mt_matmul_args &args, int64_t batch)
{
    return gemm(handle, args.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                args.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, batch, args.N, args.M, args.K,
                args.alpha, static_cast<const stored *>(args.b), args.transpose_b ? args.K : args.N,
                static_cast<const stored *>(args.a), args.transpose_a ? args.M : args.K, args.beta,
                static_cast<result *>(args.c));
}

/* Float32 may be multiplied as TF32. Sums of bfloat16 that are made of parts are added in float32,
 * too, and rounded once. */
cublasStatus_t set_math_mode(cublasHandle_t handle, bool tf32)
{
    int mode = tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH;
    return blas.set_math_mode(
        handle, static_cast<cublasMath_t>(mode | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION));
}

mt_status fail(const cuda_device *cuda, cublasStatus_t status)
{
    return mt_fail(status == CUBLAS_STATUS_ALLOC_FAILED ? MT_ERROR_MEMORY : MT_ERROR_DEVICE,
                   "%s: cuBLAS: %s", cuda->name, blas.status_string(status));
}

} // namespace

mt_status open_blas(cuda_device *cuda)
{
    if (cuda->blas != nullptr) {
        return MT_OK;
    }
    cublasHandle_t handle = nullptr;
    mt_status loaded = load_blas();
    if (loaded == MT_OK) {
        loaded = cuda->base.allocate(&cuda->base, BLAS_WORKSPACE, &cuda->blas_workspace);
    }
    if (loaded != MT_OK) {
        return loaded;
    }
    cublasStatus_t status = blas.create(&handle);
    if (status == CUBLAS_STATUS_SUCCESS) {
        cuda->blas = handle;
        status = blas.set_stream(handle, cuda->own_stream);
    }
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = blas.set_workspace(handle, cuda->blas_workspace, BLAS_WORKSPACE);
    }
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = set_math_mode(handle, false);
    }
    if (status != CUBLAS_STATUS_SUCCESS) {
        close_blas(cuda);
        return fail(cuda, status);
    }
    return MT_OK;
}

void close_blas(cuda_device *cuda)
{
    if (cuda->blas != nullptr) {
        blas.destroy(cuda->blas);
    }
    cudaFree(cuda->blas_workspace);
    cuda->blas = nullptr;
    cuda->blas_workspace = nullptr;
}

mt_status allow_tf32(mt_device *device, bool allowed)
{
    cuda_device *cuda = of(device);
    mt_status opened = use(device);
    if (opened == MT_OK) {
        opened = open_blas(cuda);
    }
    if (opened != MT_OK) {
        return opened;
    }
    cublasStatus_t status = set_math_mode(cuda->blas, allowed);
    return status == CUBLAS_STATUS_SUCCESS ? MT_OK : fail(cuda, status);
}

template <typename stored> mt_status matmul(mt_device *device, const mt_matmul_args *args)
{
    typedef real_of<stored> real;
    int64_t batch = args->batch > 0 ? args->batch : 1, M = args->M, N = args->N, K = args->K;
    if (M == 0 || N == 0) {
        return MT_OK;
    }
    if (K == 0) { /* sums of nothing, whose rows of no length cuBLAS refuses */
        int64_t n = batch * M * N;
        size_t size = args->wide ? sizeof(real) : sizeof(stored);
        auto scaled = args->wide ? scale<real> : scale<stored>;
        return args->beta == 0.0 ? device->zero(device, args->c, static_cast<size_t>(n) * size)
                                 : scaled(device, n, args->beta, args->c, args->c);
    }
    mt_status ready = use(device);
    if (ready == MT_OK) {
        ready = open_blas(of(device));
    }
    if (ready != MT_OK) {
        return ready;
    }
    return enqueue(device, product_names[args->transpose_a][args->transpose_b], [=] {
        auto product = args->wide ? multiply<stored, real> : multiply<stored, stored>;
        cublasStatus_t status = product(of(device)->blas, *args, batch);
        return status == CUBLAS_STATUS_SUCCESS
                   ? MT_OK
                   : mt_fail(MT_ERROR_DEVICE,
                             "cuda: matrix product (%lld, %lld) by (%lld, %lld): %s",
                             static_cast<long long>(M), static_cast<long long>(K),
                             static_cast<long long>(K), static_cast<long long>(N),
                             blas.status_string(status));
    });
}

INSTANTIATE(matmul)

} // namespace mt_cuda
