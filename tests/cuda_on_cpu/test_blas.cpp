/* Which cuBLAS kernels/cuda/blas.cu loads, of libraries that stand in for it. PLACE is the first of
 * the folders that the system looks in; LIBRARIES has a folder of each kind of library. */
#include "kernels/cuda/blas.cuh"
#include "tests/check_main.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Puts a library in the place under the name of a version; "none" is no library, and hides what the
 * machine may have elsewhere. */
static void put(const char *kind, int version)
{
    char library[512], name[512];
    snprintf(library, sizeof library, "%s/libblas_%s.so", LIBRARIES, kind);
    snprintf(name, sizeof name, "%s/libcublas.so.%d", PLACE, version);
    unlink(name);
    ck_assert_int_eq(symlink(library, name), 0);
}

static const char *loaded(void)
{
    ck_assert_int_eq(mt_cuda::load_blas(), MT_OK);
    return mt_cuda::blas.status_string(CUBLAS_STATUS_SUCCESS);
}

START_TEST(test_the_version_of_the_header_is_preferred)
{
    put("12", 12);
    put("13", 13);
    ck_assert_str_eq(loaded(), "13");
}
END_TEST

START_TEST(test_another_version_serves_where_that_is_not)
{
    put("12", 12);
    put("none", 13);
    ck_assert_str_eq(loaded(), "12");
}
END_TEST

START_TEST(test_what_the_process_has_is_preferred_to_both)
{
    put("12", 12);
    put("13", 13);
    ck_assert_ptr_nonnull(dlopen("libcublas.so.12", RTLD_NOW | RTLD_LOCAL));
    ck_assert_str_eq(loaded(), "12");
}
END_TEST

START_TEST(test_without_one_the_versions_are_named)
{
    put("none", 12);
    put("none", 13);
    ck_assert_int_eq(mt_cuda::load_blas(), MT_ERROR_DEVICE);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "no libcublas.so.12 or .13"));
}
END_TEST

START_TEST(test_a_function_that_it_lacks_is_named)
{
    put("lacking", 13);
    ck_assert_int_eq(mt_cuda::load_blas(), MT_ERROR_DEVICE);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "no cublasGemmStridedBatchedEx_64"));
}
END_TEST

START_TEST(test_cublaslt_is_the_one_that_cublas_is_linked_with)
{
    put("12", 12);
    put("13", 13);
    ck_assert_str_eq(loaded(), "13");
    ck_assert_ptr_nonnull(reinterpret_cast<void *>(mt_cuda::blas_lt.create_operation));
    ck_assert_ptr_nonnull(reinterpret_cast<void *>(mt_cuda::blas_lt.multiply));
}
END_TEST

START_TEST(test_without_a_function_of_cublaslt_there_is_none)
{
    const mt_cuda::blas_lt_functions none = {};
    put("12", 12);
    put("none", 13);
    ck_assert_str_eq(loaded(), "12");
    ck_assert_mem_eq(&mt_cuda::blas_lt, &none, sizeof none);
}
END_TEST

static Suite *blas_suite(void)
{
    TCase *cases;
    Suite *suite = suite_begin("cuda_on_cpu/blas", nullptr, nullptr, &cases);
    tcase_add_test(cases, test_the_version_of_the_header_is_preferred);
    tcase_add_test(cases, test_another_version_serves_where_that_is_not);
    tcase_add_test(cases, test_what_the_process_has_is_preferred_to_both);
    tcase_add_test(cases, test_without_one_the_versions_are_named);
    tcase_add_test(cases, test_a_function_that_it_lacks_is_named);
    tcase_add_test(cases, test_cublaslt_is_the_one_that_cublas_is_linked_with);
    tcase_add_test(cases, test_without_a_function_of_cublaslt_there_is_none);
    return suite;
}

MT_TEST_MAIN(blas_suite)
