#include "kernels/cuda/blas.cuh"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

namespace mt_cuda
{

blas_functions blas;

namespace
{

#define STRING_OF(text) #text
#define NAME_OF(macro)  STRING_OF(macro) /* cublas_v2.h renames some functions by macros */

const struct {
    const char *name;
    size_t member;
} functions[] = {
#define ROW(name, function) {NAME_OF(function), offsetof(blas_functions, name)},
    EACH_BLAS_FUNCTION(ROW)
#undef ROW
};

} // namespace

mt_status load_blas()
{
    char library[32];
    snprintf(library, sizeof library, "libcublas.so.%d", CUBLAS_VER_MAJOR);
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) { /* where the toolkit was when this was built */
        char path[512];
        snprintf(path, sizeof path, "%s/%s", MT_CUDA_LIBRARIES, library);
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    if (handle == nullptr) {
        return mt_fail(MT_ERROR_DEVICE,
                       "cuda: %s was not found (add its folder to LD_LIBRARY_PATH, or use cpu)",
                       library);
    }
    for (const auto &function : functions) {
        void *found = dlsym(handle, function.name);
        if (found == nullptr) {
            return mt_fail(MT_ERROR_DEVICE, "cuda: %s has no %s", library, function.name);
        }
        memcpy(reinterpret_cast<char *>(&blas) + function.member, &found, sizeof found);
    }
    return MT_OK;
}

} // namespace mt_cuda
