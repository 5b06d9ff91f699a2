/* Parts of models on their own. */
#include <mixtape/part.h>

#include "io/weights_file.h"
#include "tests/io/io_test.h"

#include <math.h>

static const char attention[] = "rwkv_blocks.1.att";

static mt_model *small_model(mt_dtype dtype, uint64_t seed)
{
    mt_model_config config = small_config();
    return make_model(&config, dtype, seed);
}

static double first_value(const mt_model *model, const char *name)
{
    const mt_tensor *tensor = &mt_parameters_find(model->parameters, name)->tensor;
    const void *data = tensor->data; /* the CPU's memory is the host's */
    return tensor->dtype == MT_F64 ? *(const double *)data : (double)*(const float *)data;
}

static const char *const files[] = {"part.h5", "part.safetensors"};

START_TEST(test_a_part_has_its_own_names_and_moves_between_models)
{
    mt_model *from = small_model(MT_F32, 1), *into = small_model(MT_F32, 2);
    const char *path = in_folder(files[_i]);
    mt_arrays arrays;
    ASSERT_OK(mt_part_save(path, from, attention));
    ASSERT_OK(mt_arrays_read(path, NULL, NULL, &arrays));
    ck_assert_int_eq(arrays.count, 13);
    ck_assert_ptr_nonnull(mt_arrays_find(&arrays, "time_decay"));
    ck_assert_ptr_nonnull(mt_arrays_find(&arrays, "proj_output.bias"));
    mt_arrays_free(&arrays);
    ASSERT_OK(mt_part_load(path, attention, into));
    for (int i = 0; i < from->parameters->count; i++) {
        const mt_tensor *a = &from->parameters->items[i]->tensor;
        const mt_tensor *b = &into->parameters->items[i]->tensor;
        const char *name = from->parameters->items[i]->name;
        bool same = memcmp(a->data, b->data, mt_tensor_bytes(a)) == 0;
        if (strncmp(name, attention, strlen(attention)) == 0) {
            ck_assert_msg(same, "%s differs", name);
        } else if (strstr(name, "proj") != NULL) {
            ck_assert_msg(!same, "%s was changed", name);
        }
    }
    mt_model_destroy(from);
    mt_model_destroy(into);
}
END_TEST

START_TEST(test_values_are_converted_to_the_models_type)
{
    mt_model *from = small_model(MT_F32, 1), *into = small_model(MT_F64, 2);
    const char *path = in_folder("part.h5"), *name = "rwkv_blocks.1.att.proj_key.weight";
    ASSERT_OK(mt_part_save(path, from, attention));
    ASSERT_OK(mt_part_load(path, attention, into));
    ck_assert_double_eq(first_value(into, name), first_value(from, name));
    mt_model_destroy(from);
    mt_model_destroy(into);
}
END_TEST

/* What weights are read as, and written as, when a part of theirs was replaced. */
START_TEST(test_a_part_takes_the_place_of_the_files)
{
    mt_model *from = small_model(MT_F32, 1), *into = small_model(MT_F32, 2), *expected, *read;
    mt_weights *weights;
    const char *path = in_folder(files[_i]), *whole = in_folder("whole.h5");
    ASSERT_OK(mt_checkpoint_save(whole, into, NULL, &test_state, NULL, NULL));
    ASSERT_OK(mt_part_save(path, from, attention));
    ASSERT_OK(mt_part_load(path, attention, into));
    expected = into;
    ASSERT_OK(mt_weights_open(whole, &weights));
    ASSERT_FAILS(mt_part_replace(weights, "rwkv_blocks.9.att", path), MT_ERROR_INVALID, "9.att");
    ASSERT_OK(mt_part_replace(weights, attention, path));
    ASSERT_OK(mt_weights_model(weights, test_device, &read));
    ck_assert(same_model(read, expected));
    mt_model_destroy(read);
    ASSERT_OK(mt_checkpoint_convert(weights, whole, &test_state, NULL));
    ASSERT_OK(mt_part_convert(weights, attention, in_folder("again.h5")));
    mt_weights_close(weights);

    ASSERT_OK(mt_weights_open(whole, &weights));
    ASSERT_OK(mt_weights_model(weights, test_device, &read));
    ck_assert(same_model(read, expected));
    mt_weights_close(weights);
    mt_model_destroy(read);
    read = small_model(MT_F32, 2);
    ASSERT_OK(mt_part_load(in_folder("again.h5"), attention, read));
    ck_assert_double_eq(first_value(read, "rwkv_blocks.1.att.proj_key.weight"),
                        first_value(from, "rwkv_blocks.1.att.proj_key.weight"));
    mt_model_destroy(read);
    mt_model_destroy(from);
    mt_model_destroy(into);
}
END_TEST

static void remove_last(mt_arrays *arrays)
{
    mt_array *last = &arrays->items[--arrays->count];
    free(last->name);
    free(last->data);
}

static void add_one(mt_arrays *arrays)
{
    const mt_tensor zero = {.dtype = MT_F32, .rank = 1, .shape = {1}};
    ASSERT_OK(mt_arrays_add_like(arrays, "proj_gate.weight", &zero));
}

static void widen(mt_arrays *arrays)
{
    arrays->items[0].shape[0]++;
    arrays->items[0].data =
        realloc(arrays->items[0].data, (size_t)arrays->items[0].shape[0] * sizeof(float));
}

/* A value that is not finite is put into a file by hand, since none is written. */
static const float marked = 12345.678f;

static void make_nan(mt_arrays *arrays)
{
    ((float *)arrays->items[1].data)[2] = marked;
}

static const struct {
    void (*spoil)(mt_arrays *arrays);
    const char *says[2];
} spoilt[] = {
    {remove_last, {"proj_output.bias", "missing"}},
    {add_one, {"proj_gate.weight", "unknown: no parameter of this part"}},
    {widen, {"shape", "expected"}},
    {make_nan, {"element 2", "nan"}},
};
enum { SPOILT = sizeof spoilt / sizeof *spoilt };

START_TEST(test_what_does_not_fit_is_refused_and_the_model_left_alone)
{
    mt_model *from = small_model(MT_F32, 1), *into = small_model(MT_F32, 2);
    const char *path = in_folder("part.safetensors"), *name = "rwkv_blocks.1.att.proj_key.weight";
    double before = first_value(into, name);
    mt_arrays arrays;
    ASSERT_OK(mt_part_save(path, from, attention));
    ASSERT_OK(mt_arrays_read(path, NULL, NULL, &arrays));
    spoilt[_i].spoil(&arrays);
    ASSERT_OK(mt_arrays_write(path, &arrays));
    if (spoilt[_i].spoil == make_nan) {
        const float nan = NAN;
        replace_bytes(path, &marked, &nan, sizeof nan);
    }
    ASSERT_FAILS(mt_part_load(path, attention, into), MT_ERROR_FORMAT, "part.safetensors",
                 spoilt[_i].says[0], spoilt[_i].says[1]);
    ck_assert_double_eq(first_value(into, name), before);
    mt_arrays_free(&arrays);
    mt_model_destroy(from);
    mt_model_destroy(into);
}
END_TEST

START_TEST(test_a_part_that_is_not_there_is_refused)
{
    static const char *const parts[] = {"rwkv_blocks.7.att", "rwkv_blocks.1.at", "", "head"};
    mt_model_config config = small_config();
    config.output_size = 0;
    mt_model *model = make_model(&config, MT_F32, 1);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        ASSERT_FAILS(mt_part_save(in_folder("part.h5"), model, parts[i]), MT_ERROR_INVALID,
                     parts[i], "no part");
    }
    ck_assert_int_eq(files_in_folder(), 0);
    mt_model_destroy(model);
}
END_TEST

static Suite *part_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/part", io_setup, io_teardown, &tcase);
    tcase_add_loop_test(tcase, test_a_part_has_its_own_names_and_moves_between_models, 0, 2);
    tcase_add_test(tcase, test_values_are_converted_to_the_models_type);
    tcase_add_loop_test(tcase, test_a_part_takes_the_place_of_the_files, 0, 2);
    tcase_add_loop_test(tcase, test_what_does_not_fit_is_refused_and_the_model_left_alone, 0,
                        SPOILT);
    tcase_add_test(tcase, test_a_part_that_is_not_there_is_refused);
    return suite;
}

MT_TEST_MAIN(part_suite)
