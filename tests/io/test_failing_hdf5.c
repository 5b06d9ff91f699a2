/* Every call of HDF5's library fails once, as it does without memory: an error and nothing left
 * behind, or what is written and read is the same. */
#include "io/token_ids.h"
#include "tests/io/failing_hdf5.h"
#include "tests/io/io_test.h"

#include <mixtape/part.h>

#define PART "rwkv_blocks.0.att"

static trained subject;
static mt_token_list *tokens;

static mt_status save_checkpoint(const char *path)
{
    return mt_checkpoint_save(path, subject.model, subject.adam, &test_state, "a: 1\n", tokens);
}

static mt_status save_exchange(const char *path)
{
    return mt_weights_save(path, subject.model, &mt_layouts[0], tokens);
}

static mt_status save_part(const char *path)
{
    return mt_part_save(path, subject.model, PART);
}

static mt_status save_parameters(const char *path)
{
    return mt_parameters_save(path, subject.model->parameters);
}

static mt_status load_checkpoint(const char *path, trained *to)
{
    mt_checkpoint *read;
    mt_status status = mt_checkpoint_load(path, &read);
    if (status == MT_OK) {
        status = mt_checkpoint_restore(read, to->model, to->adam);
        ck_assert(status != MT_OK || strcmp(read->run_config, "a: 1\n") == 0);
        ck_assert(status != MT_OK || read->state.step == test_state.step);
    }
    mt_checkpoint_destroy(read);
    return status;
}

static mt_status load_exchange(const char *path, trained *to)
{
    mt_weights *weights;
    mt_status status = mt_weights_open(path, &weights);
    if (status == MT_OK) {
        status = mt_weights_restore(weights, to->model);
        ck_assert_int_eq(weights->tokens->count, VOCABULARY);
    }
    mt_weights_close(weights);
    return status;
}

static mt_status load_part(const char *path, trained *to)
{
    return mt_part_load(path, PART, to->model);
}

static mt_status load_parameters(const char *path, trained *to)
{
    return mt_parameters_load(path, to->model->parameters);
}

static const struct {
    const char *name;
    mt_status (*save)(const char *path);
    mt_status (*load)(const char *path, trained *to);
} files[] = {{"checkpoint.h5", save_checkpoint, load_checkpoint},
             {"exchange.h5", save_exchange, load_exchange},
             {"part.h5", save_part, load_part},
             {"parameters.h5", save_parameters, load_parameters}};
enum { FILES = sizeof files / sizeof *files };

/* The next call to fail. What is written for one array after the other repeats: some of it is
 * tried, in steps that do not keep time with it. */
static int next_call(int call)
{
    return call + 3 + call % 7;
}

static mt_model_config tiny_config(void)
{
    mt_model_config config = small_config();
    config.num_blocks = 1;
    return config;
}

static void setup(void)
{
    io_setup();
    mt_model_config config = tiny_config();
    subject = make_trained(&config, MT_F32, 1);
    tokens = make_tokens(VOCABULARY, test_tokens);
}

static void teardown(void)
{
    fail_hdf5(0);
    mt_token_list_destroy(tokens);
    destroy_trained(&subject);
    io_teardown();
}

static void assert_same_bytes(const char *one, const char *other)
{
    char *bytes[2];
    size_t sizes[2];
    ASSERT_OK(mt_file_read(one, &bytes[0], &sizes[0]));
    ASSERT_OK(mt_file_read(other, &bytes[1], &sizes[1]));
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert_msg(memcmp(bytes[0], bytes[1], sizes[0]) == 0, "%s failed", failed_hdf5_call);
    free(bytes[0]);
    free(bytes[1]);
}

static void assert_is_told(int call)
{
    ck_assert_msg(mt_error_message()[0] != '\0', "call %d, %s: no message", call, failed_hdf5_call);
}

START_TEST(test_a_file_is_whole_or_not_written)
{
    const char *expected = in_folder("expected.h5");
    char path[128];
    snprintf(path, sizeof path, "%s", in_folder(files[_i].name));
    fail_hdf5(0);
    ASSERT_OK(files[_i].save(expected));
    int calls = fail_hdf5(0);
    ck_assert_int_gt(calls, 50);
    for (int call = 1; call <= calls; call = next_call(call)) {
        fail_hdf5(call);
        mt_status status = files[_i].save(path);
        fail_hdf5(0);
        ck_assert_int_eq(files_in_folder(), status == MT_OK ? 2 : 1);
        if (status == MT_OK) {
            assert_same_bytes(path, expected);
            unlink(path);
        } else {
            assert_is_told(call);
        }
    }
}
END_TEST

START_TEST(test_what_is_read_is_right_or_refused)
{
    mt_model_config config = tiny_config();
    char path[128], again[128];
    snprintf(path, sizeof path, "%s", in_folder(files[_i].name));
    snprintf(again, sizeof again, "%s", in_folder("again.h5"));
    ASSERT_OK(files[_i].save(path));
    trained former = subject;
    int calls = 1;
    for (int call = 0; call <= calls; call = next_call(call)) { /* in the first none fails */
        trained to = make_trained(&config, MT_F32, 2);
        fail_hdf5(call);
        mt_status status = files[_i].load(path, &to);
        int made = fail_hdf5(0);
        calls = call == 0 ? made : calls;
        if (status == MT_OK) {
            subject = to;
            ASSERT_OK(files[_i].save(again));
            subject = former;
            assert_same_bytes(again, path);
        } else {
            assert_is_told(call);
        }
        destroy_trained(&to);
    }
    ck_assert_int_gt(calls, 50);
}
END_TEST

/* By which other programs read them. */
START_TEST(test_texts_are_utf8_with_zeros_behind_them)
{
    const char *path = in_folder("checkpoint.h5");
    ASSERT_OK(save_checkpoint(path));
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t text = H5Aopen_by_name(file, "/", "format", H5P_DEFAULT, H5P_DEFAULT);
    hid_t type = H5Aget_type(text);
    ck_assert_int_eq(H5Tget_class(type), H5T_STRING);
    ck_assert_int_eq(H5Tget_cset(type), H5T_CSET_UTF8);
    ck_assert_int_eq(H5Tget_strpad(type), H5T_STR_NULLPAD);
    H5Tclose(type);
    H5Aclose(text);
    H5Fclose(file);
}
END_TEST

static Suite *failing_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/failing HDF5", setup, teardown, &tcase);
    tcase_add_loop_test(tcase, test_a_file_is_whole_or_not_written, 0, FILES);
    tcase_add_loop_test(tcase, test_what_is_read_is_right_or_refused, 0, FILES);
    tcase_add_test(tcase, test_texts_are_utf8_with_zeros_behind_them);
    return suite;
}

MT_TEST_MAIN(failing_suite)
