/* The values of files are read when somebody wants them, once, and checked before they are used; a
 * model that is made to hold them draws no others. */
#include "tests/io/io_test.h"

#include "io/weights_file.h"
#include "layers/layer.h"

#include <math.h>

/* Files whose values are most of them. */
static mt_model_config large_config(void)
{
    mt_model_config config = mt_model_config_default(2000, 128);
    config.num_blocks = 1;
    config.bias = config.head_bias = false;
    config.norm.eps = 1e-5;
    return config;
}

static const mt_layout *layout_named(const char *name)
{
    const mt_layout *layout;
    ASSERT_OK(mt_layout_parse(name, &layout));
    return layout;
}

static mt_status save_checkpoint(const char *path, const trained *from)
{
    return mt_checkpoint_save(path, from->model, from->adam, &test_state, NULL, NULL);
}

static mt_status save_rwkv_lm(const char *path, const trained *from)
{
    return mt_weights_save(path, from->model, layout_named("rwkv-lm"), NULL);
}

static mt_status save_hf(const char *path, const trained *from)
{
    return mt_weights_save(path, from->model, layout_named("hf"), NULL);
}

static const struct {
    const char *name;
    mt_status (*save)(const char *path, const trained *from);
} files[] = {{"checkpoint.h5", save_checkpoint},
             {"weights.h5", save_rwkv_lm},
             {"weights.safetensors", save_rwkv_lm},
             {"folder", save_hf}};
enum { FILES = sizeof files / sizeof *files };

static int64_t bytes_read(void)
{
    char text[64] = "";
    FILE *counts = fopen("/proc/self/io", "re");
    ck_assert_ptr_nonnull(counts);
    ck_assert_ptr_nonnull(fgets(text, sizeof text, counts));
    fclose(counts);
    ck_assert_int_eq(strncmp(text, "rchar: ", 7), 0);
    return strtoll(text + 7, NULL, 10);
}

START_TEST(test_values_are_read_once_and_when_they_are_wanted)
{
    const int64_t most_beside = 256 << 10;
    const char *path = in_folder(files[_i].name);
    mt_model_config config = large_config();
    trained from = make_trained(&config, MT_F32, 1);
    int64_t values = mt_parameters_size(from.model->parameters) * (int64_t)sizeof(float);
    mt_checkpoint *read;
    mt_model *model;
    ASSERT_OK(files[_i].save(path, &from));
    int64_t before = bytes_read();
    ASSERT_OK(mt_checkpoint_load(path, &read));
    int64_t opened = bytes_read();
    ck_assert_int_lt(opened - before, most_beside);
    ck_assert_int_gt(values, 8 * most_beside);

    ASSERT_OK(mt_weights_model(read->weights, test_device, &model));
    int64_t made = bytes_read();
    ck_assert_int_ge(made - opened, values);
    ck_assert_int_lt(made - opened, values + most_beside);
    ck_assert(same_model(from.model, model));

    ASSERT_OK(mt_checkpoint_convert(read->weights, in_folder("new.h5"), &test_state, NULL));
    ck_assert_int_lt(bytes_read() - made, values + most_beside);
    mt_model_destroy(model);
    mt_checkpoint_destroy(read);
    destroy_trained(&from);
}
END_TEST

/* ---- what is drawn ---- */

static int drawn;
static mt_initial drawn_before[128];

static void count_draw(const mt_initial *initial, mt_random *random, int64_t n, double *values)
{
    const mt_initial *before = &drawn_before[(int)initial->b];
    drawn++;
    before->fill(before, random, n, values);
}

/* A model that is reserved, and counts which of its parameters are drawn. */
static mt_model *reserve(const mt_model_config *config)
{
    mt_model *model;
    ASSERT_OK(mt_model_reserve(test_device, MT_F32, config, &model));
    drawn = 0;
    for (int i = 0; i < model->parameters->count; i++) {
        ck_assert_int_lt(i, 128);
        drawn_before[i] = model->parameters->items[i]->initial;
        model->parameters->items[i]->initial = (mt_initial){.fill = count_draw, .b = i};
    }
    return model;
}

static const struct {
    int32_t more;  /* labels, that the model has */
    bool headless; /* the weights are */
    int drawn;     /* the head's weight and bias, or nothing */
} begun[] = {{0, false, 0}, {3, false, 0}, {0, true, 2}, {3, true, 2}};
enum { BEGUN = sizeof begun / sizeof *begun };

START_TEST(test_only_what_the_weights_lack_is_drawn)
{
    mt_model_config of_weights = small_config(), config = small_config();
    of_weights.output_size = begun[_i].headless ? 0 : VOCABULARY;
    of_weights.head_bias = !begun[_i].headless;
    config.head_bias = true;
    config.vocab_size = config.output_size = VOCABULARY + begun[_i].more;
    mt_model *from = make_model(&of_weights, MT_F32, 3), *made = make_model(&config, MT_F32, 7);
    mt_weights *weights;
    ASSERT_OK(mt_weights_save(in_folder("a.h5"), from, layout_named("mixtape"), NULL));
    ASSERT_OK(mt_weights_open(in_folder("a.h5"), &weights));
    ASSERT_OK(mt_weights_begin_grown(weights, made));

    mt_model *model = reserve(&config);
    ASSERT_OK(mt_weights_begin_new(weights, model, 7, begun[_i].more > 0));
    ck_assert_int_eq(drawn, begun[_i].drawn);
    ck_assert(same_model(made, model));
    mt_weights_close(weights);
    mt_model_destroy(model);
    mt_model_destroy(made);
    mt_model_destroy(from);
}
END_TEST

/* ---- what is wrong ---- */

/* The last value that a file holds of some bytes becomes infinite. */
static void spoil_last(const char *path, float value)
{
    const float infinite = INFINITY;
    char *bytes, bits[sizeof value];
    size_t size, last = 0;
    memcpy(bits, &value, sizeof bits);
    ASSERT_OK(mt_file_read(path, &bytes, &size));
    for (size_t at = 0; at + sizeof bits <= size; at++) {
        last = memcmp(bytes + at, bits, sizeof bits) == 0 ? at : last;
    }
    ck_assert_uint_gt(last, 0);
    memcpy(bytes + last, &infinite, sizeof infinite);
    ASSERT_OK(mt_file_replace(path, bytes, size));
    free(bytes);
}

static const float marked = 12345.6789f;

/* Saves a model whose last parameter is marked, and spoils that. */
static const char *save_spoilt(mt_model *model)
{
    const char *path = in_folder("a.safetensors");
    mt_parameters *parameters = model->parameters;
    mt_tensor *last = &parameters->items[parameters->count - 1]->tensor;
    size_t bytes = mt_tensor_bytes(last);
    float *values = malloc(bytes);
    ck_assert_ptr_nonnull(values);
    for (size_t i = 0; i < bytes / sizeof *values; i++) {
        values[i] = marked;
    }
    ASSERT_OK(mt_tensor_write(last, values));
    free(values);
    ASSERT_OK(mt_weights_save(path, model, layout_named("mixtape"), NULL));
    spoil_last(path, marked);
    return path;
}

START_TEST(test_wrong_values_change_no_model)
{
    mt_model_config config = small_config();
    mt_model *from = make_model(&config, MT_F32, 1), *to = make_model(&config, MT_F32, 2);
    mt_model *like = make_model(&config, MT_F32, 2), *none;
    const char *path = save_spoilt(from), *says = "a.safetensors: head.";
    mt_weights *weights;
    ASSERT_OK(mt_weights_open(path, &weights));
    ASSERT_FAILS(mt_weights_check(weights), MT_ERROR_FORMAT, says, "is inf");
    ASSERT_FAILS(mt_weights_restore(weights, to), MT_ERROR_FORMAT, says, "is inf");
    ASSERT_FAILS(mt_weights_begin(weights, to), MT_ERROR_FORMAT, says, "is inf");
    ASSERT_FAILS(mt_weights_begin_grown(weights, to), MT_ERROR_FORMAT, says, "is inf");
    ASSERT_FAILS(mt_parameters_load(path, to->parameters), MT_ERROR_FORMAT, says, "is inf");
    ck_assert(same_model(to, like));
    ASSERT_FAILS(mt_weights_model(weights, test_device, &none), MT_ERROR_FORMAT, says, "is inf");
    ck_assert_ptr_null(none);
    ASSERT_FAILS(mt_weights_convert(weights, in_folder("new.h5"), NULL), MT_ERROR_FORMAT, says,
                 "is inf");
    ck_assert_int_eq(files_in_folder(), 1);
    mt_weights_close(weights);
    mt_model_destroy(from);
    mt_model_destroy(like);
    mt_model_destroy(to);
}
END_TEST

/* Of the row that holds it alone. */
START_TEST(test_wrong_values_are_not_handed_out)
{
    mt_model_config config = small_config();
    mt_model *from = make_model(&config, MT_F32, 1);
    const mt_parameters *parameters = from->parameters;
    const mt_parameter *last = parameters->items[parameters->count - 1];
    int64_t rows = last->tensor.shape[0];
    float values[64];
    mt_weights *weights;
    ASSERT_OK(mt_weights_open(save_spoilt(from), &weights));
    ck_assert_int_le(mt_tensor_count(&last->tensor), 64);
    ASSERT_OK(mt_weights_read(weights, mt_parameters_find(weights->parameters, last->name), 0,
                              rows - 1, values));
    ASSERT_FAILS(mt_weights_read(weights, mt_parameters_find(weights->parameters, last->name),
                                 rows - 1, 1, values),
                 MT_ERROR_FORMAT, last->name, "is inf");
    mt_weights_close(weights);
    mt_model_destroy(from);
}
END_TEST

static Suite *values_read_suite(void)
{
    TCase *cases;
    Suite *suite = suite_begin("io/values_read", io_setup, io_teardown, &cases);
    tcase_add_loop_test(cases, test_values_are_read_once_and_when_they_are_wanted, 0, FILES);
    tcase_add_loop_test(cases, test_only_what_the_weights_lack_is_drawn, 0, BEGUN);
    tcase_add_test(cases, test_wrong_values_change_no_model);
    tcase_add_test(cases, test_wrong_values_are_not_handed_out);
    return suite;
}

MT_TEST_MAIN(values_read_suite)
