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

/* The versions that have all of these, and mean the same by them: first the one whose header this
 * is compiled with. */
const int versions[] = {CUBLAS_VER_MAJOR, 13, 12};

/* First what the process has, as PyTorch brings it: a second one would take its memory again. Then
 * what the system looks for, in the places that a wheel names too (cmake/Wheel.cmake); then the
 * folder that was the toolkit's when this was built. */
const struct {
    const char *folder;
    int flags;
} places[] = {{"", RTLD_NOLOAD}, {"", 0}, {MT_CUDA_LIBRARIES "/", 0}};

/* NULL where there is none. */
void *find_library()
{
    for (const auto &place : places) {
        for (int version : versions) {
            char path[512];
            snprintf(path, sizeof path, "%slibcublas.so.%d", place.folder, version);
            void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | place.flags);
            if (handle != nullptr) {
                return handle;
            }
        }
    }
    return nullptr;
}

} // namespace

mt_status load_blas()
{
    void *handle = find_library();
    if (handle == nullptr) {
        return mt_fail(MT_ERROR_DEVICE, "cuda: cuBLAS was not found: no libcublas.so.12 or .13 "
                                        "(add its folder to LD_LIBRARY_PATH, or use cpu)");
    }
    for (const auto &function : functions) {
        void *found = dlsym(handle, function.name);
        if (found == nullptr) {
            return mt_fail(MT_ERROR_DEVICE, "cuda: cuBLAS has no %s", function.name);
        }
        memcpy(reinterpret_cast<char *>(&blas) + function.member, &found, sizeof found);
    }
    return MT_OK;
}

} // namespace mt_cuda
