/* Checkpoints and exchange files: the same bits back, atomically, and nothing wrong accepted. */
#include "io/checkpoint.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"
#include "tests/io/test_io.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static mt_model *model;
static mt_adam *adam;

static mt_model *make_model(mt_dtype dtype, int64_t size, uint64_t seed)
{
    mt_model *made;
    mt_model_config config = mt_model_config_default(5, size);
    config.num_blocks = 2;
    config.norm.kind = MT_SCALE_NORM; /* whose parameters are scalars */
    ck_assert_msg(mt_model_create(test_device, dtype, &config, seed, &made) == MT_OK, "%s",
                  mt_error_message());
    return made;
}

static void setup(void)
{
    folder_setup();
    graph_setup();
    model = make_model(MT_F64, 6, 1);
    ck_assert_int_eq(mt_adam_create(model->parameters, mt_adam_config_default(), &adam), MT_OK);
    for (int i = 0; i < model->parameters->count;
         i++) { /* gradients, to give the optimiser a state */
        mt_tensor *tensor = &model->parameters->items[i]->tensor;
        ck_assert_int_eq(
            test_device->copy(test_device, tensor->grad, tensor->data, mt_tensor_bytes(tensor)),
            MT_OK);
        tensor->has_grad = true;
    }
    ck_assert_int_eq(mt_adam_step(adam, 0.1, 1.0, NULL), MT_OK);
}

static void teardown(void)
{
    mt_adam_destroy(adam);
    mt_model_destroy(model);
    graph_teardown();
    folder_teardown();
}

static const mt_train_state state = {.step = 7,
                                     .best_step = 5,
                                     .bad_evals = 2,
                                     .symbols = 1234567890123,
                                     .best_loss = 0.1,
                                     .seconds = 2.5};

static mt_status save(const char *path)
{
    return mt_checkpoint_save(path, model, adam, &state, "task: copy\n", NULL);
}

static mt_checkpoint *load(const char *path)
{
    mt_checkpoint *checkpoint;
    ck_assert_msg(mt_checkpoint_load(path, &checkpoint) == MT_OK, "%s", mt_error_message());
    return checkpoint;
}

static void assert_same_block(const void *a, const void *b)
{
    ck_assert_mem_eq(a, b,
                     (size_t)model->parameters->total * mt_dtype_size(model->parameters->dtype));
}

START_TEST(test_a_checkpoint_gives_the_same_bits_back)
{
    ck_assert_msg(save(in_folder("a.h5")) == MT_OK, "%s", mt_error_message());
    ck_assert_int_eq(files_in_folder(), 1);
    mt_checkpoint *read = load(in_folder("a.h5"));
    ck_assert_mem_eq(&read->state, &state, sizeof state);
    ck_assert_str_eq(read->run_config, "task: copy\n");
    mt_model *other = make_model(MT_F64, 6, 99);
    mt_adam *other_adam;
    ck_assert_int_eq(mt_adam_create(other->parameters, mt_adam_config_default(), &other_adam),
                     MT_OK);
    ck_assert_msg(mt_checkpoint_restore(read, other, other_adam) == MT_OK, "%s",
                  mt_error_message());
    assert_same_block(other->parameters->data, model->parameters->data);
    assert_same_block(other_adam->m, adam->m);
    assert_same_block(other_adam->v, adam->v);
    ck_assert_int_eq(other_adam->step, 1);
    mt_adam_destroy(other_adam);
    mt_model_destroy(other);
    mt_checkpoint_destroy(read);
}
END_TEST

START_TEST(test_a_checkpoint_does_not_fit_another_model)
{
    ck_assert_int_eq(save(in_folder("a.h5")), MT_OK);
    mt_checkpoint *read = load(in_folder("a.h5"));
    mt_model *narrow = make_model(MT_F32, 6, 1), *wide = make_model(MT_F64, 12, 1);
    ck_assert_int_eq(mt_checkpoint_restore(read, narrow, NULL), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_checkpoint_restore(read, wide, NULL), MT_ERROR_INVALID);
    mt_model_destroy(narrow);
    mt_model_destroy(wide);
    mt_checkpoint_destroy(read);
}
END_TEST

START_TEST(test_saving_twice_gives_the_same_file)
{
    char *bytes[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(save(in_folder("a.h5")), MT_OK);
        ck_assert_int_eq(mt_file_read(in_folder("a.h5"), &bytes[i], &size[i]), MT_OK);
    }
    ck_assert_uint_eq(size[0], size[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], size[0]);
    free(bytes[0]);
    free(bytes[1]);
}
END_TEST

START_TEST(test_killed_while_saving_leaves_a_whole_file)
{
    const char *path = in_folder("a.h5");
    ck_assert_int_eq(save(path), MT_OK);
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            for (;;) {
                save(path);
            }
        }
        usleep((useconds_t)(1000 + 700 * round));
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        mt_checkpoint_destroy(load(path));
    }
}
END_TEST

START_TEST(test_a_failed_write_leaves_the_old_file_and_nothing_else)
{
    const char *path = in_folder("a.h5");
    ck_assert_int_eq(save(path), MT_OK);
    char *before, *after;
    size_t size_before, size_after;
    ck_assert_int_eq(mt_file_read(path, &before, &size_before), MT_OK);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit, none;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &none), 0);
    limit = none;
    for (rlim_t bytes = 0; bytes < size_before; bytes += 4096) {
        limit.rlim_cur = bytes;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        ck_assert_int_eq(save(path), MT_ERROR_IO);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
        assert_message_has("File too large");
        ck_assert_int_eq(files_in_folder(), 1);
    }
    ck_assert_int_eq(mt_file_read(path, &after, &size_after), MT_OK);
    ck_assert_uint_eq(size_before, size_after);
    ck_assert_mem_eq(before, after, size_before);
    free(before);
    free(after);
    ck_assert_int_eq(save(in_folder("no/such/folder.h5")), MT_ERROR_IO);
}
END_TEST

/* Whatever bytes a file has, loading it ends in a model or in a message that names it. */
START_TEST(test_damaged_files_are_refused_or_whole)
{
    const char *path = in_folder("a.h5");
    ck_assert_int_eq(save(path), MT_OK);
    char *bytes;
    size_t size;
    ck_assert_int_eq(mt_file_read(path, &bytes, &size), MT_OK);
    for (size_t length = 0; length < size; length += 512) {
        mt_checkpoint *read;
        mt_status status = mt_checkpoint_load(file_of("cut.h5", bytes, length), &read);
        ck_assert_int_ne(status, MT_OK);
        ck_assert_ptr_null(read);
        assert_message_has("cut.h5");
    }
    mt_random random = mt_random_make(1, 0);
    for (int round = 0; round < 200; round++) {
        size_t at = (size_t)mt_random_below(&random, size);
        char kept = bytes[at];
        bytes[at] = (char)(bytes[at] ^ (1 << mt_random_below(&random, 8)));
        mt_checkpoint *read;
        if (mt_checkpoint_load(file_of("flip.h5", bytes, size), &read) == MT_OK) {
            mt_checkpoint_destroy(read);
        } else {
            assert_message_has("flip.h5");
        }
        bytes[at] = kept;
    }
    free(bytes);
}
END_TEST

START_TEST(test_files_of_another_kind_are_refused)
{
    mt_checkpoint *read;
    ck_assert_int_eq(mt_checkpoint_load(in_folder("none.h5"), &read), MT_ERROR_IO);
    ck_assert_int_eq(mt_checkpoint_load(test_folder, &read), MT_ERROR_IO);
    ck_assert_int_eq(mt_checkpoint_load(TEXT_FILE("text.h5", "no HDF5 at all"), &read),
                     MT_ERROR_FORMAT);
    assert_message_has("not an HDF5 file");
}
END_TEST

START_TEST(test_layouts_keep_the_bits_and_have_their_names)
{
    static const struct {
        const char *layout;
        bool head;
    } layouts[] = {{"espnet", false}, {"espnet-model", true}, {"mixtape", true}};
    for (int i = 0; i < 3; i++) {
        const mt_layout *layout;
        ck_assert_int_eq(mt_layout_parse(layouts[i].layout, &layout), MT_OK);
        ck_assert_msg(mt_exchange_save(in_folder("e.h5"), model, layout, NULL) == MT_OK, "%s",
                      mt_error_message());
        mt_checkpoint *read = load(in_folder("e.h5"));
        ck_assert_ptr_eq(read->layout, layout);
        ck_assert_int_eq(read->config.output_size > 0, layouts[i].head);
        const mt_parameter *ours =
            mt_parameters_find(model->parameters, "rwkv_blocks.1.att.proj_key.weight");
        const mt_parameter *theirs =
            mt_parameters_find(read->described, "rwkv_blocks.1.att.proj_key.weight");
        ck_assert_mem_eq((double *)read->data + theirs->offset, ours->tensor.data,
                         mt_tensor_bytes(&ours->tensor));
        mt_checkpoint_destroy(read);
    }
    char name[MT_NAME_MAX];
    ck_assert(mt_layout_name(&mt_layouts[1], "embed.weight", name));
    ck_assert_str_eq(name, "decoder.embed.weight");
    ck_assert(mt_layout_name(&mt_layouts[1], "head.bias", name));
    ck_assert_str_eq(name, "lm_lin.bias");
    ck_assert(!mt_layout_name(&mt_layouts[0], "head.bias", name));
}
END_TEST

START_TEST(test_large_token_lists_are_stored)
{
    enum { MANY = 50000 };
    mt_model_config config = mt_model_config_default(MANY, 1);
    config.num_blocks = 1;
    config.output_size = 0;
    mt_model *large;
    ck_assert_int_eq(mt_model_create(test_device, MT_F32, &config, 1, &large), MT_OK);
    char(*texts)[16] = calloc(MANY, sizeof *texts);
    const char **tokens = calloc(MANY, sizeof *tokens);
    ck_assert(texts != NULL && tokens != NULL);
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "token%d", i);
        tokens[i] = texts[i];
    }
    mt_token_list *list;
    ck_assert_int_eq(mt_token_list_create(MANY, tokens, &list), MT_OK);
    ck_assert_msg(mt_exchange_save(in_folder("large.h5"), large, &mt_layouts[0], list) == MT_OK,
                  "%s", mt_error_message());
    mt_checkpoint *read = load(in_folder("large.h5"));
    ck_assert_int_eq(read->tokens->count, MANY);
    ck_assert_str_eq(read->tokens->tokens[MANY - 1], "token49999");
    mt_checkpoint_destroy(read);
    mt_token_list_destroy(list);
    mt_model_destroy(large);
    free(texts);
    free(tokens);
}
END_TEST

static Suite *checkpoint_suite(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tcase = tcase_create("checkpoint");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, test_a_checkpoint_gives_the_same_bits_back);
    tcase_add_test(tcase, test_a_checkpoint_does_not_fit_another_model);
    tcase_add_test(tcase, test_saving_twice_gives_the_same_file);
    tcase_add_test(tcase, test_killed_while_saving_leaves_a_whole_file);
    tcase_add_test(tcase, test_a_failed_write_leaves_the_old_file_and_nothing_else);
    tcase_add_test(tcase, test_damaged_files_are_refused_or_whole);
    tcase_add_test(tcase, test_files_of_another_kind_are_refused);
    tcase_add_test(tcase, test_layouts_keep_the_bits_and_have_their_names);
    tcase_add_test(tcase, test_large_token_lists_are_stored);
    suite_add_tcase(suite, tcase);
    return suite;
}

MT_TEST_MAIN(checkpoint_suite)
