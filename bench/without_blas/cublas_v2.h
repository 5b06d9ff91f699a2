/* In place of cuBLAS's own header, for programs of this folder that multiply no matrices and are
 * compiled where that header may not be. */
#ifndef MT_BENCH_CUBLAS_V2_H
#define MT_BENCH_CUBLAS_V2_H

typedef struct cublasContext *cublasHandle_t;

#endif
