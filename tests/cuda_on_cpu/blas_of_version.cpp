/* A library with the names that kernels/cuda/blas.cu looks for, which tells its version. */
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS };

extern "C" {
const char *cublasGetStatusString(cublasStatus_t)
{
    return BLAS_VERSION;
}

void cublasCreate()
{
}
void cublasDestroy()
{
}
void cublasSetStream()
{
}
void cublasSetWorkspace()
{
}
void cublasSetMathMode()
{
}
void cublasSgemm_64()
{
}
void cublasDgemm_64()
{
}
void cublasSgemmStridedBatched_64()
{
}
void cublasDgemmStridedBatched_64()
{
}
void cublasGemmEx_64()
{
}
#ifndef BLAS_LACKS_ONE
void cublasGemmStridedBatchedEx_64()
{
}
#endif
}
