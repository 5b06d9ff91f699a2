/* The configuration of a model in a .safetensors file: it comes back whole, and is not believed. */
#include "io/safetensors.h"
#include "tests/io/io_test.h"

static const char path_name[] = "model.safetensors";

/* Models of which neither names nor shapes tell all, and a layout that can hold them. */
static const struct {
    const char *layout;
    mt_norm_config norm;
    int64_t context_size;
    int32_t padding_index;
    bool bias;
} models[] = {
    {"mixtape", {MT_LAYER_NORM, 3e-7, 0.0}, 77, 0, true},
    {"mixtape", {MT_RMS_NORM, 1.0 / 3.0, 0.25}, 1, 2, true},
    {"mixtape", {MT_BASIC_NORM, 0.25, 0.0}, 16777216, -1, true},
    {"espnet-model", {MT_SCALE_NORM, 1e-3, 0.0}, 9, 0, true},
    {"rwkv-lm", {MT_LAYER_NORM, 1e-5, 0.0}, 5, 3, false},
    {"hf", {MT_LAYER_NORM, 1e-5, 0.0}, 4096, -1, false},
};
enum { MODELS = sizeof models / sizeof *models };

static mt_model *model_of(int i, uint64_t seed)
{
    mt_model_config config = small_config();
    config.norm = models[i].norm;
    config.context_size = models[i].context_size;
    config.padding_index = models[i].padding_index;
    config.bias = config.head_bias = models[i].bias;
    config.output_size = VOCABULARY;
    config.att_dropout = 0.125;
    return make_model(&config, MT_F32, seed);
}

static const mt_layout *layout_of(const char *name)
{
    const mt_layout *layout;
    ASSERT_OK(mt_layout_parse(name, &layout));
    return layout;
}

START_TEST(test_a_model_comes_back_with_nothing_assumed)
{
    mt_checkpoint *read;
    mt_model *model = model_of(_i, 1);
    const char *path = in_folder(path_name);
    ASSERT_OK(mt_weights_save(path, model, layout_of(models[_i].layout), NULL));
    ASSERT_OK(mt_checkpoint_load(path, &read));
    ck_assert(same_config(&read->weights->config, &model->config));
    ck_assert_str_eq(mt_weights_assumed(read->weights), "");
    mt_checkpoint_destroy(read);
    mt_model_destroy(model);
}
END_TEST

/* Saves a model with other metadata. A value of NULL takes a name away. */
static const char *save_told(int i, const char *name, const char *value)
{
    mt_model *model = model_of(i, 1);
    const char *path = in_folder(path_name);
    ASSERT_OK(mt_weights_save(path, model, layout_of(models[i].layout), NULL));
    mt_model_destroy(model);
    char *bytes, entry[128] = "\"unused\":\"\"", before[64];
    size_t size;
    ASSERT_OK(mt_file_read(path, &bytes, &size));
    int named = snprintf(before, sizeof before, "\"%s\":\"", name);
    if (value != NULL) {
        snprintf(entry, sizeof entry, "%s%s\"", before, value);
    }
    char *from = memmem(bytes, size, before, (size_t)named);
    ck_assert_ptr_nonnull(from);
    const char *to = strchr(from + named, '"') + 1;
    char *changed = malloc(size + sizeof entry);
    ck_assert_ptr_nonnull(changed);
    size_t kept = (size_t)(from - bytes), rest = size - (size_t)(to - bytes), put = strlen(entry);
    memcpy(changed, bytes, kept);
    memcpy(changed + kept, entry, put);
    memcpy(changed + kept + put, to, rest);
    uint64_t length;
    memcpy(&length, bytes, sizeof length);
    length += kept + put + rest - size;
    memcpy(changed, &length, sizeof length);
    write_bytes(path_name, changed, kept + put + rest);
    free(changed);
    free(bytes);
    return path;
}

static const struct {
    const char *name, *value, *says;
} wrong[] = {
    {"eps", "", "eps ''"},
    {"eps", "nan", "eps 'nan'"},
    {"eps", "1e-5x", "eps '1e-5x'"},
    {"eps", "1e999", "eps '1e999'"},
    {"eps", "-1e-5", "eps"},
    {"eps", "1e-300", "eps is 1e-300"},
    {"eps", "[1]", "eps '[1]'"},
    {"eps", "true", "eps 'true'"},
    {"partial", "\\u0007", "partial"},
    {"context_size", "0", "context_size is 0"},
    {"context_size", "-1", "context_size is -1"},
    {"context_size", "1.5", "context_size '1.5'"},
    {"context_size", "9223372036854775807", "context_size"},
    {"context_size", "99999999999999999999", "context_size"},
    {"embed_pad", "5", "padding_index is 5"},
    {"normalization_type", "layer", "normalization_type 'layer'"},
    {"normalization_type", "scale_norm", "norm"},
    {"num_blocks", "1", "rwkv_blocks.1."},
    {"num_blocks", "1024", "rwkv_blocks.2."},
    {"block_size", "5", "expected"},
    {"vocab_size", "16777216", "expected"},
    {"linear_size", "16777216", "expected"},
    {"bias", "0", "bias"},
    {"bias", "2", "bias '2'"},
    {"embed_pad", "4294967296", "embed_pad '4294967296'"},
    {"eps", "1\",\"a\":3,\"b\":\"", "__metadata__: a is no text"},
    {"output_size", "0", "head"},
    {"att_dropout_rate", "1", "dropout"},
    {MT_EXCHANGE_FORMAT, "2", "mixtape-weights of version '2', this program reads 1"},
    {MT_EXCHANGE_FORMAT, "", "version ''"},
};
enum { WRONG = sizeof wrong / sizeof *wrong };

START_TEST(test_what_no_model_has_is_refused)
{
    mt_weights *weights;
    const char *path = save_told(1, wrong[_i].name, wrong[_i].value);
    ASSERT_FAILS(mt_weights_open(path, &weights), MT_ERROR_FORMAT, path, wrong[_i].says);
    ck_assert_ptr_null(weights);
}
END_TEST

START_TEST(test_what_the_layout_cannot_have_is_told_by_its_name)
{
    mt_weights *weights;
    const char *path = save_told(MODELS - 1, "bias", "1");
    ASSERT_FAILS(mt_weights_open(path, &weights), MT_ERROR_FORMAT, path,
                 "proj_key.bias, of which layout hf has none");
    ck_assert_ptr_null(weights);
}
END_TEST

static const struct {
    const char *name, *assumed;
    mt_norm_config norm;
    int64_t context_size;
} missing[] = {
    {MT_EXCHANGE_FORMAT, "eps 1e-05, partial 0, context_size 1024", {0, 1e-5, 0.0}, 1024},
    {"eps", "eps 1e-05", {0, 1e-5, 0.25}, 1},
    {"partial", "partial 0", {0, 1.0 / 3.0, 0.0}, 1},
    {"context_size", "context_size 1024", {0, 1.0 / 3.0, 0.25}, 1024},
    {"time_first", "", {0, 1.0 / 3.0, 0.25}, 1},
};
enum { MISSING = sizeof missing / sizeof *missing };

START_TEST(test_what_is_not_told_is_assumed)
{
    mt_weights *weights;
    ASSERT_OK(mt_weights_open(save_told(1, missing[_i].name, NULL), &weights));
    ck_assert_str_eq(mt_weights_assumed(weights), missing[_i].assumed);
    ck_assert(weights->config.norm.eps == missing[_i].norm.eps);
    ck_assert(weights->config.norm.partial == missing[_i].norm.partial);
    ck_assert_int_eq(weights->config.context_size, missing[_i].context_size);
    mt_weights_close(weights);
}
END_TEST

/* A folder's configuration is what transformers reads, and there is one truth. */
START_TEST(test_a_folder_tells_it_by_its_configuration_alone)
{
    char *bytes;
    size_t size;
    mt_model *model = model_of(MODELS - 1, 1);
    ASSERT_OK(mt_weights_save(in_folder("folder"), model, layout_of("hf"), NULL));
    ASSERT_OK(mt_file_read(in_folder("folder/model.safetensors"), &bytes, &size));
    ck_assert_ptr_nonnull(memmem(bytes, size, "\"format\":\"pt\"}", 14));
    free(bytes);
    mt_model_destroy(model);
}
END_TEST

static Suite *safetensors_model_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/safetensors_model", io_setup, io_teardown, &tcase);
    tcase_add_loop_test(tcase, test_a_model_comes_back_with_nothing_assumed, 0, MODELS);
    tcase_add_loop_test(tcase, test_what_no_model_has_is_refused, 0, WRONG);
    tcase_add_test(tcase, test_what_the_layout_cannot_have_is_told_by_its_name);
    tcase_add_loop_test(tcase, test_what_is_not_told_is_assumed, 0, MISSING);
    tcase_add_test(tcase, test_a_folder_tells_it_by_its_configuration_alone);
    return suite;
}

MT_TEST_MAIN(safetensors_model_suite)
