/* Exchange files: names by layout, and the way back. */
#include "io/archive.h"
#include "tests/io/io_test.h"

static const struct {
    const char *layout, *ours, *theirs;
} names[] = {
    {"espnet", "embed.weight", "embed.weight"},
    {"espnet", "rwkv_blocks.1.att.time_decay", "rwkv_blocks.1.att.time_decay"},
    {"espnet", "head.weight", NULL},
    {"espnet", "head.bias", NULL},
    {"espnet-model", "embed.weight", "decoder.embed.weight"},
    {"espnet-model", "final_norm.bias", "decoder.final_norm.bias"},
    {"espnet-model", "head.weight", "lm_lin.weight"},
    {"espnet-model", "head.bias", "lm_lin.bias"},
    {"mixtape", "head.weight", "head.weight"},
    {"mixtape", "rwkv_blocks.0.ffn.proj_key.weight", "rwkv_blocks.0.ffn.proj_key.weight"},
};

START_TEST(test_layouts_give_their_own_names)
{
    const mt_layout *layout;
    char theirs[MT_NAME_MAX];
    ASSERT_OK(mt_layout_parse(names[_i].layout, &layout));
    bool placed = mt_layout_name(layout, names[_i].ours, theirs) == MT_PLACED;
    ck_assert_int_eq(placed, names[_i].theirs != NULL);
    if (placed) {
        ck_assert_str_eq(theirs, names[_i].theirs);
    }
}
END_TEST

START_TEST(test_an_unknown_layout_is_refused_with_those_there_are)
{
    const mt_layout *layout;
    ASSERT_FAILS(mt_layout_parse("pytorch", &layout), MT_ERROR_INVALID, "'pytorch'", "espnet",
                 "espnet-model", "mixtape");
    ck_assert_ptr_null(layout);
}
END_TEST

/* The names in a file, in order, each behind a newline. */
static void append_name(mt_archive *archive, const char *name, void *context)
{
    (void)archive;
    strcat(strcat(context, "\n"), name);
}

static void assert_names(const char *path, const char *expected)
{
    mt_archive *archive;
    char found[8192] = "";
    ASSERT_OK(mt_archive_open(path, &archive));
    mt_archive_visit(archive, "/", append_name, found);
    ASSERT_OK(mt_archive_close(archive));
    ck_assert_str_eq(found, expected);
}

static mt_model *one_block(void)
{
    mt_model_config config = small_config();
    config.num_blocks = 1;
    return make_model(&config, MT_F32, 1);
}

static void save(const mt_model *model, const char *layout_name, const mt_token_list *tokens,
                 const char *path)
{
    const mt_layout *layout;
    ASSERT_OK(mt_layout_parse(layout_name, &layout));
    ASSERT_OK(mt_weights_save(path, model, layout, tokens));
}

START_TEST(test_the_espnet_layout_has_the_decoders_names_alone)
{
    mt_model *model = one_block();
    const char *path = in_folder("espnet.h5");
    save(model, "espnet", NULL, path);
    assert_names(path, "\nembed.weight"
                       "\nembed_norm.bias"
                       "\nembed_norm.weight"
                       "\nfinal_norm.bias"
                       "\nfinal_norm.weight"
                       "\nrwkv_blocks.0.att.proj_key.bias"
                       "\nrwkv_blocks.0.att.proj_key.weight"
                       "\nrwkv_blocks.0.att.proj_output.bias"
                       "\nrwkv_blocks.0.att.proj_output.weight"
                       "\nrwkv_blocks.0.att.proj_receptance.bias"
                       "\nrwkv_blocks.0.att.proj_receptance.weight"
                       "\nrwkv_blocks.0.att.proj_value.bias"
                       "\nrwkv_blocks.0.att.proj_value.weight"
                       "\nrwkv_blocks.0.att.time_decay"
                       "\nrwkv_blocks.0.att.time_first"
                       "\nrwkv_blocks.0.att.time_mix_key"
                       "\nrwkv_blocks.0.att.time_mix_receptance"
                       "\nrwkv_blocks.0.att.time_mix_value"
                       "\nrwkv_blocks.0.ffn.proj_key.bias"
                       "\nrwkv_blocks.0.ffn.proj_key.weight"
                       "\nrwkv_blocks.0.ffn.proj_receptance.bias"
                       "\nrwkv_blocks.0.ffn.proj_receptance.weight"
                       "\nrwkv_blocks.0.ffn.proj_value.bias"
                       "\nrwkv_blocks.0.ffn.proj_value.weight"
                       "\nrwkv_blocks.0.ffn.time_mix_key"
                       "\nrwkv_blocks.0.ffn.time_mix_receptance"
                       "\nrwkv_blocks.0.layer_norm_att.bias"
                       "\nrwkv_blocks.0.layer_norm_att.weight"
                       "\nrwkv_blocks.0.layer_norm_ffn.bias"
                       "\nrwkv_blocks.0.layer_norm_ffn.weight");
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_arrays_have_espnets_shapes)
{
    static const struct {
        const char *name;
        int rank;
        int64_t shape[4];
    } shapes[] = {
        {"embed.weight", 2, {VOCABULARY, 4}},
        {"rwkv_blocks.0.att.time_decay", 1, {6}},
        {"rwkv_blocks.0.att.time_mix_key", 3, {1, 1, 4}},
        {"rwkv_blocks.0.att.proj_key.weight", 2, {6, 4}},
        {"rwkv_blocks.0.att.proj_output.weight", 2, {4, 6}},
        {"rwkv_blocks.1.ffn.proj_key.weight", 2, {16, 4}},
        {"rwkv_blocks.1.ffn.proj_value.bias", 1, {4}},
    };
    mt_model_config config = small_config();
    config.attention_size = 6;
    mt_model *model = make_model(&config, MT_F64, 1);
    const char *path = in_folder("espnet.h5");
    save(model, "espnet", NULL, path);
    mt_archive *archive;
    ASSERT_OK(mt_archive_open(path, &archive));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        mt_archive_check_array(archive, "/", shapes[i].name, MT_F64, shapes[i].rank,
                               shapes[i].shape);
    }
    ASSERT_OK(mt_archive_close(archive));
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_weights_come_back_from_every_layout)
{
    mt_model_config config = small_config();
    config.bias = config.head_bias = false; /* not every layout has places for them */
    config.norm.eps = 1e-5;                 /* nor for another eps */
    mt_model *model = make_model(&config, MT_F32, 1);
    mt_token_list *tokens = make_tokens(VOCABULARY, test_tokens);
    for (const mt_layout *layout = mt_layouts; layout->name != NULL; layout++) {
        const char *path = in_folder("weights.h5");
        mt_checkpoint *read;
        ASSERT_OK(mt_weights_save(path, model, layout, tokens));
        ASSERT_OK(mt_checkpoint_load(path, &read));
        ck_assert_ptr_eq(read->weights->layout, layout);
        ck_assert(!read->has_state && !read->has_optimizer && read->run_config == NULL);
        ck_assert_str_eq(read->weights->tokens->tokens[2], test_tokens[2]);
        bool has_head = strcmp(layout->name, "espnet") != 0;
        ck_assert_int_eq(read->weights->config.output_size, has_head ? VOCABULARY : 0);
        mt_model *other = make_model(&read->weights->config, MT_F32, 2);
        ASSERT_OK(mt_checkpoint_restore(read, other, NULL));
        for (int i = 0; i < other->parameters->count; i++) {
            const mt_parameter *copy = other->parameters->items[i];
            const mt_parameter *from = mt_parameters_find(model->parameters, copy->name);
            if (from != NULL) {
                ck_assert_mem_eq(copy->tensor.data, from->tensor.data,
                                 mt_tensor_bytes(&copy->tensor));
            } else { /* a bias that the layout has, and the model has not */
                ck_assert(layout->biases && strstr(copy->name, ".bias") != NULL);
                for (int64_t c = 0; c < copy->tensor.shape[0]; c++) {
                    ck_assert(((const float *)copy->tensor.data)[c] == 0.0f);
                }
            }
        }
        int biases = layout->biases ? 7 * (int)config.num_blocks + (has_head ? 1 : 0) : 0;
        ck_assert_int_eq(other->parameters->count,
                         model->parameters->count - (has_head ? 0 : 1) + biases);
        mt_checkpoint_destroy(read);
        mt_model_destroy(other);
    }
    mt_token_list_destroy(tokens);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_a_fixed_eps_refuses_another)
{
    mt_model_config config = small_config();
    config.bias = config.head_bias = false;
    mt_model *model = make_model(&config, MT_F32, 1);
    const mt_layout *layout;
    ASSERT_OK(mt_layout_parse("rwkv-lm", &layout));
    ASSERT_FAILS(mt_weights_save(in_folder("weights.h5"), model, layout, NULL), MT_ERROR_INVALID,
                 "rwkv-lm", "1e-05", "1e-12");
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_biases_without_a_place_must_be_zero)
{
    mt_model_config config = small_config();
    config.norm.eps = 1e-5;
    mt_model *model = make_model(&config, MT_F32, 1);
    const mt_layout *layout;
    mt_checkpoint *read;
    const char *path = in_folder("weights.h5");
    ASSERT_OK(mt_layout_parse("hf", &layout));
    ASSERT_FAILS(mt_weights_save(path, model, layout, NULL), MT_ERROR_INVALID, "hf",
                 "rwkv_blocks.0.att.proj_key.bias", "not zero");
    for (int i = 0; i < model->parameters->count; i++) {
        mt_parameter *parameter = model->parameters->items[i];
        size_t length = strlen(parameter->name);
        if (strcmp(parameter->name + length - 5, ".bias") == 0) {
            float *bias = parameter->tensor.data;
            memset(bias, 0, mt_tensor_bytes(&parameter->tensor));
            bias[0] = -0.0f; /* a zero all the same */
        }
    }
    ASSERT_OK(mt_weights_save(path, model, layout, NULL));
    ASSERT_OK(mt_checkpoint_load(path, &read));
    ck_assert(!read->weights->config.bias && !read->weights->config.head_bias);
    mt_checkpoint_destroy(read);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_layouts_of_one_norm_refuse_the_others)
{
    mt_model_config config = small_config();
    const mt_layout *layout;
    config.norm.kind = MT_RMS_NORM;
    mt_model *model = make_model(&config, MT_F32, 1);
    ASSERT_OK(mt_layout_parse("rwkv-lm", &layout));
    ASSERT_FAILS(mt_weights_save(in_folder("weights.h5"), model, layout, NULL), MT_ERROR_INVALID,
                 "rwkv-lm", "rms_norm");
    mt_model_destroy(model);
}
END_TEST

/* RWKV-LM's models have a head each; the other layouts do without. */
START_TEST(test_a_layout_with_a_head_refuses_a_model_without)
{
    mt_model_config config = small_config();
    config.norm.eps = 1e-5;
    config.bias = false;
    config.output_size = 0;
    mt_model *model = make_model(&config, MT_F32, 1);
    for (const mt_layout *layout = mt_layouts; layout->name != NULL; layout++) {
        const char *path = in_folder("weights.h5");
        if (strcmp(layout->name, "rwkv-lm") == 0) {
            ASSERT_FAILS(mt_weights_save(path, model, layout, NULL), MT_ERROR_INVALID, layout->name,
                         "no head over its vocabulary");
        } else {
            ASSERT_OK(mt_weights_save(path, model, layout, NULL));
        }
    }
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_a_real_valued_model_fits_mixtapes_layout_alone)
{
    mt_model_config config = small_config();
    config.vocab_size = 0;
    config.input_size = 2;
    config.output_size = 1;
    mt_model *model = make_model(&config, MT_F32, 1);
    for (const mt_layout *layout = mt_layouts; layout->name != NULL; layout++) {
        const char *path = in_folder("weights.h5");
        if (strcmp(layout->name, "mixtape") == 0) {
            ASSERT_OK(mt_weights_save(path, model, layout, NULL));
            ck_assert_int_eq(remove(path), 0);
        } else {
            ASSERT_FAILS(mt_weights_save(path, model, layout, NULL), MT_ERROR_INVALID, layout->name,
                         "real-valued");
            ck_assert_int_eq(files_in_folder(), 0);
        }
    }
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_a_conversion_without_a_layout_keeps_the_files_own)
{
    mt_model *model = one_block();
    mt_weights *weights, *again;
    save(model, "espnet-model", NULL, in_folder("weights.h5"));
    ASSERT_OK(mt_weights_open(in_folder("weights.h5"), &weights));
    ASSERT_OK(mt_weights_convert(weights, in_folder("again.h5"), NULL));
    ASSERT_OK(mt_weights_open(in_folder("again.h5"), &again));
    ck_assert_ptr_eq(again->layout, weights->layout);
    mt_weights_close(again);
    mt_weights_close(weights);

    const mt_train_state state = {.step = 1};
    ASSERT_OK(mt_checkpoint_save(in_folder("model.h5"), model, NULL, &state, NULL, NULL));
    ASSERT_OK(mt_weights_open(in_folder("model.h5"), &weights));
    ASSERT_FAILS(mt_weights_convert(weights, in_folder("none.h5"), NULL), MT_ERROR_INVALID,
                 "a checkpoint has no layout of its own");
    ck_assert_int_eq(files_in_folder(), 3);
    mt_weights_close(weights);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_tokens_that_do_not_fit_the_vocabulary_are_refused)
{
    mt_model *model = one_block();
    mt_token_list *tokens = make_tokens(VOCABULARY - 1, test_tokens);
    mt_checkpoint *read;
    save(model, "mixtape", tokens, in_folder("weights.h5"));
    ASSERT_FAILS(mt_checkpoint_load(in_folder("weights.h5"), &read), MT_ERROR_FORMAT, "weights.h5",
                 "token_list", "4 tokens", "vocabulary of 5");
    ck_assert_ptr_null(read);
    mt_token_list_destroy(tokens);
    mt_model_destroy(model);
}
END_TEST

static Suite *exchange_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/exchange", io_setup, io_teardown, &tcase);
    tcase_add_loop_test(tcase, test_layouts_give_their_own_names, 0,
                        (int)(sizeof names / sizeof *names));
    tcase_add_test(tcase, test_an_unknown_layout_is_refused_with_those_there_are);
    tcase_add_test(tcase, test_the_espnet_layout_has_the_decoders_names_alone);
    tcase_add_test(tcase, test_arrays_have_espnets_shapes);
    tcase_add_test(tcase, test_weights_come_back_from_every_layout);
    tcase_add_test(tcase, test_a_fixed_eps_refuses_another);
    tcase_add_test(tcase, test_biases_without_a_place_must_be_zero);
    tcase_add_test(tcase, test_layouts_of_one_norm_refuse_the_others);
    tcase_add_test(tcase, test_a_layout_with_a_head_refuses_a_model_without);
    tcase_add_test(tcase, test_a_real_valued_model_fits_mixtapes_layout_alone);
    tcase_add_test(tcase, test_a_conversion_without_a_layout_keeps_the_files_own);
    tcase_add_test(tcase, test_tokens_that_do_not_fit_the_vocabulary_are_refused);
    return suite;
}

MT_TEST_MAIN(exchange_suite)
