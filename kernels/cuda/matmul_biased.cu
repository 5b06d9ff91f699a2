/* Matrix products that add a bias to their sums: by cuBLASLt, whose epilogue has one (cuBLAS
 * documentation, cublasLtEpilogue_t: CUBLASLT_EPILOGUE_BIAS). As cuBLAS it counts columns first, so
 * the first factor is b, and the bias is of the rows of its result.
 *
 * The bias is of the result's type (cuBLAS documentation, cublasLtMatmul, table of types): a result
 * in bfloat16 needs it in bfloat16. Where anything lies at other addresses than multiples of 16
 * bytes, cuBLASLt is not asked: some of its algorithms count on that of the bias, and no preference
 * tells them otherwise. */
#include "kernels/cuda/blas.cuh"

#include <stdlib.h>
#include <string.h>

#include <initializer_list>

namespace mt_cuda
{

namespace
{

/* What an algorithm is chosen by: numbers of 64 bits alone, to be compared as bytes. Steps of one
 * product are 0. */
struct product_shape {
    int64_t transpose_a, transpose_b, M, N, K;
    int64_t batch, a_step, b_step, c_step, bias_step;
    int64_t factors, result, tf32; /* the first two: cudaDataType */
};

/* A model has a few shapes of products, and other lengths of sequences a few more. */
constexpr int MOST_PRODUCTS = 64;

} // namespace

/* No `operation` where cuBLASLt has no algorithm. */
struct biased_product {
    product_shape shape;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t b, a, c;
    cublasLtMatmulAlgo_t algorithm;
};

/* In the order in which they were found; where there is no room the oldest makes it. */
struct biased_products {
    biased_product of[MOST_PRODUCTS];
    int next;
};

namespace
{

/* A value to set of one of cuBLASLt's descriptors. */
template <typename name> struct attribute {
    name of;
    const void *value;
    size_t size;
};

template <typename descriptor, typename name, size_t COUNT>
cublasStatus_t set_all(cublasStatus_t (*set)(descriptor, name, const void *, size_t), descriptor to,
                       const attribute<name> (&attributes)[COUNT])
{
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    for (size_t i = 0; i < COUNT && status == CUBLAS_STATUS_SUCCESS; i++) {
        status = set(to, attributes[i].of, attributes[i].value, attributes[i].size);
    }
    return status;
}

bool is_float64(const product_shape &shape)
{
    return shape.result == CUDA_R_64F;
}

cublasStatus_t set_bias(cublasLtMatmulDesc_t operation, const void *bias)
{
    return blas_lt.set_operation(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
}

/* The bias that an algorithm is found for is an address that is never read: how it is aligned is
 * part of the question, and shall not depend on which bias came first. */
cublasStatus_t make_operation(const product_shape &shape, cublasLtMatmulDesc_t *made)
{
    const cublasOperation_t op_b = shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                            op_a = shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const attribute<cublasLtMatmulDescAttributes_t> attributes[] = {
        {CUBLASLT_MATMUL_DESC_TRANSA, &op_b, sizeof op_b},
        {CUBLASLT_MATMUL_DESC_TRANSB, &op_a, sizeof op_a},
        {CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue},
        {CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, &shape.bias_step, sizeof shape.bias_step}};
    const cublasComputeType_t compute = is_float64(shape) ? CUBLAS_COMPUTE_64F
                                        : shape.tf32      ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                          : CUBLAS_COMPUTE_32F;
    cublasStatus_t status =
        blas_lt.create_operation(made, compute, is_float64(shape) ? CUDA_R_64F : CUDA_R_32F);
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = set_all(blas_lt.set_operation, *made, attributes);
    }
    return status == CUBLAS_STATUS_SUCCESS
               ? set_bias(*made, reinterpret_cast<const void *>(static_cast<uintptr_t>(PACK_BYTES)))
               : status;
}

/* A matrix of whole columns, in a batch. */
cublasStatus_t make_layout(int64_t type, int64_t rows, int64_t columns, int64_t batch, int64_t step,
                           cublasLtMatrixLayout_t *made)
{
    const int32_t count = static_cast<int32_t>(batch);
    const attribute<cublasLtMatrixLayoutAttribute_t> attributes[] = {
        {CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count},
        {CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step}};
    cublasStatus_t status =
        blas_lt.create_layout(made, static_cast<cudaDataType>(type), static_cast<uint64_t>(rows),
                              static_cast<uint64_t>(columns), rows);
    return status == CUBLAS_STATUS_SUCCESS ? set_all(blas_lt.set_layout, *made, attributes)
                                           : status;
}

cublasStatus_t make_layouts(const product_shape &shape, biased_product *made)
{
    const int64_t M = shape.M, N = shape.N, K = shape.K;
    cublasStatus_t status =
        make_layout(shape.factors, shape.transpose_b ? K : N, shape.transpose_b ? N : K,
                    shape.batch, shape.b_step, &made->b);
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = make_layout(shape.factors, shape.transpose_a ? M : K, shape.transpose_a ? K : M,
                             shape.batch, shape.a_step, &made->a);
    }
    return status == CUBLAS_STATUS_SUCCESS
               ? make_layout(shape.result, N, M, shape.batch, shape.c_step, &made->c)
               : status;
}

/* Sums of parts would be rounded to a result in bfloat16 before the bias is added to them: there
 * are none of it then. */
cublasStatus_t make_preference(const product_shape &shape, cublasLtMatmulPreference_t *made)
{
    const uint64_t most = BLAS_WORKSPACE;
    const uint32_t aligned = PACK_BYTES, sums = shape.result == CUDA_R_16BF
                                                    ? CUBLASLT_REDUCTION_SCHEME_NONE
                                                    : CUBLASLT_REDUCTION_SCHEME_MASK;
    const attribute<cublasLtMatmulPreferenceAttributes_t> attributes[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &sums, sizeof sums},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &aligned, sizeof aligned},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &aligned, sizeof aligned},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &aligned, sizeof aligned},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &aligned, sizeof aligned}};
    cublasStatus_t status = blas_lt.create_preference(made);
    return status == CUBLAS_STATUS_SUCCESS ? set_all(blas_lt.set_preference, *made, attributes)
                                           : status;
}

/* Any cublasHandle_t is a cublasLtHandle_t (cuBLAS documentation, cublasLtHandle_t). */
cublasLtHandle_t handle_of(const cuda_device *cuda)
{
    return reinterpret_cast<cublasLtHandle_t>(cuda->blas);
}

cublasStatus_t find_algorithm(const cuda_device *cuda, biased_product *product)
{
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulHeuristicResult_t found = {};
    int count = 0;
    cublasStatus_t status = make_preference(product->shape, &preference);
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = blas_lt.find_algorithm(handle_of(cuda), product->operation, product->b, product->a,
                                        product->c, product->c, preference, 1, &found, &count);
    }
    if (preference != nullptr) {
        blas_lt.destroy_preference(preference);
    }
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = count > 0 ? found.state : CUBLAS_STATUS_NOT_SUPPORTED;
        product->algorithm = found.algo;
    }
    return status;
}

cublasStatus_t make_product(const cuda_device *cuda, biased_product *made)
{
    cublasStatus_t status = make_operation(made->shape, &made->operation);
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = make_layouts(made->shape, made);
    }
    return status == CUBLAS_STATUS_SUCCESS ? find_algorithm(cuda, made) : status;
}

/* Any part may be missing. */
void unmake_product(biased_product *product)
{
    for (cublasLtMatrixLayout_t *layout : {&product->b, &product->a, &product->c}) {
        if (*layout != nullptr) {
            blas_lt.destroy_layout(*layout);
        }
        *layout = nullptr;
    }
    if (product->operation != nullptr) {
        blas_lt.destroy_operation(product->operation);
    }
    product->operation = nullptr;
}

/* What is added to the result, or NULL. */
const void *bias_of(cudaDataType result, const mt_matmul_args &args)
{
    return result == CUDA_R_16BF ? args.narrow_bias : args.bias;
}

bool is_aligned(const void *array, int64_t step, cudaDataType type)
{
    const int64_t size = type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
    return reinterpret_cast<uintptr_t>(array) % PACK_BYTES == 0 && step * size % PACK_BYTES == 0;
}

/* Tells if it would be so another time: an algorithm, or none, or what another version has. */
bool is_final(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS || status == CUBLAS_STATUS_NOT_SUPPORTED ||
           status == CUBLAS_STATUS_INVALID_VALUE;
}

} // namespace

mt_status open_biased_products(cuda_device *cuda)
{
    cuda->biased = static_cast<biased_products *>(calloc(1, sizeof *cuda->biased));
    return cuda->biased != nullptr ? MT_OK
                                   : mt_fail(MT_ERROR_MEMORY, "%s: no host memory for %zu bytes",
                                             cuda->name, sizeof *cuda->biased);
}

void close_biased_products(cuda_device *cuda)
{
    for (int i = 0; cuda->biased != nullptr && i < MOST_PRODUCTS; i++) {
        unmake_product(&cuda->biased->of[i]);
    }
    free(cuda->biased);
    cuda->biased = nullptr;
}

mt_status find_biased_product(cuda_device *cuda, cudaDataType factors, const mt_matmul_args &args,
                              const biased_product **product)
{
    const cudaDataType result = factors == CUDA_R_16BF && args.wide ? CUDA_R_32F : factors;
    const int64_t several = args.batch > 1;
    const product_shape shape = {args.transpose_a,
                                 args.transpose_b,
                                 args.M,
                                 args.N,
                                 args.K,
                                 args.batch,
                                 several * args.a_step,
                                 several * args.b_step,
                                 several * args.c_step,
                                 several * args.bias_step,
                                 factors,
                                 result,
                                 factors == CUDA_R_32F && cuda->tf32};
    const void *bias = bias_of(result, args);
    biased_products *known = cuda->biased;
    *product = nullptr;
    if (blas_lt.multiply == nullptr || bias == nullptr || args.batch > INT32_MAX ||
        !is_aligned(args.a, shape.a_step, factors) || !is_aligned(args.b, shape.b_step, factors) ||
        !is_aligned(args.c, shape.c_step, result) || !is_aligned(bias, shape.bias_step, result)) {
        return MT_OK;
    }
    for (const biased_product &one : known->of) {
        if (memcmp(&one.shape, &shape, sizeof shape) == 0) {
            *product = one.operation != nullptr ? &one : nullptr;
            return MT_OK;
        }
    }
    biased_product *made = &known->of[known->next];
    unmake_product(made);
    made->shape = shape;
    cublasStatus_t status = make_product(cuda, made);
    if (status != CUBLAS_STATUS_SUCCESS) {
        unmake_product(made);
    }
    if (!is_final(status)) {
        made->shape = {}; /* to be tried again */
        return check_blas(cuda, status);
    }
    known->next = (known->next + 1) % MOST_PRODUCTS;
    *product = made->operation != nullptr ? made : nullptr;
    return MT_OK;
}

cublasStatus_t multiply_biased(cuda_device *cuda, const biased_product &product,
                               const mt_matmul_args &args)
{
    const bool float64 = is_float64(product.shape);
    const double alpha = args.alpha, zero = 0.0;
    const float alpha32 = static_cast<float>(alpha), zero32 = 0.0f;
    cublasStatus_t status =
        set_bias(product.operation, bias_of(static_cast<cudaDataType>(product.shape.result), args));
    return status != CUBLAS_STATUS_SUCCESS
               ? status
               : blas_lt.multiply(handle_of(cuda), product.operation,
                                  float64 ? static_cast<const void *>(&alpha) : &alpha32, args.b,
                                  product.b, args.a, product.a,
                                  float64 ? static_cast<const void *>(&zero) : &zero32, args.c,
                                  product.c, args.c, product.c, &product.algorithm,
                                  cuda->blas_workspace, BLAS_WORKSPACE, cuda->own_stream);
}

} // namespace mt_cuda
