#include "kernels/cuda/blas.cuh"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

namespace mt_cuda
{

blas_functions blas;
blas_lt_functions blas_lt;

namespace
{

#define STRING_OF(text) #text
#define NAME_OF(macro)  STRING_OF(macro) /* cublas_v2.h renames some functions by macros */

struct named_function {
    const char *name;
    size_t member;
};

const named_function functions[] = {
#define ROW(name, function) {NAME_OF(function), offsetof(blas_functions, name)},
    EACH_BLAS_FUNCTION(ROW)
#undef ROW
};

const named_function lt_functions[] = {
#define ROW(name, function) {NAME_OF(function), offsetof(blas_lt_functions, name)},
    EACH_BLAS_LT_FUNCTION(ROW)
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

/* Fills a table of them; returns the first that is missing, or NULL. */
template <size_t COUNT, typename table>
const char *find_functions(void *handle, const named_function (&named)[COUNT], table *to)
{
    for (const auto &function : named) {
        void *found = dlsym(handle, function.name);
        if (found == nullptr) {
            return function.name;
        }
        memcpy(reinterpret_cast<char *>(to) + function.member, &found, sizeof found);
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
    const char *missing = find_functions(handle, functions, &blas);
    if (missing != nullptr) {
        return mt_fail(MT_ERROR_DEVICE, "cuda: cuBLAS has no %s", missing);
    }
    /* cuBLAS is linked with the cuBLASLt of its version, where dlsym looks too. */
    blas_lt_functions lt = {};
    blas_lt = find_functions(handle, lt_functions, &lt) == nullptr ? lt : blas_lt_functions{};
    return MT_OK;
}

} // namespace mt_cuda
