/* Parameters of a program's own, saved and loaded by their names. */
#include "tests/io/io_test.h"

#include <math.h>

enum { ROWS = 3, COLUMNS = 4 };

static mt_parameters *make_parameters(mt_dtype dtype, int64_t columns, uint64_t seed)
{
    mt_parameters *parameters;
    const int64_t shape[] = {ROWS, columns};
    ASSERT_OK(mt_parameters_create(test_device, dtype, &parameters));
    mt_parameters_add(parameters, "net.", "weight", 2, shape, mt_initial_normal(1.0));
    mt_parameters_add(parameters, "net.", "bias", 1, shape, mt_initial_uniform(0.5));
    mt_parameters_add(parameters, "", "gain", 0, NULL, mt_initial_normal(1.0));
    ASSERT_OK(mt_parameters_allocate(parameters, seed));
    return parameters;
}

/* The largest difference between two sets of the same names. */
static double distance(const mt_parameters *a, const mt_parameters *b)
{
    double largest = 0.0;
    for (int i = 0; i < a->count; i++) {
        double left[ROWS * COLUMNS], right[ROWS * COLUMNS];
        ASSERT_OK(mt_tensor_read_doubles(&a->items[i]->tensor, left));
        ASSERT_OK(mt_tensor_read_doubles(&b->items[i]->tensor, right));
        for (int64_t j = 0; j < mt_tensor_count(&a->items[i]->tensor); j++) {
            largest = fmax(largest, fabs(left[j] - right[j]));
        }
    }
    return largest;
}

static const char *const files[] = {"own.h5", "own.safetensors"};

enum { FILES = sizeof files / sizeof *files };

START_TEST(test_what_was_saved_is_loaded_to_the_bit)
{
    const char *path = in_folder(files[_i]);
    for (int type = MT_F32; type <= MT_F64; type++) {
        mt_parameters *saved = make_parameters((mt_dtype)type, COLUMNS, 1),
                      *loaded = make_parameters((mt_dtype)type, COLUMNS, 2);
        ck_assert_double_gt(distance(saved, loaded), 0.1);
        ASSERT_OK(mt_parameters_save(path, saved));
        ASSERT_OK(mt_parameters_load(path, loaded));
        ck_assert_double_eq(distance(saved, loaded), 0.0);
        mt_parameters_destroy(saved);
        mt_parameters_destroy(loaded);
    }
}
END_TEST

START_TEST(test_types_may_differ)
{
    const char *path = in_folder(files[_i]);
    mt_parameters *wide = make_parameters(MT_F64, COLUMNS, 1),
                  *narrow = make_parameters(MT_F32, COLUMNS, 2);
    ASSERT_OK(mt_parameters_save(path, wide));
    ASSERT_OK(mt_parameters_load(path, narrow));
    ck_assert_double_le(distance(wide, narrow), 1e-6);
    ASSERT_OK(mt_parameters_save(path, narrow));
    ASSERT_OK(mt_parameters_load(path, wide));
    ck_assert_double_eq(distance(wide, narrow), 0.0);
    mt_parameters_destroy(wide);
    mt_parameters_destroy(narrow);
}
END_TEST

/* A file that does not fit, and parameters that stay as they are. */
static void refuse(const char *path, mt_parameters *parameters, const char *name,
                   const char *figure)
{
    mt_parameters *before = make_parameters(MT_F32, COLUMNS, 7);
    ASSERT_FAILS(mt_parameters_load(path, parameters), MT_ERROR_FORMAT, path, name, figure);
    ck_assert_double_eq(distance(before, parameters), 0.0);
    mt_parameters_destroy(before);
}

START_TEST(test_what_does_not_fit_changes_nothing)
{
    const char *path = in_folder(files[_i]);
    mt_parameters *own = make_parameters(MT_F32, COLUMNS, 7),
                  *wider = make_parameters(MT_F32, COLUMNS + 1, 1), *fewer, *more;
    ASSERT_OK(mt_parameters_save(path, wider));
    refuse(path, own, "net.weight", "(3, 5)");

    ASSERT_OK(mt_parameters_create(test_device, MT_F32, &fewer));
    mt_parameters_add(fewer, "", "gain", 0, NULL, mt_initial_constant(1.0));
    ASSERT_OK(mt_parameters_allocate(fewer, 1));
    ASSERT_OK(mt_parameters_save(path, fewer));
    refuse(path, own, "net.weight", "missing");

    const int64_t shape[] = {ROWS, COLUMNS};
    ASSERT_OK(mt_parameters_create(test_device, MT_F32, &more));
    mt_parameters_add(more, "net.", "weight", 2, shape, mt_initial_normal(1.0));
    mt_parameters_add(more, "net.", "bias", 1, shape, mt_initial_uniform(0.5));
    mt_parameters_add(more, "", "gain", 0, NULL, mt_initial_constant(1.0));
    mt_parameters_add(more, "", "loss", 0, NULL, mt_initial_constant(1.0));
    ASSERT_OK(mt_parameters_allocate(more, 1));
    ASSERT_OK(mt_parameters_save(path, more));
    refuse(path, own, "loss", "unknown");
    mt_parameters_destroy(own);
    mt_parameters_destroy(wider);
    mt_parameters_destroy(fewer);
    mt_parameters_destroy(more);
}
END_TEST

START_TEST(test_what_is_not_finite_is_not_saved)
{
    const char *path = in_folder(files[_i]);
    mt_parameters *own = make_parameters(MT_F64, COLUMNS, 7),
                  *again = make_parameters(MT_F64, COLUMNS, 8);
    ASSERT_OK(mt_parameters_save(path, own));
    double wrong[ROWS] = {0.0, INFINITY, 0.0};
    ASSERT_OK(mt_tensor_write(&mt_parameters_find(own, "net.bias")->tensor, wrong));
    ASSERT_FAILS(mt_parameters_save(path, own), MT_ERROR_NUMERIC, "net.bias", "element 1", "inf");
    ASSERT_OK(mt_parameters_load(path, again)); /* the old file is there */
    mt_parameters_destroy(own);
    mt_parameters_destroy(again);
}
END_TEST

static Suite *parameters_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("parameters", io_setup, io_teardown, &tcase);
    tcase_add_loop_test(tcase, test_what_was_saved_is_loaded_to_the_bit, 0, FILES);
    tcase_add_loop_test(tcase, test_types_may_differ, 0, FILES);
    tcase_add_loop_test(tcase, test_what_does_not_fit_changes_nothing, 0, FILES);
    tcase_add_loop_test(tcase, test_what_is_not_finite_is_not_saved, 0, FILES);
    return suite;
}

MT_TEST_MAIN(parameters_suite)
