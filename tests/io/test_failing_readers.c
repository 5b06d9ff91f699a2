/* Every allocation and every system call of the readers of texts, ids, lists and weights fails
 * once: an error that says what it was, or the same numbers. */
#include "io/token_ids.h"
#include "tests/io/failing_calls.h"
#include "tests/io/io_test.h"

#include <mixtape/part.h>
#include <mixtape/text.h>
#include <mixtape/transcripts.h>

static mt_token_list *tokens;
static mt_model *target; /* which readers of weights write to */

/* What was read, as one number. */
static double outcome;

static void digest(const int32_t *ids, int64_t count)
{
    outcome = (double)count;
    for (int64_t i = 0; i < count; i++) {
        outcome = 0.5 * outcome + ids[i];
    }
}

static mt_status read_text(const char *path)
{
    mt_token_list *vocabulary = NULL;
    mt_text text;
    mt_status status = mt_text_load(path, MT_TEXT_CHAR, &vocabulary, &text);
    if (status == MT_OK) {
        digest(text.ids, text.length);
    }
    mt_text_destroy(&text);
    mt_token_list_destroy(vocabulary);
    return status;
}

static mt_status read_transcripts(const char *path)
{
    mt_transcripts *read;
    mt_status status = mt_transcripts_load(path, tokens, MT_TOKEN_CHAR, &read);
    if (status == MT_OK) {
        digest(read->items[0].labels, read->items[0].length);
        mt_transcripts_destroy(read);
    }
    return status;
}

static mt_status read_list(const char *path)
{
    mt_token_list *list;
    mt_status status = mt_token_list_load(path, &list);
    if (status == MT_OK) {
        outcome = list->count;
        mt_token_list_destroy(list);
    }
    return status;
}

static mt_status read_ids(const char *path)
{
    int32_t values[6];
    int64_t largest = 0;
    mt_token_ids *ids;
    mt_status status = mt_token_ids_open(&path, 1, MT_IDS_UNSAID, &ids);
    if (status == MT_OK) {
        status = mt_token_ids_largest(ids, &largest);
    }
    if (status == MT_OK) {
        status = mt_token_ids_read(ids, 0, 6, 100, values);
    }
    if (status == MT_OK) {
        digest(values, 6);
        outcome += 1000.0 * (double)largest;
    }
    mt_token_ids_close(ids);
    return status;
}

static void digest_model(void)
{
    float values[512];
    outcome = 0.0;
    for (int i = 0; i < target->parameters->count; i++) {
        const mt_tensor *tensor = &target->parameters->items[i]->tensor;
        int64_t count = mt_tensor_count(tensor);
        if (mt_tensor_bytes(tensor) <= sizeof values && mt_tensor_read(tensor, values) == MT_OK) {
            for (int64_t j = 0; j < count; j++) {
                outcome = 0.9 * outcome + (double)values[j];
            }
        }
    }
}

static mt_status begin(const char *path)
{
    mt_weights *weights = NULL;
    mt_status status = mt_weights_open(path, &weights);
    if (status == MT_OK) {
        status = mt_weights_begin_grown(weights, target);
    }
    if (status == MT_OK) {
        digest_model();
    }
    mt_weights_close(weights);
    return status;
}

static mt_status read_part(const char *path)
{
    mt_status status = mt_part_load(path, "rwkv_blocks.0.att", target);
    if (status == MT_OK) {
        digest_model();
    }
    return status;
}

/* 3, 1, 4, 1, 5, 9 as an array of NumPy's. */
static void write_npy(const char *name)
{
    char bytes[128 + 12];
    const uint16_t ids[] = {3, 1, 4, 1, 5, 9};
    memset(bytes, ' ', sizeof bytes);
    memcpy(bytes, "\x93NUMPY\x01\x00\x76\x00", 10);
    static const char header[] = "{'descr': '<u2', 'fortran_order': False, 'shape': (6,), }";
    memcpy(bytes + 10, header, sizeof header - 1);
    bytes[127] = '\n';
    memcpy(bytes + 128, ids, sizeof ids);
    write_bytes(name, bytes, sizeof bytes);
}

/* The files that are read, and a model with more labels than they know. */
static void setup(void)
{
    static const char *const shown[] = {"<blank>", "<unk>", "a", "b", "<sos/eos>"};
    const uint16_t ids[] = {3, 1, 4, 1, 5, 9};
    mt_model_config config = small_config();
    io_setup();
    tokens = make_tokens(VOCABULARY, shown);
    write_text("text", "ab ba\nb");
    write_text("transcripts", "utterance ab ba\n");
    write_text("list", "<blank>\n<unk>\na\nb\n<sos/eos>\n");
    write_bytes("ids.bin", ids, sizeof ids);
    write_npy("ids.npy");
    config.num_blocks = 1;
    config.padding_index = -1;
    mt_model *model = make_model(&config, MT_F32, 1);
    ASSERT_OK(mt_weights_save(in_folder("exchange.safetensors"), model, &mt_layouts[0], tokens));
    ASSERT_OK(mt_part_save(in_folder("part.safetensors"), model, "rwkv_blocks.0.att"));
    mt_model_destroy(model);
    config.vocab_size = config.output_size = VOCABULARY + 2;
    target = make_model(&config, MT_F32, 2);
}

static void teardown(void)
{
    countdown = chosen_error = 0;
    mt_model_destroy(target);
    mt_token_list_destroy(tokens);
    io_teardown();
}

static const struct {
    const char *file;
    mt_status (*read)(const char *path);
    int at_least; /* calls that can fail */
} acts[] = {{"text", read_text, 4},
            {"transcripts", read_transcripts, 4},
            {"list", read_list, 4},
            {"ids.bin", read_ids, 4},
            {"ids.npy", read_ids, 4},
            {"exchange.safetensors", begin, 10},
            {"part.safetensors", read_part, 5}};
enum { ACTS = sizeof acts / sizeof *acts };

/* So that nothing is there of what was read before. */
static void clear_target(void)
{
    ASSERT_OK(test_device->zero(test_device, target->parameters->data, block_bytes(target)));
}

START_TEST(test_a_call_that_fails_is_told_or_the_same_is_read)
{
    char path[128];
    int act = _i % ACTS, failures = 0;
    snprintf(path, sizeof path, "%s", in_folder(acts[act].file));
    clear_target();
    ASSERT_OK(acts[act].read(path));
    double expected = outcome;
    for (int call = 1;; call++) {
        clear_target();
        outcome = 0.0;
        chosen_error = errors[_i / ACTS];
        countdown = call;
        mt_status status = acts[act].read(path);
        bool reached = countdown == 0;
        countdown = chosen_error = 0;
        ck_assert_msg(status != MT_OK || outcome == expected, "call %d: other numbers", call);
        if (!reached) {
            ck_assert_int_eq(status, MT_OK);
            break;
        }
        if (status != MT_OK) {
            failures++;
            ck_assert_msg(strstr(mt_error_message(), reason_of(failed_with)) != NULL,
                          "call %d: %s: %s", call, strerror(failed_with), mt_error_message());
        }
    }
    ck_assert_int_ge(failures, errors[_i / ACTS] == ITS_OWN ? acts[act].at_least : 0);
}
END_TEST

static Suite *readers_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/failing readers", setup, teardown, &tcase);
    tcase_add_loop_test(tcase, test_a_call_that_fails_is_told_or_the_same_is_read, 0,
                        ACTS * ERRORS);
    return suite;
}

MT_TEST_MAIN(readers_suite)
