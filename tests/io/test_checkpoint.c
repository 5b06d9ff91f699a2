/* Checkpoints: what is saved comes back, to the bit. */
#include "io/weights_file.h"
#include "tests/io/io_test.h"

#include <hdf5.h>
#include <math.h>

static mt_checkpoint *load(const char *path)
{
    mt_checkpoint *checkpoint;
    ASSERT_OK(mt_checkpoint_load(path, &checkpoint));
    return checkpoint;
}

static void assert_same_adam(const mt_adam *a, const mt_adam *b, size_t bytes)
{
    ck_assert_int_eq(a->step, b->step);
    ck_assert(same_content(a->m, b->m, bytes));
    ck_assert(same_content(a->v, b->v, bytes));
}

/* The change that a case makes to the small configuration. */
static const struct {
    mt_dtype dtype;
    mt_norm_kind norm;
    bool real_valued, bias;
    int32_t padding_index;
    mt_time_first time_first;
    int64_t attention_size, linear_size;
} models[] = {
    {MT_F32, MT_LAYER_NORM, false, true, 0, MT_TIME_FIRST_ESPNET, 0, 0},
    {MT_F64, MT_LAYER_NORM, false, false, -1, MT_TIME_FIRST_RWKV, 6, 0},
    {MT_F32, MT_RMS_NORM, false, true, 3, MT_TIME_FIRST_ESPNET, 1, 3},
    {MT_F64, MT_SCALE_NORM, false, true, 0, MT_TIME_FIRST_ESPNET, 0, 7},
    {MT_F32, MT_BASIC_NORM, false, true, 0, MT_TIME_FIRST_ESPNET, 0, 0},
    {MT_F64, MT_LAYER_NORM, true, true, -1, MT_TIME_FIRST_RWKV, 0, 0},
};
enum { MODELS = sizeof models / sizeof *models };

static mt_model_config config_of(int i)
{
    mt_model_config config = small_config();
    config.norm.kind = models[i].norm;
    config.norm.partial = models[i].norm == MT_RMS_NORM ? 0.5 : 0.0;
    config.bias = config.head_bias = models[i].bias;
    config.padding_index = models[i].padding_index;
    config.time_first = models[i].time_first;
    config.attention_size = models[i].attention_size;
    config.linear_size = models[i].linear_size;
    config.embed_dropout = 0.1;
    config.att_dropout = 0.2;
    config.ffn_dropout = 0.3;
    if (models[i].real_valued) {
        config.vocab_size = 0;
        config.input_size = 2;
        config.output_size = 1;
    }
    return config;
}

START_TEST(test_everything_comes_back_to_the_bit)
{
    mt_model_config config = config_of(_i);
    trained saved = make_trained(&config, models[_i].dtype, 1);
    trained other = make_trained(&config, models[_i].dtype, 2);
    mt_token_list *tokens = config.vocab_size > 0 ? make_tokens(VOCABULARY, test_tokens) : NULL;
    const char *path = in_folder("checkpoint.h5"), *yaml = "task: copy\nseed: 7 # ä\n";
    ck_assert(!same_model(saved.model, other.model));
    ASSERT_OK(mt_checkpoint_save(path, saved.model, saved.adam, &test_state, yaml, tokens));

    mt_checkpoint *read = load(path);
    ck_assert(same_config(&read->weights->config, &saved.model->config));
    ck_assert_int_eq(read->weights->dtype, models[_i].dtype);
    ck_assert(read->has_state && read->weights->layout == NULL);
    ck_assert_int_eq(read->state.step, test_state.step);
    ck_assert_int_eq(read->state.best_step, test_state.best_step);
    ck_assert_int_eq(read->state.bad_evals, test_state.bad_evals);
    ck_assert_int_eq(read->state.symbols, test_state.symbols);
    ck_assert_int_eq(read->state.skipped, test_state.skipped);
    ck_assert_int_eq(read->state.spikes, test_state.spikes);
    ck_assert_double_eq(read->state.loss_average, test_state.loss_average);
    ck_assert_double_eq(read->state.best_loss, test_state.best_loss);
    ck_assert_double_eq(read->state.seconds, test_state.seconds);
    ck_assert_str_eq(read->run_config, yaml);
    ck_assert_int_eq(read->weights->tokens == NULL, tokens == NULL);
    for (int32_t i = 0; tokens != NULL && i < VOCABULARY; i++) {
        ck_assert_str_eq(read->weights->tokens->tokens[i], test_tokens[i]);
    }
    ck_assert_double_eq(read->adam.beta1, saved.adam->config.beta1);
    ck_assert_double_eq(read->adam.beta2, saved.adam->config.beta2);
    ck_assert_double_eq(read->adam.eps, saved.adam->config.eps);
    ck_assert_double_eq(read->adam.weight_decay, saved.adam->config.weight_decay);
    ck_assert_double_eq(read->adam.clip, saved.adam->config.clip);

    ASSERT_OK(mt_checkpoint_restore(read, other.model, other.adam));
    ck_assert(same_model(saved.model, other.model));
    assert_same_adam(saved.adam, other.adam, block_bytes(saved.model));
    mt_checkpoint_destroy(read);
    mt_token_list_destroy(tokens);
    destroy_trained(&saved);
    destroy_trained(&other);
}
END_TEST

START_TEST(test_the_same_state_gives_the_same_bytes)
{
    mt_model_config config = small_config();
    trained t = make_trained(&config, MT_F32, 1);
    char *bytes[2];
    size_t sizes[2];
    for (int i = 0; i < 2; i++) {
        const char *path = in_folder("checkpoint.h5");
        ASSERT_OK(mt_checkpoint_save(path, t.model, t.adam, &test_state, "a: 1\n", NULL));
        ASSERT_OK(mt_file_read(path, &bytes[i], &sizes[i]));
        sleep(1); /* HDF5 would note the time, in seconds */
    }
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], sizes[0]);
    free(bytes[0]);
    free(bytes[1]);
    destroy_trained(&t);
}
END_TEST

START_TEST(test_a_checkpoint_can_be_without_optimiser_text_and_tokens)
{
    mt_model_config config = small_config();
    trained saved = make_trained(&config, MT_F32, 1), other = make_trained(&config, MT_F32, 2);
    const char *path = in_folder("best.h5");
    ASSERT_OK(mt_checkpoint_save(path, saved.model, NULL, &test_state, NULL, NULL));
    mt_checkpoint *read = load(path);
    ck_assert(!read->has_optimizer);
    ck_assert_ptr_null(read->run_config);
    ck_assert_ptr_null(read->weights->tokens);
    ASSERT_FAILS(mt_checkpoint_restore(read, other.model, other.adam), MT_ERROR_INVALID,
                 "no optimiser");
    ck_assert(!same_model(saved.model, other.model));
    ASSERT_OK(mt_checkpoint_restore(read, other.model, NULL));
    ck_assert(same_model(saved.model, other.model));
    mt_checkpoint_destroy(read);
    destroy_trained(&saved);
    destroy_trained(&other);
}
END_TEST

START_TEST(test_updates_after_a_restore_are_those_without_it)
{
    mt_model_config config = small_config();
    trained straight = make_trained(&config, MT_F32, 1), resumed = make_trained(&config, MT_F32, 2);
    const char *path = in_folder("checkpoint.h5");
    ASSERT_OK(mt_checkpoint_save(path, straight.model, straight.adam, &test_state, NULL, NULL));
    mt_checkpoint *read = load(path);
    ASSERT_OK(mt_checkpoint_restore(read, resumed.model, resumed.adam));
    for (int i = 0; i < 5; i++) {
        update(&straight, 0.02);
        update(&resumed, 0.02);
    }
    ck_assert(same_model(straight.model, resumed.model));
    assert_same_adam(straight.adam, resumed.adam, block_bytes(straight.model));
    mt_checkpoint_destroy(read);
    destroy_trained(&straight);
    destroy_trained(&resumed);
}
END_TEST

static void take_size(mt_model_config *config)
{
    config->block_size = 5;
}

static void take_blocks(mt_model_config *config)
{
    config->num_blocks = 3;
}

static void take_bias(mt_model_config *config)
{
    config->bias = false;
}

static void take_norm(mt_model_config *config)
{
    config->norm.kind = MT_BASIC_NORM;
}

static void take_eps(mt_model_config *config)
{
    config->norm.eps = 1e-5;
}

static void take_padding(mt_model_config *config)
{
    config->padding_index = config->padding_index < 0 ? 0 : -1;
}

static void take_head(mt_model_config *config)
{
    config->output_size = 0;
}

static void take_nothing(mt_model_config *config)
{
    (void)config; /* its type is another */
}

static const struct {
    void (*change)(mt_model_config *);
    const char *says;
} other_models[] = {
    {take_size, "embed.weight has shape (5, 4) in the file, the model has (5, 5)"},
    {take_blocks, "rwkv_blocks.2."},
    {take_bias, "the model has no rwkv_blocks.0.att.proj_key.bias, which is in the file"},
    {take_norm, "it has normalization layer_norm, the model basic_norm"},
    {take_eps, "it has eps 1e-12, the model 1e-05"},
    {take_padding, "it has embed_pad "},
    {take_head, "the model has no head.weight, which is in the file"},
    {take_nothing, "it is of type f32, the model of f64"},
};
enum { OTHER_MODELS = sizeof other_models / sizeof *other_models };

START_TEST(test_another_model_is_refused_and_left_alone)
{
    mt_model_config config = small_config(), other = small_config();
    mt_model *saved = make_model(&config, MT_F32, 1);
    const char *path = in_folder("checkpoint.h5");
    ASSERT_OK(mt_checkpoint_save(path, saved, NULL, &test_state, NULL, NULL));
    other_models[_i].change(&other);
    mt_dtype dtype = other_models[_i].change == take_nothing ? MT_F64 : MT_F32;
    mt_model *model = make_model(&other, dtype, 2), *copy = make_model(&other, dtype, 2);
    mt_checkpoint *read = load(path);
    ASSERT_FAILS(mt_checkpoint_restore(read, model, NULL), MT_ERROR_INVALID,
                 "checkpoint.h5: ", other_models[_i].says);
    ck_assert(same_model(model, copy));
    mt_checkpoint_destroy(read);
    mt_model_destroy(saved);
    mt_model_destroy(model);
    mt_model_destroy(copy);
}
END_TEST

/* A norm and another one; `says` is NULL where they do the same. */
static const struct {
    mt_norm_config saved, other;
    const char *says;
} norms[] = {
    {{MT_RMS_NORM, 0, 0.5}, {MT_RMS_NORM, 0, 0.25}, "it has partial 0.5, the model 0.25"},
    {{MT_RMS_NORM, 0, -1}, {MT_RMS_NORM, 0, 0.25}, "it has partial 1, the model 0.25"},
    {{MT_RMS_NORM, 0, -1}, {MT_RMS_NORM, 0, 2}, NULL},
    {{MT_RMS_NORM, 1e-3, -1}, {MT_RMS_NORM, 0, -1}, "it has eps 0.001, the model 1e-05"},
    {{MT_SCALE_NORM, 0, 0.5}, {MT_SCALE_NORM, 1e-5, 0.25}, NULL},
    {{MT_BASIC_NORM, 0.5, 0}, {MT_BASIC_NORM, 0.25, 0}, NULL},
};
enum { NORMS = sizeof norms / sizeof *norms };

START_TEST(test_a_norm_that_does_otherwise_is_refused)
{
    mt_model_config config = small_config();
    config.norm = norms[_i].saved;
    mt_model *saved = make_model(&config, MT_F32, 1);
    ASSERT_OK(mt_checkpoint_save(in_folder("a.h5"), saved, NULL, &test_state, NULL, NULL));
    config.norm = norms[_i].other;
    mt_model *model = make_model(&config, MT_F32, 2);
    mt_checkpoint *read = load(in_folder("a.h5"));
    if (norms[_i].says != NULL) {
        ASSERT_FAILS(mt_checkpoint_restore(read, model, NULL), MT_ERROR_INVALID,
                     "a.h5: ", norms[_i].says);
    } else {
        ASSERT_OK(mt_checkpoint_restore(read, model, NULL));
    }
    mt_checkpoint_destroy(read);
    mt_model_destroy(saved);
    mt_model_destroy(model);
}
END_TEST

static const struct {
    mt_adam_config config;
    const char *says;
} optimisers[] = {
    {{0.5, 0.999, 1e-8, 0, 0}, "beta1 0.9, this one 0.5"},
    {{0.9, 0.5, 1e-8, 0, 0}, "beta2 0.999, this one 0.5"},
    {{0.9, 0.999, 1e-6, 0, 0}, "eps 1e-08, this one 1e-06"},
    {{0.9, 0.999, 1e-8, 0.5, 0}, "weight_decay 0, this one 0.5"},
    {{0.9, 0.999, 1e-8, 0, 1}, "clip 0, this one 1"},
};
enum { OPTIMISERS = sizeof optimisers / sizeof *optimisers };

START_TEST(test_an_optimiser_of_another_configuration_is_one_only_where_it_is_meant)
{
    mt_model_config config = small_config();
    trained saved = make_trained(&config, MT_F32, 1), other = make_trained(&config, MT_F32, 2);
    const char *path = in_folder("checkpoint.h5");
    saved.adam->config = mt_adam_config_default();
    other.adam->config = optimisers[_i].config;
    ASSERT_OK(mt_checkpoint_save(path, saved.model, saved.adam, &test_state, NULL, NULL));
    mt_checkpoint *read = load(path);
    ASSERT_FAILS(mt_checkpoint_restore(read, other.model, other.adam), MT_ERROR_INVALID,
                 "checkpoint.h5: its optimiser has ", optimisers[_i].says);
    ck_assert(!same_model(saved.model, other.model));
    read->adam = other.adam->config;
    ASSERT_OK(mt_checkpoint_restore(read, other.model, other.adam));
    ck_assert(same_model(saved.model, other.model));
    mt_checkpoint_destroy(read);
    destroy_trained(&saved);
    destroy_trained(&other);
}
END_TEST

START_TEST(test_saving_replaces_the_file_and_leaves_nothing_beside_it)
{
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, 1);
    const char *path = in_folder("checkpoint.h5");
    mode_t mask = umask(027);
    for (int64_t step = 1; step <= 3; step++) {
        ASSERT_OK(
            mt_checkpoint_save(path, model, NULL, &(mt_train_state){.step = step}, NULL, NULL));
        mt_checkpoint *read = load(path);
        ck_assert_int_eq(read->state.step, step);
        mt_checkpoint_destroy(read);
        ck_assert_int_eq(files_in_folder(), 1);
    }
    umask(mask);
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0640);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_places_that_cannot_be_written_are_refused)
{
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, 1);
    ASSERT_FAILS(
        mt_checkpoint_save(in_folder("none/file.h5"), model, NULL, &test_state, NULL, NULL),
        MT_ERROR_IO, "none/file.h5", "No such file");
    ck_assert_int_eq(mkdir(in_folder("taken"), 0700), 0);
    ASSERT_FAILS(mt_checkpoint_save(in_folder("taken"), model, NULL, &test_state, NULL, NULL),
                 MT_ERROR_IO, "taken", "directory");
    char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    ASSERT_FAILS(mt_checkpoint_save(longest, model, NULL, &test_state, NULL, NULL), MT_ERROR_IO,
                 "too long");
    ck_assert_int_eq(files_in_folder(), 1);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_texts_that_are_not_utf8_are_refused)
{
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, 1);
    const char *path = in_folder("checkpoint.h5");
    const char *const wrong[VOCABULARY] = {"<blank>", "<unk>", "a\xffz", "b", "c"};
    mt_token_list *tokens = make_tokens(VOCABULARY, wrong);
    ASSERT_FAILS(mt_checkpoint_save(path, model, NULL, &test_state, "data: \xfc\n", NULL),
                 MT_ERROR_INVALID, "checkpoint.h5", "config", "byte 6", "not UTF-8");
    ASSERT_FAILS(mt_checkpoint_save(path, model, NULL, &test_state, NULL, tokens), MT_ERROR_INVALID,
                 "checkpoint.h5", "token_list", "byte 1 of text 2", "not UTF-8");
    ck_assert_int_eq(files_in_folder(), 0);
    mt_token_list_destroy(tokens);
    mt_model_destroy(model);
}
END_TEST

/* Puts a value into the last element of a block of the optimiser, or of the parameters. */
static void set_last(mt_parameters *parameters, void *block, float value)
{
    const mt_parameter *last = parameters->items[parameters->count - 1];
    float *at = (float *)block + last->offset + mt_tensor_count(&last->tensor) - 1;
    ASSERT_OK(test_device->write(test_device, at, &value, sizeof value));
}

/* Neither in parameters nor in moments; the old file stays. */
START_TEST(test_values_that_are_not_finite_are_not_saved)
{
    mt_model_config config = small_config();
    trained t = make_trained(&config, MT_F32, 1);
    const char *path = in_folder("checkpoint.h5");
    const mt_layout *layout = &mt_layouts[0];
    ASSERT_OK(mt_checkpoint_save(path, t.model, t.adam, &test_state, NULL, NULL));
    set_last(t.model->parameters, t.adam->v, INFINITY);
    ASSERT_FAILS(mt_checkpoint_save(path, t.model, t.adam, &test_state, NULL, NULL),
                 MT_ERROR_NUMERIC, "/optimizer/v/head.bias: element 4 is inf");
    set_last(t.model->parameters, t.adam->v, -1.0f);
    ASSERT_FAILS(mt_checkpoint_save(path, t.model, t.adam, &test_state, NULL, NULL),
                 MT_ERROR_NUMERIC, "/optimizer/v/head.bias: element 4 is -1");
    mt_checkpoint *read;
    set_last(t.model->parameters, t.model->parameters->data, NAN);
    ASSERT_FAILS(mt_checkpoint_save(path, t.model, NULL, &test_state, NULL, NULL), MT_ERROR_NUMERIC,
                 "/model/head.bias: element 4 is nan");
    ASSERT_OK(mt_layout_parse("mixtape", &layout));
    ASSERT_FAILS(mt_weights_save(in_folder("weights.h5"), t.model, layout, NULL), MT_ERROR_NUMERIC,
                 "/head.bias: element 4 is nan");
    ASSERT_FAILS(mt_weights_save(in_folder("weights.safetensors"), t.model, layout, NULL),
                 MT_ERROR_NUMERIC, "/head.bias: element 4 is nan");
    ASSERT_OK(mt_checkpoint_load(path, &read));
    mt_checkpoint_destroy(read);
    ck_assert_int_eq(files_in_folder(), 1);
    destroy_trained(&t);
}
END_TEST

/* Puts a number into a file where Mixtape would not. */
static void overwrite(const char *path, const char *name, float value)
{
    const hsize_t first = 4, one = 1;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t array = H5Dopen2(file, name, H5P_DEFAULT);
    hid_t there = H5Dget_space(array), here = H5Screate_simple(1, &one, NULL);
    ck_assert_int_ge(H5Sselect_hyperslab(there, H5S_SELECT_SET, &first, NULL, &one, NULL), 0);
    ck_assert_int_ge(H5Dwrite(array, H5T_NATIVE_FLOAT, here, there, H5P_DEFAULT, &value), 0);
    H5Sclose(here);
    H5Sclose(there);
    H5Dclose(array);
    H5Fclose(file);
}

static void overwrite_attribute(const char *path, const char *in_group, const char *name,
                                int64_t value)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t group = H5Gopen2(file, in_group, H5P_DEFAULT), scalar = H5Screate(H5S_SCALAR);
    ck_assert_int_ge(H5Adelete(group, name), 0);
    hid_t made = H5Acreate2(group, name, H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(H5Awrite(made, H5T_NATIVE_INT64, &value), 0);
    H5Aclose(made);
    H5Sclose(scalar);
    H5Gclose(group);
    H5Fclose(file);
}

START_TEST(test_whole_numbers_that_a_field_cannot_have_are_not_loaded)
{
    static const struct {
        const char *name, *says;
        int64_t value;
    } wrong[] = {{"embed_pad", "/model: the attribute 'embed_pad' is 4294967296", INT64_C(1) << 32},
                 {"bias", "/model: the attribute 'bias' is 2", 2},
                 {"bias", "/model: the attribute 'bias' is -1", -1}};
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *path = in_folder("checkpoint.h5");
        mt_checkpoint *read;
        ASSERT_OK(mt_checkpoint_save(path, model, NULL, &test_state, NULL, NULL));
        overwrite_attribute(path, "/model", wrong[i].name, wrong[i].value);
        ASSERT_FAILS(mt_checkpoint_load(path, &read), MT_ERROR_FORMAT, path, wrong[i].says);
    }
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_more_updates_than_can_be_counted_are_not_loaded)
{
    mt_model_config config = small_config();
    trained t = make_trained(&config, MT_F32, 1);
    const char *path = in_folder("checkpoint.h5");
    const int64_t most = INT64_C(1) << 53, wrong[] = {most + 1, INT64_MAX, -1};
    mt_checkpoint *read;
    ASSERT_OK(mt_checkpoint_save(path, t.model, t.adam, &test_state, NULL, NULL));
    overwrite_attribute(path, "/optimizer", "step", most);
    ASSERT_OK(mt_checkpoint_load(path, &read));
    mt_checkpoint_destroy(read);
    for (int i = 0; i < 3; i++) {
        char says[32];
        snprintf(says, sizeof says, "step %lld", (long long)wrong[i]);
        overwrite_attribute(path, "/optimizer", "step", wrong[i]);
        ASSERT_FAILS(mt_checkpoint_load(path, &read), MT_ERROR_FORMAT, path, says);
    }
    destroy_trained(&t);
}
END_TEST

START_TEST(test_a_second_moment_below_zero_is_not_loaded)
{
    mt_model_config config = small_config();
    trained t = make_trained(&config, MT_F32, 1);
    const char *path = in_folder("checkpoint.h5");
    mt_checkpoint *read;
    ASSERT_OK(mt_checkpoint_save(path, t.model, t.adam, &test_state, NULL, NULL));
    overwrite(path, "/optimizer/m/head.bias", -1.0f);
    ASSERT_OK(load_checked(path, &read));
    mt_checkpoint_destroy(read);
    overwrite(path, "/optimizer/v/head.bias", -1.0f);
    ASSERT_FAILS(load_checked(path, &read), MT_ERROR_FORMAT,
                 "/optimizer/v/head.bias: element 4 is -1");
    destroy_trained(&t);
}
END_TEST

START_TEST(test_numbers_at_their_ends_come_back)
{
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F64, 1);
    const char *path = in_folder("checkpoint.h5");
    mt_train_state state = {.step = INT64_MAX, .best_loss = INFINITY, .seconds = 5e-324};
    const double ends[] = {-0.0, 1.7976931348623157e308, 5e-324};
    ASSERT_OK(test_device->write(test_device, model->parameters->data, ends, sizeof ends));
    ASSERT_OK(mt_checkpoint_save(path, model, NULL, &state, "", NULL));
    mt_checkpoint *read = load(path);
    ck_assert_int_eq(read->state.step, INT64_MAX);
    ck_assert(isinf(read->state.best_loss) && read->state.seconds == 5e-324);
    ck_assert_str_eq(read->run_config, "");
    mt_model *again;
    ASSERT_OK(mt_weights_model(read->weights, test_device, &again));
    double values[3];
    ASSERT_OK(test_device->read_back(test_device, values, again->parameters->data, sizeof values));
    ck_assert_mem_eq(values, ends, sizeof ends);
    ck_assert(same_model(model, again));
    mt_model_destroy(again);
    mt_checkpoint_destroy(read);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_numbers_that_are_none_are_refused)
{
    static const struct {
        mt_train_state state;
        const char *says;
    } wrong[] = {
        {{.best_loss = NAN}, "best_loss is nan"},
        {{.seconds = NAN}, "seconds is nan"},
        {{.seconds = INFINITY}, "seconds is inf"},
    };
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, 1);
    const char *path = in_folder("checkpoint.h5");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ASSERT_FAILS(mt_checkpoint_save(path, model, NULL, &wrong[i].state, NULL, NULL),
                     MT_ERROR_INVALID, "checkpoint.h5: /train", wrong[i].says);
    }
    ck_assert_int_eq(files_in_folder(), 0);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_long_texts_and_token_lists_come_back)
{
    enum { MANY = 50000, LONG = 1 << 20 };
    static char texts[MANY][16];
    static const char *tokens[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "▁token%d", i);
        tokens[i] = texts[i];
    }
    mt_model_config config = small_config();
    config.vocab_size = config.output_size = MANY;
    mt_model *model = make_model(&config, MT_F32, 1);
    mt_token_list *list = make_tokens(MANY, tokens);
    char *yaml = malloc(LONG + 1);
    ck_assert_ptr_nonnull(yaml);
    memset(yaml, 'y', LONG);
    yaml[LONG] = '\0';
    const char *path = in_folder("checkpoint.h5");
    ASSERT_OK(mt_checkpoint_save(path, model, NULL, &test_state, yaml, list));
    mt_checkpoint *read = load(path);
    ck_assert_str_eq(read->run_config, yaml);
    ck_assert_int_eq(read->weights->tokens->count, MANY);
    for (int i = 0; i < MANY; i++) {
        ck_assert_str_eq(read->weights->tokens->tokens[i], tokens[i]);
    }
    mt_checkpoint_destroy(read);
    mt_token_list_destroy(list);
    mt_model_destroy(model);
    free(yaml);
}
END_TEST

/* The small configuration with one field unlike it. */
static mt_model_config unlike(const mt_model_field *field)
{
    mt_model_config config = small_config();
    int64_t value = mt_model_field_whole(field, &config);
    if (field->type == MT_MODEL_REAL) {
        mt_model_field_set_real(field, &config, 0.3);
    } else {
        mt_model_field_set_whole(field, &config, field->type == MT_MODEL_FLAG ? !value : value + 1);
    }
    config.vocab_size = config.input_size > 0 ? 0 : config.vocab_size;
    return config;
}

START_TEST(test_each_field_of_a_configuration_comes_back)
{
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++) {
        mt_model_config written = unlike(field), small = small_config(), read;
        mt_dtype dtype;
        mt_archive *archive;
        ck_assert_msg(!same_config(&written, &small), "%s", field->name);
        ASSERT_OK(mt_archive_create(in_folder("a.h5"), &archive));
        mt_model_attributes_write(archive, "/", &written, MT_F64);
        ASSERT_OK(mt_archive_close(archive));
        ASSERT_OK(mt_archive_open(in_folder("a.h5"), &archive));
        mt_model_attributes_read(archive, "/", &read, &dtype);
        ASSERT_OK(mt_archive_close(archive));
        ck_assert_msg(same_config(&read, &written), "%s", field->name);
        ck_assert_int_eq(dtype, MT_F64);
    }
}
END_TEST

static Suite *checkpoint_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/checkpoint", io_setup, io_teardown, &tcase);
    tcase_add_loop_test(tcase, test_everything_comes_back_to_the_bit, 0, MODELS);
    tcase_add_test(tcase, test_each_field_of_a_configuration_comes_back);
    tcase_add_test(tcase, test_the_same_state_gives_the_same_bytes);
    tcase_add_test(tcase, test_a_checkpoint_can_be_without_optimiser_text_and_tokens);
    tcase_add_test(tcase, test_updates_after_a_restore_are_those_without_it);
    tcase_add_loop_test(tcase, test_another_model_is_refused_and_left_alone, 0, OTHER_MODELS);
    tcase_add_loop_test(tcase, test_a_norm_that_does_otherwise_is_refused, 0, NORMS);
    tcase_add_loop_test(tcase,
                        test_an_optimiser_of_another_configuration_is_one_only_where_it_is_meant, 0,
                        OPTIMISERS);
    tcase_add_test(tcase, test_saving_replaces_the_file_and_leaves_nothing_beside_it);
    tcase_add_test(tcase, test_places_that_cannot_be_written_are_refused);
    tcase_add_test(tcase, test_texts_that_are_not_utf8_are_refused);
    tcase_add_test(tcase, test_values_that_are_not_finite_are_not_saved);
    tcase_add_test(tcase, test_a_second_moment_below_zero_is_not_loaded);
    tcase_add_test(tcase, test_more_updates_than_can_be_counted_are_not_loaded);
    tcase_add_test(tcase, test_whole_numbers_that_a_field_cannot_have_are_not_loaded);
    tcase_add_test(tcase, test_numbers_at_their_ends_come_back);
    tcase_add_test(tcase, test_numbers_that_are_none_are_refused);
    tcase_add_test(tcase, test_long_texts_and_token_lists_come_back);
    return suite;
}

MT_TEST_MAIN(checkpoint_suite)
