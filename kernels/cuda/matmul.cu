/* Matrix products by cuBLAS, which counts columns first: the transposes of a row-major product. */
#include "kernels/cuda/blas.cuh"
#include "kernels/cuda/kernels.cuh"
#include "kernels/matmul_steps.h"

namespace mt_cuda
{

namespace
{

/* A product as cuBLAS has it. */
struct blas_product {
    cublasOperation_t op_b, op_a;
    int64_t ldb, lda;
};

cublasStatus_t gemm(cublasHandle_t handle, const blas_product &of, const mt_matmul_args &args,
                    const float *b, const float *a, float *c)
{
    float alpha = static_cast<float>(args.alpha), beta = static_cast<float>(args.beta);
    int64_t N = args.N, M = args.M, K = args.K;
    return args.batch == 1
               ? blas.sgemm(handle, of.op_b, of.op_a, N, M, K, &alpha, b, of.ldb, a, of.lda, &beta,
                            c, N)
               : blas.sgemm_batch(handle, of.op_b, of.op_a, N, M, K, &alpha, b, of.ldb, args.b_step,
                                  a, of.lda, args.a_step, &beta, c, N, args.c_step, args.batch);
}

cublasStatus_t gemm(cublasHandle_t handle, const blas_product &of, const mt_matmul_args &args,
                    const double *b, const double *a, double *c)
{
    int64_t N = args.N, M = args.M, K = args.K;
    return args.batch == 1 ? blas.dgemm(handle, of.op_b, of.op_a, N, M, K, &args.alpha, b, of.ldb,
                                        a, of.lda, &args.beta, c, N)
                           : blas.dgemm_batch(handle, of.op_b, of.op_a, N, M, K, &args.alpha, b,
                                              of.ldb, args.b_step, a, of.lda, args.a_step,
                                              &args.beta, c, N, args.c_step, args.batch);
}

/* The result is float or bfloat16. */
template <typename result>
cublasStatus_t gemm(cublasHandle_t handle, const blas_product &of, const mt_matmul_args &args,
                    const bfloat16 *b, const bfloat16 *a, result *c)
{
    const cudaDataType narrow = CUDA_R_16BF, type = sizeof *c == sizeof *a ? narrow : CUDA_R_32F;
    float alpha = static_cast<float>(args.alpha), beta = static_cast<float>(args.beta);
    int64_t N = args.N, M = args.M, K = args.K;
    return args.batch == 1
               ? blas.gemm_ex(handle, of.op_b, of.op_a, N, M, K, &alpha, b, narrow, of.ldb, a,
                              narrow, of.lda, &beta, c, type, N, CUBLAS_COMPUTE_32F,
                              CUBLAS_GEMM_DEFAULT)
               : blas.gemm_ex_batch(handle, of.op_b, of.op_a, N, M, K, &alpha, b, narrow, of.ldb,
                                    args.b_step, a, narrow, of.lda, args.a_step, &beta, c, type, N,
                                    args.c_step, args.batch, CUBLAS_COMPUTE_32F,
                                    CUBLAS_GEMM_DEFAULT);
}

/* The names of products, by which of their factors are transposed; of those that add a bias too. */
const char *const product_names[2][2] = {{"product a b", "product a b^T"},
                                         {"product a^T b", "product a^T b^T"}};
const char *const biased_names[2][2] = {{"product a b + bias", "product a b^T + bias"},
                                        {"product a^T b + bias", "product a^T b^T + bias"}};

template <typename stored, typename result>
cublasStatus_t multiply(cublasHandle_t handle, const mt_matmul_args &args)
{
    const blas_product of = {
        args.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, args.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
        args.transpose_b ? args.K : args.N, args.transpose_a ? args.M : args.K};
    return gemm(handle, of, args, static_cast<const stored *>(args.b),
                static_cast<const stored *>(args.a), static_cast<result *>(args.c));
}

constexpr int BIAS_THREADS = 256;

/* Arrays that begin so many numbers one after the other. */
template <typename number> struct stepping {
    number *at;
    int64_t step;
};

/* Lets each row of c begin as the bias, in packs; a thread has one place of every product. It keeps
 * its place in the row, to divide once. */
template <int WIDTH, typename result, typename real>
__global__ void __launch_bounds__(BIAS_THREADS)
    put_bias(int64_t batch, int64_t M, int64_t N, stepping<const real> bias, stepping<result> c)
{
    begin_kernel();
    int64_t in_row = N / WIDTH, column = global_thread() % in_row,
            onward = global_threads() % in_row;
    for (int64_t i = global_thread(); i < M * in_row; i += global_threads()) {
        for (int64_t b = 0; b < batch; b++) {
            pack<real, WIDTH> row = load<WIDTH>(bias.at + b * bias.step + column * WIDTH);
            pack<result, WIDTH> begun;
            for (int k = 0; k < WIDTH; k++) {
                begun.at[k] = row.at[k];
            }
            store(c.at + b * c.step + i * WIDTH, begun);
        }
        column += onward;
        column -= column >= in_row ? in_row : 0;
    }
}

template <typename result, typename real>
mt_status put_biases(mt_device *device, const mt_matmul_args &args)
{
    constexpr int WIDTH = full_width<result>();
    const stepping<const real> bias = {static_cast<const real *>(args.bias), args.bias_step};
    const stepping<result> c = {static_cast<result *>(args.c), args.c_step};
    bool packs = packable<result>(args.N, c.at) && packable<real>(args.N, bias.at) &&
                 c.step % WIDTH == 0 && bias.step % WIDTH == 0;
    return launch(device, "bias", packs ? put_bias<WIDTH, result, real> : put_bias<1, result, real>,
                  grid_for(device, parts_of(args.M * args.N / (packs ? WIDTH : 1), BIAS_THREADS)),
                  BIAS_THREADS, 0, args.batch, args.M, args.N, bias, c);
}

/* Lets each row of the results begin as the bias, if there is one. */
template <typename stored> mt_status begin_results(mt_device *device, const mt_matmul_args &args)
{
    typedef real_of<stored> real;
    auto put = args.wide ? put_biases<real, real> : put_biases<stored, real>;
    return args.bias != nullptr ? put(device, args) : MT_OK;
}

/* Sums of nothing, whose rows of no length cuBLAS refuses. */
template <typename result> mt_status scale_results(mt_device *device, const mt_matmul_args &args)
{
    int64_t n = args.M * args.N;
    mt_status status = MT_OK;
    for (int64_t i = 0; i < args.batch && status == MT_OK; i++) {
        result *c = static_cast<result *>(args.c) + i * args.c_step;
        status = args.beta == 0.0 ? device->zero(device, c, static_cast<size_t>(n) * sizeof *c)
                                  : scale<result>(device, n, args.beta, c, c);
    }
    return status;
}

/* Float32 may be multiplied as TF32. Sums of bfloat16 that are made of parts are added in float32,
 * too, and rounded once. */
cublasStatus_t set_math_mode(cublasHandle_t handle, bool tf32)
{
    int mode = tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH;
    return blas.set_math_mode(
        handle, static_cast<cublasMath_t>(mode | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION));
}

template <typename stored>
constexpr cudaDataType type_of = std::is_same<stored, double>::value  ? CUDA_R_64F
                                 : std::is_same<stored, float>::value ? CUDA_R_32F
                                                                      : CUDA_R_16BF;

} // namespace

mt_status check_blas(const cuda_device *cuda, cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS
               ? MT_OK
               : mt_fail(status == CUBLAS_STATUS_ALLOC_FAILED ? MT_ERROR_MEMORY : MT_ERROR_DEVICE,
                         "%s: cuBLAS: %s", cuda->name, blas.status_string(status));
}

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
    if (loaded == MT_OK) {
        loaded = open_biased_products(cuda);
    }
    if (loaded != MT_OK) {
        close_blas(cuda);
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
    }
    return check_blas(cuda, status);
}

void close_blas(cuda_device *cuda)
{
    close_biased_products(cuda);
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
    mt_status status = check_blas(cuda, set_math_mode(cuda->blas, allowed));
    cuda->tf32 = status == MT_OK ? allowed : cuda->tf32;
    return status;
}

template <typename stored> mt_status matmul(mt_device *device, const mt_matmul_args *given)
{
    typedef real_of<stored> real;
    const mt_matmul_args args = mt_matmul_spelled_out(given);
    int64_t M = args.M, N = args.N, K = args.K;
    if (M == 0 || N == 0) {
        return MT_OK;
    }
    if (K == 0) {
        mt_status begun = begin_results<stored>(device, args);
        auto scaled = args.wide ? scale_results<real> : scale_results<stored>;
        return begun == MT_OK ? scaled(device, args) : begun;
    }
    const biased_product *biased = nullptr;
    mt_status ready = use(device);
    if (ready == MT_OK) {
        ready = open_blas(of(device));
    }
    if (ready == MT_OK && args.bias != nullptr) {
        ready = find_biased_product(of(device), type_of<stored>, args, &biased);
    }
    if (ready == MT_OK && biased == nullptr) {
        ready = begin_results<stored>(device, args);
    }
    if (ready != MT_OK) {
        return ready;
    }
    const auto &names = biased != nullptr ? biased_names : product_names;
    return enqueue(device, names[args.transpose_a][args.transpose_b], [=] {
        auto product = args.wide ? multiply<stored, real> : multiply<stored, stored>;
        cublasStatus_t status = biased != nullptr ? multiply_biased(of(device), *biased, args)
                                                  : product(of(device)->blas, args);
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
