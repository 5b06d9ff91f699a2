/* A library with the names that kernels/cuda/blas.cu looks for in the one that cuBLAS is linked
 * with. */
extern "C" {
void cublasLtMatmulDescCreate()
{
}
void cublasLtMatmulDescDestroy()
{
}
void cublasLtMatmulDescSetAttribute()
{
}
void cublasLtMatrixLayoutCreate()
{
}
void cublasLtMatrixLayoutDestroy()
{
}
void cublasLtMatrixLayoutSetAttribute()
{
}
void cublasLtMatmulPreferenceCreate()
{
}
void cublasLtMatmulPreferenceDestroy()
{
}
void cublasLtMatmulPreferenceSetAttribute()
{
}
void cublasLtMatmulAlgoGetHeuristic()
{
}
#ifndef BLAS_LT_LACKS_ONE
void cublasLtMatmul()
{
}
#endif
}
