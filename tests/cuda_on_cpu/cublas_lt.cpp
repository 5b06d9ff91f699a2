/* cuBLASLt on OpenBLAS, enqueued like any other work, and as strict as cuBLAS's documentation is
 * (cublasLtMatmul, cublasLtMatmulAlgoGetHeuristic): what it may take amiss, it does. */
#include "control.h"
#include "factors.h"
#include "kernels/cuda/blas.cuh"

#include <vector>

struct cuda_on_cpu_operation {
    cublasComputeType_t compute;
    cudaDataType scale;
    cublasOperation_t op_a, op_b;
    uint32_t epilogue;
    const void *bias;
    int64_t bias_step;
};

/* Of columns, one after the other. */
struct cuda_on_cpu_layout {
    cudaDataType type;
    uint64_t rows, columns;
    int64_t ld;
    int32_t batch;
    int64_t step;
};

struct cuda_on_cpu_preference {
    uint64_t workspace;
    uint32_t sums; /* that may be made of parts: cublasLtReductionScheme_t */
    uint32_t alignments[4];
};

namespace
{

typedef cuda_on_cpu_operation operation;
typedef cuda_on_cpu_layout layout;

constexpr uint64_t WORKSPACE = 1 << 16; /* that an algorithm takes if it may */
constexpr uintptr_t MOST_ALIGNED = 256;

/* What stands in a cublasLtMatmulAlgo_t: what it was found for, and what it counts on. */
struct algorithm {
    uint64_t question, workspace;
    uint32_t sums_of_parts;
    uint32_t alignments[4], of_bias;
};
static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "an algorithm has its room");

/* Counted, and made to fail, as an allocation of the runtime. */
template <typename descriptor> cublasStatus_t make(descriptor **made, const descriptor &value)
{
    void *memory;
    *made = nullptr;
    if (cudaMallocHost(&memory, sizeof value) != cudaSuccess) {
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    *made = static_cast<descriptor *>(memory);
    **made = value;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t release(void *descriptor)
{
    cudaFreeHost(descriptor);
    return CUBLAS_STATUS_SUCCESS;
}

template <typename member> cublasStatus_t put(member *to, const void *value, size_t bytes)
{
    if (value == nullptr || bytes != sizeof *to) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

size_t size_of(cudaDataType type)
{
    return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}

/* The largest power of two that divides an address, up to what cudaMalloc gives. */
uintptr_t alignment_of(const void *address)
{
    uintptr_t at = reinterpret_cast<uintptr_t>(address), lowest = at & (~at + 1);
    return lowest == 0 || lowest > MOST_ALIGNED ? MOST_ALIGNED : lowest;
}

/* A row of the table of types. */
bool is_supported(const operation &of, cudaDataType factors, cudaDataType result)
{
    bool to_float = result == CUDA_R_32F, to_bf16 = result == CUDA_R_16BF;
    switch (of.compute) {
    case CUBLAS_COMPUTE_32F:
        return of.scale == CUDA_R_32F &&
               (factors == CUDA_R_16BF ? to_float || to_bf16 : factors == CUDA_R_32F && to_float);
    case CUBLAS_COMPUTE_32F_FAST_TF32:
        return of.scale == CUDA_R_32F && factors == CUDA_R_32F && to_float;
    case CUBLAS_COMPUTE_64F:
        return of.scale == CUDA_R_64F && factors == CUDA_R_64F && result == CUDA_R_64F;
    }
    return false;
}

bool is_layout(const layout &of)
{
    return of.rows > 0 && of.columns > 0 && of.ld > 0 && static_cast<uint64_t>(of.ld) >= of.rows &&
           of.batch > 0;
}

/* Rows or columns of op(matrix). */
uint64_t rows_of(const layout &of, cublasOperation_t op)
{
    return op == CUBLAS_OP_N ? of.rows : of.columns;
}

uint64_t columns_of(const layout &of, cublasOperation_t op)
{
    return op == CUBLAS_OP_N ? of.columns : of.rows;
}

struct question {
    operation of;
    layout a, b, c, d;
};

cublasStatus_t check(const question &asked)
{
    const operation &of = asked.of;
    const layout &a = asked.a, &b = asked.b, &c = asked.c, &d = asked.d;
    uint64_t m = rows_of(a, of.op_a), k = columns_of(a, of.op_a), n = columns_of(b, of.op_b);
    if (!is_layout(a) || !is_layout(b) || !is_layout(c) || !is_layout(d) ||
        rows_of(b, of.op_b) != k || d.rows != m || d.columns != n || c.rows != m ||
        c.columns != n || c.type != d.type || a.batch != d.batch || b.batch != d.batch ||
        c.batch != d.batch) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (of.epilogue == CUBLASLT_EPILOGUE_BIAS &&
        (of.bias == nullptr || alignment_of(of.bias) < size_of(d.type))) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    bool known = of.epilogue == CUBLASLT_EPILOGUE_BIAS || of.epilogue == CUBLASLT_EPILOGUE_DEFAULT;
    return known && a.type == b.type && is_supported(of, a.type, d.type) && m <= INT32_MAX &&
                   n <= INT32_MAX && k <= INT32_MAX
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* A number for all that is asked, but for the address of the bias. */
uint64_t number_of(const question &asked)
{
    std::vector<uint64_t> words = {asked.of.compute,  asked.of.scale,
                                   asked.of.op_a,     asked.of.op_b,
                                   asked.of.epilogue, static_cast<uint64_t>(asked.of.bias_step)};
    for (const layout *each : {&asked.a, &asked.b, &asked.c, &asked.d}) {
        words.insert(words.end(),
                     {each->type, each->rows, each->columns, static_cast<uint64_t>(each->ld),
                      static_cast<uint64_t>(each->batch), static_cast<uint64_t>(each->step)});
    }
    uint64_t number = 14695981039346656037u; /* FNV-1a, of words */
    for (uint64_t word : words) {
        number = (number ^ word) * 1099511628211u;
    }
    return number;
}

/* ---- the product ---- */

void multiply(CBLAS_TRANSPOSE op_a, CBLAS_TRANSPOSE op_b, int m, int n, int k, float alpha,
              const std::vector<float> &a, int lda, const std::vector<float> &b, int ldb,
              std::vector<float> *c)
{
    cblas_sgemm(CblasColMajor, op_a, op_b, m, n, k, alpha, a.data(), lda, b.data(), ldb, 0.0f,
                c->data(), m);
}

void multiply(CBLAS_TRANSPOSE op_a, CBLAS_TRANSPOSE op_b, int m, int n, int k, double alpha,
              const std::vector<double> &a, int lda, const std::vector<double> &b, int ldb,
              std::vector<double> *c)
{
    cblas_dgemm(CblasColMajor, op_a, op_b, m, n, k, alpha, a.data(), lda, b.data(), ldb, 0.0,
                c->data(), m);
}

template <typename real> real number_at(cudaDataType type, const void *array, int64_t i)
{
    return type == CUDA_R_64F   ? static_cast<real>(static_cast<const double *>(array)[i])
           : type == CUDA_R_32F ? static_cast<real>(static_cast<const float *>(array)[i])
                                : mt_bf16_value(static_cast<const mt_bf16 *>(array)[i]);
}

template <typename real> void put_number(cudaDataType type, void *array, int64_t i, real number)
{
    if (type == CUDA_R_64F) {
        static_cast<double *>(array)[i] = number;
    } else if (type == CUDA_R_32F) {
        static_cast<float *>(array)[i] = static_cast<float>(number);
    } else {
        static_cast<mt_bf16 *>(array)[i] = mt_bf16_rounded(static_cast<float>(number));
    }
}

/* The numbers of a matrix of a batch, column by column. */
template <typename real>
std::vector<real> numbers_of(const layout &of, const void *array, int32_t index, bool tf32)
{
    std::vector<real> numbers;
    for (uint64_t column = 0; column < of.columns; column++) {
        for (uint64_t row = 0; row < of.rows; row++) {
            int64_t at = index * of.step + static_cast<int64_t>(column) * of.ld;
            real number = number_at<real>(of.type, array, at + static_cast<int64_t>(row));
            numbers.push_back(tf32 ? cuda_on_cpu::in_tf32(static_cast<float>(number)) : number);
        }
    }
    return numbers;
}

/* Sums of parts are of the result's type, and a bias is added to what they have been rounded to, as
 * cuBLASLt may do it. */
template <typename real>
void multiply(const question &asked, bool sums_of_parts, real alpha, const void *a, const void *b,
              real beta, const void *c, void *d)
{
    const operation &of = asked.of;
    const layout &result = asked.d;
    bool tf32 = of.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    bool has_bias = of.epilogue == CUBLASLT_EPILOGUE_BIAS;
    for (int32_t i = 0; i < result.batch; i++) {
        std::vector<real> of_a = numbers_of<real>(asked.a, a, i, tf32),
                          of_b = numbers_of<real>(asked.b, b, i, tf32),
                          sums(result.rows * result.columns);
        multiply(cuda_on_cpu::transpose(of.op_a), cuda_on_cpu::transpose(of.op_b),
                 static_cast<int>(result.rows), static_cast<int>(result.columns),
                 static_cast<int>(columns_of(asked.a, of.op_a)), alpha, of_a,
                 static_cast<int>(asked.a.rows), of_b, static_cast<int>(asked.b.rows), &sums);
        for (uint64_t n = 0; n < sums.size(); n++) {
            int64_t row = static_cast<int64_t>(n % result.rows),
                    column = static_cast<int64_t>(n / result.rows);
            real sum = sums[n];
            if (beta != real(0)) {
                sum += beta * number_at<real>(asked.c.type, c,
                                              i * asked.c.step + column * asked.c.ld + row);
            }
            if (sums_of_parts && result.type == CUDA_R_16BF) {
                sum = mt_bf16_value(mt_bf16_rounded(static_cast<float>(sum)));
            }
            if (has_bias) {
                sum += number_at<real>(result.type, of.bias, i * of.bias_step + row);
            }
            put_number(result.type, d, i * result.step + column * result.ld + row, sum);
        }
    }
}

} // namespace

/* ---- descriptors ---- */

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *made, cublasComputeType_t compute,
                                        cudaDataType scale)
{
    return make(made, operation{compute, scale, CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT,
                                nullptr, 0});
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t made)
{
    return release(made);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t to,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return put(&to->op_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return put(&to->op_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return put(&to->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return put(&to->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
        return put(&to->bias_step, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *made, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t ld)
{
    return make(made, layout{type, rows, columns, ld, 1, 0});
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t made)
{
    return release(made);
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t to,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *value, size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return put(&to->batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return put(&to->step, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *made)
{
    return make(made,
                cuda_on_cpu_preference{0,
                                       CUBLASLT_REDUCTION_SCHEME_MASK,
                                       {MOST_ALIGNED, MOST_ALIGNED, MOST_ALIGNED, MOST_ALIGNED}});
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t made)
{
    return release(made);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t to,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return put(&to->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return put(&to->sums, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return put(&to->alignments[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value,
                   bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

/* ---- algorithms and products ---- */

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t of,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int *count)
{
    *count = 0;
    if (handle == nullptr || most < 1) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const question asked = {*of, *a, *b, *c, *d};
    cublasStatus_t status = check(asked);
    if (status != CUBLAS_STATUS_SUCCESS ||
        cuda_on_cpu::machine_is(CUDA_ON_CPU_NO_ALGORITHM, "no-algorithm")) {
        return status;
    }
    algorithm found = {number_of(asked),
                       preference->workspace >= WORKSPACE ? WORKSPACE : 0,
                       preference->sums,
                       {},
                       static_cast<uint32_t>(alignment_of(of->bias))};
    memcpy(found.alignments, preference->alignments, sizeof found.alignments);
    results[0] = {};
    memcpy(&results[0].algo, &found, sizeof found);
    results[0].workspaceSize = found.workspace;
    results[0].state = CUBLAS_STATUS_SUCCESS;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* What a kernel would fault at, or take for something else, is an invalid value here. */
static bool may_run(const algorithm &chosen, const question &asked, const void *const arrays[4],
                    const void *workspace, size_t workspace_bytes)
{
    for (int i = 0; i < 4; i++) {
        if (arrays[i] == nullptr || alignment_of(arrays[i]) < chosen.alignments[i]) {
            return false;
        }
    }
    return chosen.question == number_of(asked) && alignment_of(asked.of.bias) >= chosen.of_bias &&
           alignment_of(workspace) == MOST_ALIGNED && workspace_bytes >= chosen.workspace;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t of, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t of_a, const void *b,
                              cublasLtMatrixLayout_t of_b, const void *beta, const void *c,
                              cublasLtMatrixLayout_t of_c, void *d, cublasLtMatrixLayout_t of_d,
                              const cublasLtMatmulAlgo_t *with, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    const question asked = {*of, *of_a, *of_b, *of_c, *of_d};
    const void *const arrays[] = {a, b, c, d};
    cublasStatus_t status = check(asked);
    if (status != CUBLAS_STATUS_SUCCESS || handle == nullptr || with == nullptr) {
        return status != CUBLAS_STATUS_SUCCESS ? status : CUBLAS_STATUS_INVALID_VALUE;
    }
    algorithm chosen;
    memcpy(&chosen, with, sizeof chosen);
    if (!may_run(chosen, asked, arrays, workspace, workspace_bytes)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    bool float64 = of->compute == CUBLAS_COMPUTE_64F;
    double by = float64 ? *static_cast<const double *>(alpha) : *static_cast<const float *>(alpha),
           keep = float64 ? *static_cast<const double *>(beta) : *static_cast<const float *>(beta);
    bool sums_of_parts = chosen.sums_of_parts != CUBLASLT_REDUCTION_SCHEME_NONE;
    cudaError_t error = cuda_on_cpu::enqueue(stream, [=] {
        memset(workspace, 0xFF, chosen.workspace); /* which nobody else may count on */
        if (float64) {
            multiply<double>(asked, sums_of_parts, by, a, b, keep, c, d);
        } else {
            multiply<float>(asked, sums_of_parts, static_cast<float>(by), a, b,
                            static_cast<float>(keep), c, d);
        }
    });
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
