/* Every allocation and every write made to fail once: an error, no leak, and the old file in
 * place. */
#include "io/file.h"
#include "tests/io/failing_calls.h"
#include "tests/io/io_test.h"

static trained subject;
static mt_token_list *tokens;

static void setup(void)
{
    io_setup();
    mt_model_config config = small_config();
    config.num_blocks = 1; /* the calls of one block are those of the next */
    subject = make_trained(&config, MT_F32, 1);
    tokens = make_tokens(VOCABULARY, test_tokens);
}

static void teardown(void)
{
    countdown = chosen_error = 0;
    mt_token_list_destroy(tokens);
    destroy_trained(&subject);
    io_teardown();
}

static mt_status save_checkpoint(const char *path)
{
    return mt_checkpoint_save(path, subject.model, subject.adam, &test_state, "a: 1\n", tokens);
}

static mt_status save_exchange(const char *path)
{
    return mt_weights_save(path, subject.model, &mt_layouts[0], tokens);
}

static mt_status load_checkpoint(const char *path)
{
    mt_checkpoint *read;
    mt_status status = load_checked(path, &read);
    mt_checkpoint_destroy(read);
    return status;
}

/* From one file of weights to another, by a .safetensors file beside them. */
static mt_status convert(const char *path)
{
    char beside[256];
    mt_weights *weights = NULL;
    snprintf(beside, sizeof beside, "%s.safetensors", path);
    mt_status status = mt_weights_open(path, &weights);
    if (status == MT_OK) {
        status = mt_weights_convert(weights, beside, &mt_layouts[0]);
        mt_weights_close(weights);
    }
    if (status == MT_OK) {
        status = mt_weights_open(beside, &weights);
    }
    if (status == MT_OK) {
        mt_model *model;
        status = mt_weights_model(weights, test_device, &model);
        mt_model_destroy(status == MT_OK ? model : NULL);
        mt_weights_close(weights);
    }
    unlink(beside);
    return status;
}

static mt_status make_other_model(const char *path)
{
    (void)path;
    mt_model_config config = small_config();
    mt_model *model;
    mt_status status = mt_model_create(test_device, MT_F32, &config, 2, &model);
    mt_model_destroy(model);
    return status;
}

static const struct {
    mt_status (*act)(const char *path);
    int at_least; /* calls that can fail */
} acts[] = {{save_checkpoint, 10},
            {save_exchange, 5},
            {load_checkpoint, 10},
            {convert, 20},
            {make_other_model, 5}};
enum { ACTS = sizeof acts / sizeof *acts };

/* Only what changed is read: that takes longer than the act that failed. */
static void assert_loads(const char *path, const char *before, size_t size_before)
{
    char *now;
    size_t size;
    ASSERT_OK(mt_file_read(path, &now, &size));
    bool same = size == size_before && memcmp(now, before, size) == 0;
    free(now);
    if (!same) {
        ASSERT_OK(load_checkpoint(path));
    }
}

START_TEST(test_each_call_that_fails_is_told_and_nothing_is_lost)
{
    const char *path = in_folder("checkpoint.h5");
    char *before;
    size_t size_before;
    int failures = 0;
    ASSERT_OK(save_checkpoint(path));
    ASSERT_OK(load_checkpoint(path));
    ASSERT_OK(mt_file_read(path, &before, &size_before));
    for (int call = 1;; call++) {
        chosen_error = errors[_i / ACTS];
        countdown = call;
        mt_status status = acts[_i % ACTS].act(path);
        bool reached = countdown == 0;
        countdown = chosen_error = 0;
        if (!reached) {
            ck_assert_int_eq(status, MT_OK);
            break;
        }
        ck_assert_int_eq(files_in_folder(), 1);
        if (status != MT_OK) {
            failures++;
            ck_assert_ptr_nonnull(strstr(mt_error_message(), reason_of(failed_with)));
        }
        assert_loads(path, before, size_before);
    }
    free(before);
    ck_assert_int_ge(failures, errors[_i / ACTS] == ITS_OWN ? acts[_i % ACTS].at_least : 0);
}
END_TEST

static Suite *faults_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/faults", setup, teardown, &tcase);
    tcase_add_loop_test(tcase, test_each_call_that_fails_is_told_and_nothing_is_lost, 0,
                        ACTS * ERRORS);
    return suite;
}

MT_TEST_MAIN(faults_suite)
