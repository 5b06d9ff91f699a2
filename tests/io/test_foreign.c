/* Other programs' weights: layouts found by names, sizes by shapes, and safetensors files byte by
 * byte. */
#include "io/weights_file.h"
#include "tests/io/io_test.h"

/* The differences between models, and a layout that can hold them. */
static const struct {
    const char *layout;
    mt_norm_kind norm;
    bool bias, head;
    int64_t attention_size, linear_size;
    mt_dtype dtype;
} models[] = {
    {"espnet", MT_LAYER_NORM, true, false, 0, 0, MT_F32},
    {"espnet", MT_RMS_NORM, true, false, 6, 5, MT_F64},
    {"espnet", MT_SCALE_NORM, true, false, 0, 0, MT_F32},
    {"espnet", MT_BASIC_NORM, true, false, 0, 0, MT_F32},
    {"espnet-model", MT_LAYER_NORM, true, true, 6, 0, MT_F32},
    {"mixtape", MT_LAYER_NORM, true, true, 0, 3, MT_F32},
    {"rwkv-lm", MT_LAYER_NORM, false, true, 0, 0, MT_F32},
    {"hf", MT_LAYER_NORM, false, true, 6, 7, MT_F64},
};
enum { MODELS = sizeof models / sizeof *models, RWKV_LM = MODELS - 2, HF = MODELS - 1 };

static mt_model *model_of(int i, uint64_t seed)
{
    mt_model_config config = small_config();
    config.norm.kind = models[i].norm;
    config.norm.eps = models[i].norm == MT_LAYER_NORM ? 1e-5 : 0.0;
    config.bias = config.head_bias = models[i].bias;
    config.output_size = models[i].head ? VOCABULARY : 0;
    config.attention_size = models[i].attention_size;
    config.linear_size = models[i].linear_size;
    return make_model(&config, models[i].dtype, seed);
}

START_TEST(test_layout_and_sizes_are_found_and_bits_come_back)
{
    const mt_layout *layout;
    mt_checkpoint *read;
    mt_model *model = model_of(_i, 1), *other = model_of(_i, 2);
    const char *path = in_folder("model.safetensors");
    ASSERT_OK(mt_layout_parse(models[_i].layout, &layout));
    ASSERT_OK(mt_weights_save(path, model, layout, NULL));
    ASSERT_OK(mt_checkpoint_load(path, &read));
    ck_assert_ptr_eq(read->weights->layout, layout);
    ck_assert_int_eq(read->weights->config.vocab_size, VOCABULARY);
    ck_assert_int_eq(read->weights->config.num_blocks, 2);
    ck_assert_int_eq(read->weights->config.attention_size, model->config.attention_size);
    ck_assert_int_eq(read->weights->config.linear_size, model->config.linear_size);
    ck_assert_int_eq(read->weights->config.norm.kind, models[_i].norm);
    ck_assert_int_eq(read->weights->config.output_size, models[_i].head ? VOCABULARY : 0);
    ck_assert(!same_model(model, other));
    ASSERT_OK(mt_checkpoint_restore(read, other, NULL));
    ck_assert(same_model(model, other));
    mt_checkpoint_destroy(read);
    mt_model_destroy(model);
    mt_model_destroy(other);
}
END_TEST

/* The arrays of model_of(i, 1) under the names of its layout. */
static mt_arrays arrays_of(int i)
{
    const mt_layout *layout;
    mt_arrays arrays;
    mt_model *model = model_of(i, 1);
    ASSERT_OK(mt_layout_parse(models[i].layout, &layout));
    ASSERT_OK(mt_weights_save(in_folder("whole.safetensors"), model, layout, NULL));
    ASSERT_OK(mt_arrays_read(in_folder("whole.safetensors"), NULL, NULL, &arrays));
    mt_model_destroy(model);
    return arrays;
}

static mt_array *array_of(mt_arrays *arrays, const char *name)
{
    mt_array *array = mt_arrays_find(arrays, name);
    ck_assert_ptr_nonnull(array);
    return array;
}

static void rename_array(mt_arrays *arrays, const char *name, const char *to)
{
    mt_array *array = array_of(arrays, name);
    free(array->name);
    array->name = strdup(to);
}

static void transpose(mt_arrays *arrays)
{
    mt_array *array = array_of(arrays, "blocks.1.ffn.key.weight");
    int64_t rows = array->shape[0];
    array->shape[0] = array->shape[1];
    array->shape[1] = rows;
}

static void remove_one(mt_arrays *arrays)
{
    rename_array(arrays, "ln_out.weight", "ln_out.bias2");
}

static void rename_first(mt_arrays *arrays)
{
    rename_array(arrays, "blocks.0.att.time_decay", "time_decay");
}

static void mix_layouts(mt_arrays *arrays)
{
    rename_array(arrays, "blocks.1.att.time_decay", "rwkv.blocks.0.attention.time_decay");
}

static void add_unknown(mt_arrays *arrays)
{
    const mt_tensor zero = {.dtype = MT_F32, .rank = 1, .shape = {1}};
    ASSERT_OK(mt_arrays_add_like(arrays, "blocks.0.att.extra", &zero));
}

static void add_bias(mt_arrays *arrays)
{
    const mt_tensor zeros = {.dtype = MT_F32, .rank = 1, .shape = {4}};
    ASSERT_OK(mt_arrays_add_like(arrays, "blocks.0.att.key.bias", &zeros));
}

/* A value that is not finite is put into a file by hand, since none is written. */
static const float marked = 12345.678f;

static void make_infinite(mt_arrays *arrays)
{
    ((float *)array_of(arrays, "emb.weight")->data)[3] = marked;
}

static void flatten_embedding(mt_arrays *arrays)
{
    mt_array *array = array_of(arrays, "emb.weight");
    array->shape[0] *= array->shape[1];
    array->rank = 1;
}

static const struct {
    void (*spoil)(mt_arrays *arrays);
    const char *says[3];
} spoilt[] = {
    {transpose, {"blocks.1.ffn.key.weight", "(4, 16)", "(16, 4)"}},
    {remove_one, {"ln_out.bias2", "unknown", "rwkv-lm"}},
    {rename_first, {"no layout", "first", "rwkv"}},
    {mix_layouts, {"two layouts", "rwkv-lm", "hf"}},
    {add_unknown, {"blocks.0.att.extra", "unknown", "rwkv-lm"}},
    {add_bias, {"blocks.0.att.key.bias", "unknown", "rwkv-lm"}},
    {make_infinite, {"emb.weight", "element 3", "inf"}},
    {flatten_embedding, {"emb.weight", "1 dimensions", "expected 2"}},
};
enum { SPOILT = sizeof spoilt / sizeof *spoilt };

START_TEST(test_what_does_not_fit_is_refused_with_name_and_shapes)
{
    mt_checkpoint *read;
    mt_arrays arrays = arrays_of(RWKV_LM);
    const char *path = in_folder("rwkv.safetensors");
    spoilt[_i].spoil(&arrays);
    ASSERT_OK(mt_arrays_write(path, &arrays));
    if (spoilt[_i].spoil == make_infinite) {
        const float infinite = INFINITY;
        replace_bytes(path, &marked, &infinite, sizeof infinite);
    }
    ASSERT_FAILS(load_checked(path, &read), MT_ERROR_FORMAT, "rwkv.safetensors", spoilt[_i].says[0],
                 spoilt[_i].says[1], spoilt[_i].says[2]);
    ck_assert_ptr_null(read);
    mt_arrays_free(&arrays);
}
END_TEST

/* Puts entries, of bytes behind the others, into a .safetensors file. */
static const char *add_entries(const char *path, const char *entries, size_t size)
{
    char *bytes, header[16384];
    size_t old_size, header_size = 0;
    ASSERT_OK(mt_file_read(path, &bytes, &old_size));
    for (int i = 7; i >= 0; i--) {
        header_size = header_size << 8 | (unsigned char)bytes[i];
    }
    int data_size = (int)(old_size - 8 - header_size);
    int length = snprintf(header, sizeof header, entries, data_size, data_size + 8, data_size + 8,
                          data_size + (int)size, data_size, data_size);
    ck_assert_uint_lt((size_t)length + header_size, sizeof header);
    memcpy(header + length, bytes + 8 + 1, header_size - 1); /* behind its brace */
    size_t new_header = (size_t)length + header_size - 1,
           new_size = 8 + new_header + (size_t)data_size + size;
    char *made = calloc(new_size, 1);
    ck_assert_ptr_nonnull(made);
    for (int i = 0; i < 8; i++) {
        made[i] = (char)(new_header >> (8 * i) & 255);
    }
    memcpy(made + 8, header, new_header);
    memcpy(made + 8 + new_header, bytes + 8 + header_size, (size_t)data_size);
    path = write_bytes("more.safetensors", made, new_size);
    free(made);
    free(bytes);
    return path;
}

static const char more[] = "{\"encoder.norm.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],"
                           "\"data_offsets\":[%d,%d]},"
                           "\"encoder.conv.weight\":{\"dtype\":\"F64\",\"shape\":[1,1,1,1,1],"
                           "\"data_offsets\":[%d,%d]},"
                           "\"encoder.empty\":{\"dtype\":\"F32\",\"shape\":[0],"
                           "\"data_offsets\":[%d,%d]},";

START_TEST(test_what_a_whole_model_has_beside_its_decoder_is_not_read)
{
    const mt_layout *layout;
    mt_checkpoint *read;
    const char *path = in_folder("model.safetensors");
    mt_model *model = model_of(4, 1), *other = model_of(4, 2);
    ASSERT_OK(mt_layout_parse("espnet-model", &layout));
    ASSERT_OK(mt_weights_save(path, model, layout, NULL));
    ASSERT_OK(mt_checkpoint_load(add_entries(path, more, 16), &read));
    ck_assert_ptr_eq(read->weights->layout, layout);
    ck_assert_int_eq(read->weights->dtype, MT_F32); /* whatever the others are */
    ASSERT_OK(mt_checkpoint_restore(read, other, NULL));
    ck_assert(same_model(model, other));
    mt_checkpoint_destroy(read);
    ASSERT_OK(mt_layout_parse("mixtape", &layout));
    ASSERT_OK(mt_weights_save(path, model, layout, NULL));
    ASSERT_FAILS(mt_checkpoint_load(add_entries(path, more, 16), &read), MT_ERROR_FORMAT,
                 "more.safetensors", "encoder.");
    mt_model_destroy(model);
    mt_model_destroy(other);
}
END_TEST

static const char *const suffixes[] = {"a.safetensors", "a.SAFETENSORS", "a.SafeTensors"};

START_TEST(test_the_suffix_counts_in_letters_of_either_case)
{
    const char *path = in_folder(suffixes[_i]);
    mt_model *model = model_of(5, 1);
    mt_checkpoint *read;
    char *bytes;
    size_t size;
    ASSERT_OK(mt_weights_save(path, model, &mt_layouts[0], NULL));
    ASSERT_OK(mt_file_read(path, &bytes, &size));
    ck_assert_mem_ne(bytes, "\211HDF", 4);
    ASSERT_OK(mt_checkpoint_load(path, &read));
    mt_checkpoint_destroy(read);
    free(bytes);
    mt_model_destroy(model);
}
END_TEST

static const struct {
    const char *written, *named;
} misnamed[] = {{"a.safetensors", "a.h5"}, {"a.h5", "a.safetensors"}, {"a.h5", "a"}};

START_TEST(test_a_format_is_found_by_what_a_file_holds)
{
    const mt_layout *layout;
    mt_checkpoint *read;
    mt_model *model = model_of(5, 1), *other = model_of(5, 2);
    const char *path = in_folder(misnamed[_i].named);
    char written[PATH_MAX];
    snprintf(written, sizeof written, "%s", in_folder(misnamed[_i].written));
    ASSERT_OK(mt_layout_parse(models[5].layout, &layout));
    ASSERT_OK(mt_weights_save(written, model, layout, NULL));
    ck_assert_int_eq(rename(written, path), 0);
    ASSERT_OK(mt_checkpoint_load(path, &read));
    ck_assert_ptr_eq(read->weights->layout, layout);
    ASSERT_OK(mt_checkpoint_restore(read, other, NULL));
    ck_assert(same_model(model, other));
    mt_checkpoint_destroy(read);
    mt_model_destroy(model);
    mt_model_destroy(other);
}
END_TEST

static const char *const pickles[] = {"a.pth", "a.pt", "a.bin", "a.PTH"};

START_TEST(test_hdf5_is_not_written_under_pytorchs_names)
{
    mt_model *model = model_of(5, 1);
    ASSERT_FAILS(mt_weights_save(in_folder(pickles[_i]), model, &mt_layouts[0], NULL),
                 MT_ERROR_INVALID, pickles[_i], "HDF5", "mixtape-to-pth");
    ASSERT_FAILS(mt_checkpoint_save(in_folder(pickles[_i]), model, NULL, &test_state, NULL, NULL),
                 MT_ERROR_INVALID, pickles[_i], "HDF5", "mixtape-to-pth");
    ck_assert_int_eq(files_in_folder(), 0);
    mt_model_destroy(model);
}
END_TEST

static void put_before_names(mt_arrays *arrays, const char *prefix)
{
    for (int64_t i = 0; i < arrays->count; i++) {
        char name[2 * MT_NAME_MAX];
        snprintf(name, sizeof name, "%s%s", prefix, arrays->items[i].name);
        ASSERT_OK(mt_array_rename(&arrays->items[i], name));
    }
}

static const char *const wrapped[] = {"module.",
                                      "_forward_module.",
                                      "_orig_mod.",
                                      "_fsdp_wrapped_module.",
                                      "model.",
                                      "_forward_module._orig_mod.module.",
                                      "module.model._orig_mod.module."};
enum { WRAPPED = sizeof wrapped / sizeof *wrapped };
static const char *const containers[] = {"wrapped.safetensors", "wrapped.h5"};

START_TEST(test_prefixes_of_wrappers_are_taken_off)
{
    for (int i = 0; i < MODELS; i++) {
        mt_arrays arrays = arrays_of(i);
        mt_model *model = model_of(i, 1), *other = model_of(i, 2);
        mt_checkpoint *read;
        put_before_names(&arrays, wrapped[_i]);
        for (int c = 0; c < 2; c++) {
            ASSERT_OK(mt_arrays_write(in_folder(containers[c]), &arrays));
            ASSERT_OK(mt_checkpoint_load(in_folder(containers[c]), &read));
            ck_assert_str_eq(read->weights->layout->name, models[i].layout);
            ASSERT_OK(mt_checkpoint_restore(read, other, NULL));
            ck_assert(same_model(model, other));
            mt_checkpoint_destroy(read);
        }
        mt_arrays_free(&arrays);
        mt_model_destroy(model);
        mt_model_destroy(other);
    }
}
END_TEST

START_TEST(test_a_prefix_that_one_name_lacks_is_none)
{
    mt_arrays arrays = arrays_of(RWKV_LM);
    mt_checkpoint *read;
    put_before_names(&arrays, "module.");
    rename_array(&arrays, "module.ln_out.bias", "ln_out.bias");
    ASSERT_OK(mt_arrays_write(in_folder("a.safetensors"), &arrays));
    ASSERT_FAILS(mt_checkpoint_load(in_folder("a.safetensors"), &read), MT_ERROR_FORMAT,
                 "a.safetensors: no layout has its names", "module.");
    mt_arrays_free(&arrays);
}
END_TEST

/* Puts a word before the part of each name that follows the block's number. */
static void put_within_names(mt_arrays *arrays, const char *word)
{
    for (int64_t i = 0; i < arrays->count; i++) {
        char name[2 * MT_NAME_MAX];
        const char *number = strpbrk(arrays->items[i].name, "01");
        if (number != NULL) {
            snprintf(name, sizeof name, "%.*s%s%s", (int)(number + 2 - arrays->items[i].name),
                     arrays->items[i].name, word, number + 2);
            ASSERT_OK(mt_array_rename(&arrays->items[i], name));
        }
    }
}

static const char *const inner[] = {"_orig_mod.", "_fsdp_wrapped_module.",
                                    "_checkpoint_wrapped_module._fsdp_wrapped_module."};

START_TEST(test_what_wrappers_put_within_names_is_taken_out)
{
    mt_arrays arrays = arrays_of(RWKV_LM);
    mt_model *model = model_of(RWKV_LM, 1), *other = model_of(RWKV_LM, 2);
    mt_checkpoint *read;
    put_within_names(&arrays, inner[_i]);
    ASSERT_OK(mt_arrays_write(in_folder("wrapped.safetensors"), &arrays));
    ASSERT_OK(mt_checkpoint_load(in_folder("wrapped.safetensors"), &read));
    ASSERT_OK(mt_checkpoint_restore(read, other, NULL));
    ck_assert(same_model(model, other));
    mt_checkpoint_destroy(read);
    mt_arrays_free(&arrays);
    mt_model_destroy(model);
    mt_model_destroy(other);
}
END_TEST

START_TEST(test_two_names_of_one_parameter_are_refused)
{
    const mt_tensor zeros = {.dtype = MT_F32, .rank = 1, .shape = {4}};
    mt_arrays arrays = arrays_of(RWKV_LM);
    mt_checkpoint *read;
    ASSERT_OK(mt_arrays_add_like(&arrays, "_orig_mod.ln_out.bias", &zeros));
    ASSERT_OK(mt_arrays_write(in_folder("a.safetensors"), &arrays));
    ASSERT_FAILS(mt_checkpoint_load(in_folder("a.safetensors"), &read), MT_ERROR_FORMAT,
                 "a.safetensors", "_orig_mod.ln_out.bias", "names of the same: ln_out.bias");
    mt_arrays_free(&arrays);
}
END_TEST

/* Names of later versions, of RWKV-LM, of Hugging Face's files and of flash-linear-attention. */
static const struct {
    const char *name, *says;
} later[] = {
    {"blocks.0.att.time_faaaa", "this is RWKV-5; Mixtape has version 4"},
    {"blocks.0.att.ln_x.weight", "this is RWKV-5"},
    {"rwkv.blocks.0.attention.time_mix_gate", "this is RWKV-5"},
    {"blocks.0.att.time_maa_x", "this is RWKV-6"},
    {"rwkv.blocks.0.attention.time_maa_x", "this is RWKV-6"},
    {"model.layers.0.attn.bonus", "this is RWKV-6"},
    {"blocks.0.att.r_k", "this is RWKV-7"},
    {"module.blocks.0.att.r_k", "this is RWKV-7"},
    {"model.layers.0.attn.r_k", "this is RWKV-7"},
    {"model.layers.0.attn.x_r", "this is RWKV-7"},
    {"model.layers.0.attn.w_lora.lora.0.weight", "this is RWKV-7"},
};
enum { LATER = sizeof later / sizeof *later };

START_TEST(test_later_versions_of_rwkv_are_named)
{
    const mt_tensor zero = {.dtype = MT_F32, .rank = 1, .shape = {1}};
    mt_arrays arrays = {0};
    mt_checkpoint *read;
    ASSERT_OK(mt_arrays_add_like(&arrays, "blocks.0.att.time_decay", &zero));
    ASSERT_OK(mt_arrays_add_like(&arrays, later[_i].name, &zero));
    for (int c = 0; c < 2; c++) {
        ASSERT_OK(mt_arrays_write(in_folder(containers[c]), &arrays));
        ASSERT_FAILS(mt_checkpoint_load(in_folder(containers[c]), &read), MT_ERROR_FORMAT,
                     containers[c], later[_i].says);
    }
    mt_arrays_free(&arrays);
}
END_TEST

static bool is_no_head(const void *context, const mt_array *array)
{
    (void)context;
    return strcmp(array->name, "head.weight") != 0;
}

/* A file of Hugging Face's model without its head; its names begin behind `cut`. */
static const char *write_headless(const char *cut)
{
    const char *path = in_folder("headless.safetensors");
    mt_arrays arrays = arrays_of(HF);
    mt_arrays_filter(&arrays, is_no_head, NULL);
    for (int64_t i = 0; i < arrays.count; i++) {
        ASSERT_OK(mt_array_rename(&arrays.items[i], arrays.items[i].name + strlen(cut)));
    }
    ASSERT_OK(mt_arrays_write(path, &arrays));
    mt_arrays_free(&arrays);
    return path;
}

/* What is in the file, as a model. */
static mt_model *model_in(const char *path)
{
    mt_weights *weights;
    mt_model *model;
    ASSERT_OK(mt_weights_open(path, &weights));
    ck_assert_str_eq(weights->layout->name, "hf");
    ASSERT_OK(mt_weights_model(weights, test_device, &model));
    mt_weights_close(weights);
    return model;
}

static const void *data_of(const mt_model *model, const char *name)
{
    const mt_parameter *parameter = mt_parameters_find(model->parameters, name);
    ck_assert_ptr_nonnull(parameter);
    return parameter->tensor.data;
}

#define TIED "{\"model_type\": \"rwkv\", \"tie_word_embeddings\": true}"

static const char *const headless[] = {"", "rwkv."};

START_TEST(test_hugging_faces_model_without_a_head_is_one_of_ours_without)
{
    mt_model *whole = model_of(HF, 1), *read = model_in(write_headless(headless[_i]));
    ck_assert_int_eq(read->config.output_size, 0);
    ck_assert_int_eq(read->parameters->count, whole->parameters->count - 1);
    for (int i = 0; i < read->parameters->count; i++) {
        const mt_parameter *parameter = read->parameters->items[i];
        ck_assert_mem_eq(parameter->tensor.data, data_of(whole, parameter->name),
                         (size_t)mt_tensor_count(&parameter->tensor) * sizeof(double));
    }
    mt_model_destroy(whole);
    mt_model_destroy(read);
}
END_TEST

START_TEST(test_a_tied_head_is_the_embedding)
{
    write_text("config.json", TIED);
    mt_model *whole = model_of(HF, 1), *read = model_in(write_headless(""));
    size_t bytes = VOCABULARY * (size_t)whole->config.block_size * sizeof(double);
    ck_assert_int_eq(read->config.output_size, VOCABULARY);
    ck_assert_mem_eq(data_of(read, "head.weight"), data_of(whole, "embed.weight"), bytes);
    ck_assert_mem_eq(data_of(read, "embed.weight"), data_of(whole, "embed.weight"), bytes);
    mt_model_destroy(read);
    read = model_in(write_headless("rwkv."));
    ck_assert_int_eq(read->config.output_size, 0);
    mt_model_destroy(read);
    mt_model_destroy(whole);
}
END_TEST

/* transformers 4 would take the head for both, others the embedding. */
START_TEST(test_a_tied_head_that_is_another_is_refused)
{
    mt_weights *weights;
    mt_arrays arrays = arrays_of(HF);
    write_text("config.json", TIED);
    ASSERT_FAILS(mt_weights_open(in_folder("whole.safetensors"), &weights), MT_ERROR_FORMAT,
                 "tie_word_embeddings true", "element 0");
    double *head = mt_arrays_find(&arrays, "head.weight")->data;
    const mt_array *embedding = mt_arrays_find(&arrays, "rwkv.embeddings.weight");
    memcpy(head, embedding->data, (size_t)mt_array_count(embedding) * sizeof *head);
    ASSERT_OK(mt_arrays_write(in_folder("whole.safetensors"), &arrays));
    mt_model_destroy(model_in(in_folder("whole.safetensors")));
    head[mt_array_count(embedding) - 1] += 1.0;
    ASSERT_OK(mt_arrays_write(in_folder("whole.safetensors"), &arrays));
    ASSERT_FAILS(mt_weights_open(in_folder("whole.safetensors"), &weights), MT_ERROR_FORMAT,
                 "from element 19 on");
    mt_arrays_free(&arrays);
}
END_TEST

static const struct {
    const char *text;
    double eps;
} told[] = {
    {"{\"model_type\": \"rwkv\", \"layer_norm_epsilon\": 1e-6}", 1e-6},
    {"{\"model_type\": \"rwkv\"}", 1e-5},
    {"{\"model_type\": \"gpt2\", \"layer_norm_epsilon\": 1e-6}", 1e-5},
    {"{}", 1e-5},
};
enum { TOLD = sizeof told / sizeof *told };

START_TEST(test_the_eps_is_that_of_the_configuration_beside)
{
    mt_arrays arrays = arrays_of(HF);
    mt_arrays_free(&arrays);
    write_text("config.json", told[_i].text);
    mt_model *model = model_in(in_folder("whole.safetensors"));
    ck_assert_double_eq(model->config.norm.eps, told[_i].eps);
    mt_model_destroy(model);
}
END_TEST

static const char *const no_configurations[][2] = {
    {"[]", "no JSON object"},
    {"{", "no JSON object: string or '}' expected"},
    {"", "no JSON object"},
    {"{\"model_type\": \"rwkv\", \"layer_norm_epsilon\": 0}", "layer_norm_epsilon"},
    {"{\"model_type\": \"rwkv\", \"layer_norm_epsilon\": \"1e-6\"}", "layer_norm_epsilon"},
    {"{\"model_type\": \"rwkv\", \"tie_word_embeddings\": 1}", "neither true nor false"},
};
enum { NO_CONFIGURATIONS = sizeof no_configurations / sizeof *no_configurations };

START_TEST(test_a_configuration_beside_that_cannot_be_is_refused)
{
    mt_weights *weights;
    const char *path = write_headless("");
    write_text("config.json", no_configurations[_i][0]);
    ASSERT_FAILS(mt_weights_open(path, &weights), MT_ERROR_FORMAT, "config.json",
                 no_configurations[_i][1]);
}
END_TEST

/* What stands where weights should be: under HDF5's name, and under safetensors'. */
static const struct {
    const char *bytes, *says;
} strangers[] = {
    {"PK\3\4archive/data.pkl", "a zip file, as PyTorch's .pth are: `mixtape-from-pth /tmp"},
    {"\200\2}q", "a pickle, as PyTorch's older .pth are: `mixtape-from-pth /tmp"},
    {"\200\4}q", "a pickle"},
    {"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "git lfs pull"},
    {"<!DOCTYPE html><html></html>", "HTML"},
    {"<HTML><title>404</title></HTML>", "HTML"},
    {"\37\213\10 ", "gzip"},
    {"GGUF\3", "GGUF"},
    {"fmgg\144", "rwkv.cpp"},
    {"\10\10\22\7pytorch", "an ONNX file"},
    {"\34   TFL3    ", "TensorFlow Lite"},
    {"\10\1\22\3abc\2", "a saved model of TensorFlow's"},
    {"{\"a\": \"\303\244\"}\n", "JSON text"},
    {"weights", "text"},
    {"", "empty"},
};
enum { STRANGERS = sizeof strangers / sizeof *strangers };

START_TEST(test_what_is_no_file_of_weights_is_named)
{
    mt_checkpoint *read;
    ASSERT_FAILS(mt_checkpoint_load(write_text("model.h5", strangers[_i].bytes), &read),
                 MT_ERROR_FORMAT, "model.h5: not an HDF5 file, but ", strangers[_i].says);
    ASSERT_FAILS(mt_checkpoint_load(write_text("m.safetensors", strangers[_i].bytes), &read),
                 MT_ERROR_FORMAT, "m.safetensors: not a .safetensors file, but ",
                 strangers[_i].says);
}
END_TEST

START_TEST(test_what_nobody_knows_is_not_called_damaged)
{
    mt_checkpoint *read;
    ASSERT_FAILS(mt_checkpoint_load(write_text("model.h5", "\1\2\3\4\5\6\7\10\11"), &read),
                 MT_ERROR_FORMAT, "model.h5", "not an HDF5 file");
    ck_assert_ptr_null(strstr(mt_error_message(), "damaged"));
}
END_TEST

static const char *write_safetensors(const char *header, const void *data, size_t size)
{
    char bytes[1024];
    size_t length = strlen(header);
    memset(bytes, 0, 8);
    bytes[0] = (char)(length & 255);
    bytes[1] = (char)(length >> 8);
    memcpy(bytes + 8, header, length);
    memcpy(bytes + 8 + length, data, size);
    return write_bytes("model.safetensors", bytes, 8 + length + size);
}

START_TEST(test_half_types_are_widened)
{
    /* 1, -2, the largest, the smallest, the smallest normal number, and 0 in binary16. */
    const uint16_t f16[] = {0x3C00, 0xC000, 0x7BFF, 0x0001, 0x0400, 0x8000};
    const float as_f16[] = {1.0f, -2.0f, 65504.0f, 5.9604645e-8f, 6.1035156e-5f, -0.0f};
    const uint16_t bf16[] = {0x3F80, 0xC000, 0x4049, 0x0000, 0x0080, 0xFF7F};
    const float as_bf16[] = {1.0f, -2.0f, 3.140625f, 0.0f, 1.1754944e-38f, -3.3895314e38f};
    mt_arrays arrays;
    uint16_t data[12];
    memcpy(data, f16, sizeof f16);
    memcpy(data + 6, bf16, sizeof bf16);
    ASSERT_OK(mt_arrays_read(
        write_safetensors("{\"a\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
                          "\"b\":{\"dtype\":\"BF16\",\"shape\":[6],\"data_offsets\":[12,24]}}",
                          data, sizeof data),
        NULL, NULL, &arrays));
    ck_assert_int_eq(arrays.count, 2);
    ck_assert_int_eq(mt_arrays_find(&arrays, "a")->rank, 2);
    ck_assert_mem_eq(mt_arrays_find(&arrays, "a")->data, as_f16, sizeof as_f16);
    ck_assert_mem_eq(mt_arrays_find(&arrays, "b")->data, as_bf16, sizeof as_bf16);
    mt_arrays_free(&arrays);
}
END_TEST

static bool is_even(const void *context, const mt_array *array)
{
    (void)context;
    return strchr("02468", array->name[strlen(array->name) - 1]) != NULL;
}

START_TEST(test_arrays_are_found_among_many_sorted_or_not)
{
    enum { MANY = 1000 };
    mt_arrays arrays = {0};
    char name[16];
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%d", i * 7919 % MANY);
        ASSERT_OK(mt_arrays_add_name(&arrays, name));
    }
    mt_arrays_filter(&arrays, is_even, NULL);
    ck_assert_int_eq(arrays.count, MANY / 2);
    for (int sorted = 0; sorted < 2; sorted++) {
        for (int i = 0; i < MANY; i++) {
            snprintf(name, sizeof name, "%d", i);
            const mt_array *found = mt_arrays_find(&arrays, name);
            ck_assert_int_eq(found != NULL, i % 2 == 0);
            ck_assert(found == NULL || strcmp(found->name, name) == 0);
        }
        ASSERT_OK(mt_arrays_sort(&arrays));
    }
    ASSERT_OK(mt_arrays_add_name(&arrays, "new"));
    ck_assert_ptr_eq(mt_arrays_find(&arrays, "new"), mt_arrays_last(&arrays));
    mt_arrays_free(&arrays);
}
END_TEST

/* Headers over eight bytes of data. */
static const struct {
    const char *header, *says;
} wrong[] = {
    {"[]", "no JSON object"},
    {"{\"a\":", "no JSON object"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[\"0\",8]}}", "two integers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8.0]}}", "two integers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", "two integers"},
    {"{\"a\":{\"dtype\":\"I8\",\"shape\":[8],\"data_offsets\":[0,8]}}", "I8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "3 numbers"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "16 of 8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "8 to 0"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", "-8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1,-2],\"data_offsets\":[0,8]}}", "-1"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,4],\"data_offsets\":[0,8]}}",
     "dimension"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "8 bytes of data"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "begins at byte 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     "begins at byte 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
     "duplicate"},
};
enum { WRONG = sizeof wrong / sizeof *wrong };

START_TEST(test_headers_that_lie_are_refused)
{
    mt_arrays arrays;
    const float data[2] = {1.0f, 2.0f};
    ASSERT_FAILS(mt_arrays_read(write_safetensors(wrong[_i].header, data, 8), NULL, NULL, &arrays),
                 MT_ERROR_FORMAT, "model.safetensors", wrong[_i].says);
    ck_assert_ptr_null(arrays.items);
}
END_TEST

START_TEST(test_files_too_short_for_their_header_are_refused)
{
    mt_arrays arrays;
    const char bytes[] = {'\377', '\377', '\377', '\377', '\377', '\377', '\377', '\177', '{'};
    for (size_t size = 0; size <= sizeof bytes; size++) {
        const char *path = write_bytes("short.safetensors", bytes, size);
        ASSERT_FAILS(mt_arrays_read(path, NULL, NULL, &arrays), MT_ERROR_FORMAT,
                     "short.safetensors");
    }
}
END_TEST

START_TEST(test_a_header_beyond_the_limit_is_refused_unread)
{
    mt_arrays arrays;
    const char bytes[] = {1, 0, 0, 1, 0, 0, 0, 0, '{'}; /* 16 MiB and one byte */
    const char *path = write_bytes("long.safetensors", bytes, sizeof bytes);
    ASSERT_OK(truncate(path, 64 << 20) == 0 ? MT_OK : MT_ERROR_IO);
    ASSERT_FAILS(mt_arrays_read(path, NULL, NULL, &arrays), MT_ERROR_FORMAT, "long.safetensors",
                 "a header of 16777217 bytes", "at most 16777216");
}
END_TEST

static Suite *foreign_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/foreign", io_setup, io_teardown, &tcase);
    tcase_add_loop_test(tcase, test_layout_and_sizes_are_found_and_bits_come_back, 0, MODELS);
    tcase_add_loop_test(tcase, test_what_does_not_fit_is_refused_with_name_and_shapes, 0, SPOILT);
    tcase_add_test(tcase, test_what_a_whole_model_has_beside_its_decoder_is_not_read);
    tcase_add_loop_test(tcase, test_the_suffix_counts_in_letters_of_either_case, 0, 3);
    tcase_add_loop_test(tcase, test_a_format_is_found_by_what_a_file_holds, 0,
                        (int)(sizeof misnamed / sizeof *misnamed));
    tcase_add_loop_test(tcase, test_hdf5_is_not_written_under_pytorchs_names, 0, 4);
    tcase_add_loop_test(tcase, test_what_is_no_file_of_weights_is_named, 0, STRANGERS);
    tcase_add_test(tcase, test_what_nobody_knows_is_not_called_damaged);
    tcase_add_loop_test(tcase, test_prefixes_of_wrappers_are_taken_off, 0, WRAPPED);
    tcase_add_test(tcase, test_a_prefix_that_one_name_lacks_is_none);
    tcase_add_loop_test(tcase, test_what_wrappers_put_within_names_is_taken_out, 0, 3);
    tcase_add_test(tcase, test_two_names_of_one_parameter_are_refused);
    tcase_add_loop_test(tcase, test_later_versions_of_rwkv_are_named, 0, LATER);
    tcase_add_loop_test(tcase, test_hugging_faces_model_without_a_head_is_one_of_ours_without, 0,
                        2);
    tcase_add_test(tcase, test_a_tied_head_is_the_embedding);
    tcase_add_test(tcase, test_a_tied_head_that_is_another_is_refused);
    tcase_add_loop_test(tcase, test_the_eps_is_that_of_the_configuration_beside, 0, TOLD);
    tcase_add_loop_test(tcase, test_a_configuration_beside_that_cannot_be_is_refused, 0,
                        NO_CONFIGURATIONS);
    tcase_add_test(tcase, test_half_types_are_widened);
    tcase_add_test(tcase, test_arrays_are_found_among_many_sorted_or_not);
    tcase_add_test(tcase, test_a_header_beyond_the_limit_is_refused_unread);
    tcase_add_loop_test(tcase, test_headers_that_lie_are_refused, 0, WRONG);
    tcase_add_test(tcase, test_files_too_short_for_their_header_are_refused);
    return suite;
}

MT_TEST_MAIN(foreign_suite)
