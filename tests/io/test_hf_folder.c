/* Folders of Hugging Face's: weights in one file or in shards, and what their configuration tells.
 */
#include "io/file.h"
#include "io/hf_config.h"
#include "io/number_types.h"
#include "io/weights_file.h"
#include "tests/io/io_test.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <sys/file.h>
#include <unistd.h>

#define SHARD_1 "model-00001-of-00002.safetensors"
#define SHARD_2 "model-00002-of-00002.safetensors"
#define INDEX   "model.safetensors.index.json"

static mt_model *make_hf(void)
{
    mt_model_config config = small_config();
    config.norm.eps = 1e-5;
    config.bias = config.head_bias = false;
    config.output_size = VOCABULARY;
    config.attention_size = 6;
    config.linear_size = 7;
    return make_model(&config, MT_F32, 1);
}

static mt_arrays arrays_of_model(void)
{
    const mt_layout *layout;
    mt_arrays arrays;
    mt_model *model = make_hf();
    ASSERT_OK(mt_layout_parse("hf", &layout));
    ASSERT_OK(mt_weights_save(in_folder("whole.safetensors"), model, layout, NULL));
    ASSERT_OK(mt_arrays_read(in_folder("whole.safetensors"), NULL, NULL, &arrays));
    ck_assert_int_eq(remove(in_folder("whole.safetensors")), 0);
    mt_model_destroy(model);
    return arrays;
}

/* Writes every second array, from one of them on. */
static void write_shard(const mt_arrays *arrays, int64_t first, const char *name)
{
    mt_arrays shard = {0};
    for (int64_t i = first; i < arrays->count; i += 2) {
        ASSERT_OK(mt_arrays_add_name(&shard, arrays->items[i].name));
        mt_array *added = mt_arrays_last(&shard);
        char *own_name = added->name;
        *added = arrays->items[i];
        added->name = own_name;
    }
    ASSERT_OK(mt_arrays_write(in_folder(name), &shard));
    for (int64_t i = 0; i < shard.count; i++) {
        shard.items[i].data = NULL; /* the other's */
    }
    mt_arrays_free(&shard);
}

/* An index of the two shards, its first entry replaced. */
static void write_index(const mt_arrays *arrays, const char *first)
{
    char text[16384] = "{\"metadata\": {\"total_size\": 3}, \"weight_map\": {";
    for (int64_t i = 0; i < arrays->count; i++) {
        size_t used = strlen(text);
        if (i == 0 && first != NULL) {
            snprintf(text + used, sizeof text - used, "%s", first);
        } else {
            snprintf(text + used, sizeof text - used, "%s\"%s\": \"%s\"",
                     text[used - 1] != '{' ? ", " : "", arrays->items[i].name,
                     i % 2 == 0 ? SHARD_1 : SHARD_2);
        }
    }
    strcat(text, "}}");
    write_text(INDEX, text);
}

static void write_shards(const char *first)
{
    mt_arrays arrays = arrays_of_model();
    write_shard(&arrays, 0, SHARD_1);
    write_shard(&arrays, 1, SHARD_2);
    write_index(&arrays, first);
    mt_arrays_free(&arrays);
}

static void write_whole(void)
{
    mt_arrays arrays = arrays_of_model();
    ASSERT_OK(mt_arrays_write(in_folder("model.safetensors"), &arrays));
    mt_arrays_free(&arrays);
}

static mt_weights *open_folder(void)
{
    mt_weights *weights;
    ASSERT_OK(mt_weights_open(test_folder, &weights));
    ck_assert_str_eq(weights->layout->name, "hf");
    return weights;
}

static void check_bits(const mt_weights *weights)
{
    mt_model *read, *model = make_hf();
    ASSERT_OK(mt_weights_model(weights, test_device, &read));
    ck_assert(same_model(read, model));
    mt_model_destroy(read);
    mt_model_destroy(model);
}

START_TEST(test_one_file_and_shards_are_the_same_model)
{
    if (_i == 0) {
        write_whole();
    } else {
        write_shards(NULL);
    }
    mt_weights *weights = open_folder();
    check_bits(weights);
    mt_weights_close(weights);
}
END_TEST

START_TEST(test_a_folder_without_a_configuration_says_what_it_assumes)
{
    write_whole();
    mt_weights *weights = open_folder();
    ck_assert_str_eq(mt_weights_assumed(weights), "eps 1e-05, context_size 1024");
    mt_weights_close(weights);
}
END_TEST

#define RIGHT_SIZES                                                                                \
    "\"vocab_size\": 5, \"hidden_size\": 4, \"num_hidden_layers\": 2, "                            \
    "\"attention_hidden_size\": 6, \"intermediate_size\": 7"

START_TEST(test_the_configuration_is_taken)
{
    write_whole();
    write_text("config.json", "{\"model_type\": \"rwkv\", \"layer_norm_epsilon\": 1e-6, "
                              "\"context_length\": 77, \"rescale_every\": 6, " RIGHT_SIZES "}");
    mt_weights *weights = open_folder();
    ck_assert_double_eq(weights->config.norm.eps, 1e-6);
    ck_assert_int_eq(weights->config.context_size, 77);
    ck_assert_str_eq(mt_weights_assumed(weights), "");
    check_bits(weights);
    mt_weights_close(weights);
}
END_TEST

static const char *const bad_configurations[][3] = {
    {"{\"model_type\": \"gpt2\"}", "model_type is \"gpt2\"", "RWKV-4"},
    {"{\"model_type\": \"rwkv6\"}", "model_type is \"rwkv6\"", "RWKV-4"},
    {"{\"model_type\": 5}", "model_type is 5", "RWKV-4"},
    {"{\"model_type\": null}", "model_type is null", "RWKV-4"},
    {"{\"model_type\": [\"rwkv\"]}", "model_type is a list", "RWKV-4"},
    {"{}", "model_type is missing", "RWKV-4"},
    {"[{\"model_type\": \"rwkv\"}]", "no JSON object", "another value"},
    {"version https://git-lfs.github.com/spec/v1\n", "not a JSON object", "git lfs pull"},
    {"<!DOCTYPE html>", "not a JSON object", "a page of HTML"},
    {"{\"model_type\": \"rwkv\", \"model_type\": \"gpt2\"}", "no JSON object", "duplicate"},
    {"{\"model_type\": \"rwkv\", \"vocab_size\": 6}", "vocab_size 6", "weights 5"},
    {"{\"model_type\": \"rwkv\", \"hidden_size\": 8}", "hidden_size 8", "weights 4"},
    {"{\"model_type\": \"rwkv\", \"num_hidden_layers\": 3}", "num_hidden_layers 3", "weights 2"},
    {"{\"model_type\": \"rwkv\", \"attention_hidden_size\": 4}", "attention_hidden_size 4",
     "weights 6"},
    {"{\"model_type\": \"rwkv\", \"intermediate_size\": 16}", "intermediate_size 16", "weights 7"},
    {"{\"model_type\": \"rwkv\", \"context_length\": 0}", "context_length is 0", "above 0"},
    {"{\"model_type\": \"rwkv\", \"context_length\": 1e3}", "context_length is 1000.0",
     "whole number"},
    {"{\"model_type\": \"rwkv\", \"hidden_size\": {\"a\": 4}}", "hidden_size is an object",
     "whole number"},
    {"{\"model_type\": \"rwkv\", \"layer_norm_epsilon\": -0.5}", "layer_norm_epsilon is -0.5",
     "above 0"},
    {"{\"model_type\": \"rwkv\", \"tie_word_embeddings\": \"yes\"}",
     "tie_word_embeddings is \"yes\"", "neither true nor false"},
    {"{\"model_type\": \"rwkv\", \"context_length\": 1000000000000}", "context_size",
     "1000000000000"},
};
enum { BAD_CONFIGURATIONS = sizeof bad_configurations / sizeof *bad_configurations };

START_TEST(test_a_configuration_of_another_model_is_refused)
{
    mt_weights *weights;
    write_whole();
    write_text("config.json", bad_configurations[_i][0]);
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_FORMAT, bad_configurations[_i][1],
                 bad_configurations[_i][2]);
    ck_assert_ptr_null(weights);
}
END_TEST

START_TEST(test_a_configuration_that_cannot_be_looked_at_is_not_taken_for_none)
{
    mt_weights *weights;
    mt_hf_config config;
    char path[2 * PATH_MAX];
    write_whole();
    ck_assert_int_eq(symlink("config.json", in_folder("config.json")), 0);
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_IO,
                 "config.json: Too many levels of symbolic links");
    memset(path, '/', sizeof path);
    path[sizeof path - 1] = '\0';
    ASSERT_FAILS(mt_hf_config_read(path, &config), MT_ERROR_IO, "the path is too long");
}
END_TEST

START_TEST(test_a_configuration_that_cannot_be_written_is_told)
{
    const mt_model_config config = small_config();
    ASSERT_FAILS(mt_hf_config_write(in_folder("none/config.json"), &config, "float32", NULL),
                 MT_ERROR_IO, "none/config.json");
}
END_TEST

static const char *const linked[] = {"config.json", "model.safetensors", INDEX, "tokenizer.json",
                                     "tokenizer.model"};
enum { LINKED = sizeof linked / sizeof *linked };

START_TEST(test_a_link_that_leads_nowhere_is_not_taken_for_nothing)
{
    mt_weights *weights;
    if (strncmp(linked[_i], "model", 5) != 0) {
        write_whole();
    }
    ck_assert_int_eq(symlink("../blobs/0123", in_folder(linked[_i])), 0);
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_IO, linked[_i], "No such file");
}
END_TEST

START_TEST(test_a_cache_of_links_is_a_folder_as_others_are)
{
    mt_weights *weights;
    const char *moved = in_folder("0123");
    write_whole();
    ck_assert_int_eq(rename(in_folder("model.safetensors"), moved), 0);
    ck_assert_int_eq(symlink("0123", in_folder("model.safetensors")), 0);
    weights = open_folder();
    check_bits(weights);
    mt_weights_close(weights);
}
END_TEST

#define VOCABULARY_WITH_ZERO "{\"model\": {\"vocab\": {\"\\u0000\": 0}}}"
static const struct {
    const char *name, *text, *says; /* NULL: it is taken as it is */
} tokenizers[] = {
    {"tokenizer.json", "{\"model\": {}}", NULL},
    {"tokenizer.json", "\xEF\xBB\xBF{\"model\": {\"a\": 1, \"a\": 2}}", NULL},
    {"tokenizer.json", VOCABULARY_WITH_ZERO, NULL},
    {"tokenizer.json", "{\"model\": {\"unk\": \"\\u0000\"}}", NULL},
    {"tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 0", "no JSON object"},
    {"tokenizer.json", "{\"model\": {3: 4}}", "no JSON object"},
    {"tokenizer.json", "{\"version\": \"1.0\"}", "has no model"},
    {"tokenizer.json", "{\"model\": 3}", "has no model"},
    {"tokenizer.json", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
    {"tokenizer.json", "<!DOCTYPE html>", "a page of HTML"},
    {"tokenizer.json", "", "0 bytes"},
    {"tokenizer.model", "\n\1x", NULL},
    {"tokenizer.model", "\x01\x02", "neither a tokenizer.json, nor a model of SentencePiece"},
    {"rwkv_vocab_v20230424.txt", "1 'a' 1\n2 'b' 1\n", NULL},
    {"rwkv_vocab_v20230424.txt", "1 'a' 1\n1 'b' 1\n", "line 2"},
};
enum { TOKENIZERS = sizeof tokenizers / sizeof *tokenizers };

START_TEST(test_a_tokenizer_is_checked_when_it_is_taken)
{
    mt_weights *weights;
    write_whole();
    write_text(tokenizers[_i].name, tokenizers[_i].text);
    if (tokenizers[_i].says == NULL) {
        ASSERT_OK(mt_weights_open(test_folder, &weights));
        ck_assert_str_eq(weights->tokenizer.bytes, tokenizers[_i].text);
        mt_weights_close(weights);
    } else {
        ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_FORMAT, tokenizers[_i].name,
                     tokenizers[_i].says);
    }
}
END_TEST

START_TEST(test_what_is_null_is_not_told)
{
    write_whole();
    write_text("config.json",
               "{\"model_type\": \"rwkv\", \"attention_hidden_size\": null, \"vocab_size\": null, "
               "\"layer_norm_epsilon\": null, \"tie_word_embeddings\": null}");
    mt_weights *weights = open_folder();
    ck_assert_str_eq(mt_weights_assumed(weights), "eps 1e-05, context_size 1024");
    mt_weights_close(weights);
}
END_TEST

/* In the place of the first entry, of rwkv.embeddings.weight in the first shard. */
static const char *const lies[][3] = {
    {"\"rwkv.embeddings.weight\": \"../" SHARD_1 "\"", "../", "no name of a file in the folder"},
    {"\"rwkv.embeddings.weight\": \"/etc/passwd\"", "/etc/passwd",
     "no name of a file in the folder"},
    {"\"rwkv.embeddings.weight\": \"..\"", "..", "no name of a file in the folder"},
    {"\"rwkv.embeddings.weight\": \"\"", "rwkv.embeddings.weight",
     "no name of a file in the folder"},
    {"\"rwkv.embeddings.weight\": 3", "rwkv.embeddings.weight: 3",
     "no name of a file in the folder"},
    {"\"rwkv.embeddings.weight\": \"" SHARD_2 "\"", "it holds rwkv.embeddings.weight",
     "has in " SHARD_2},
    {"\"rwkv.embeddings.weight\": \"model-3.safetensors\"", "model-3.safetensors",
     "No such file or directory, and the index " INDEX " names it"},
    {"\"tail\": \"" SHARD_1 "\"", "it holds rwkv.embeddings.weight", "has in no file"},
    {"\"rwkv.embeddings.weight\": \"" SHARD_1 "\", \"tail\": \"" SHARD_1 "\"", "tail",
     "this file does not hold it"},
    {"\"rwkv.embeddings.weight\": \"" SHARD_1 "\", \"rwkv.embeddings.weight\": \"" SHARD_1 "\"",
     "no JSON object", "duplicate"},
};
enum { LIES = sizeof lies / sizeof *lies };

START_TEST(test_an_index_that_lies_is_refused)
{
    mt_weights *weights;
    write_shards(lies[_i][0]);
    ASSERT_FAILS(mt_weights_open(test_folder, &weights),
                 strstr(lies[_i][2], "No such") != NULL ? MT_ERROR_IO : MT_ERROR_FORMAT,
                 lies[_i][1], lies[_i][2]);
    ck_assert_ptr_null(weights);
}
END_TEST

START_TEST(test_a_name_in_two_shards_is_refused)
{
    mt_weights *weights;
    mt_arrays arrays = arrays_of_model();
    write_shard(&arrays, 0, SHARD_1);
    write_shard(&arrays, 1, SHARD_2);
    write_index(&arrays, NULL);
    ASSERT_OK(mt_arrays_write(in_folder(SHARD_2), &arrays)); /* all of them */
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_FORMAT, SHARD_2 ": it holds",
                 "has in " SHARD_1);
    mt_arrays_free(&arrays);
}
END_TEST

static const char *const no_indices[][2] = {
    {"[]", "no JSON object"},
    {"", "no JSON object"},
    {"{}", "no weight_map"},
    {"{\"weight_map\": []}", "no weight_map"},
    {"{\"weight_map\": {}}", "no weight_map, or an empty one"},
};
enum { NO_INDICES = sizeof no_indices / sizeof *no_indices };

START_TEST(test_what_is_no_index_is_refused)
{
    mt_weights *weights;
    write_text(INDEX, no_indices[_i][0]);
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_FORMAT, INDEX, no_indices[_i][1]);
}
END_TEST

START_TEST(test_deep_json_is_refused)
{
    enum { DEEP = 1 << 20 };
    mt_weights *weights;
    char *text = malloc(DEEP);
    ck_assert_ptr_nonnull(text);
    memset(text, '[', DEEP);
    memcpy(text, "{\"a\":", 5);
    write_bytes("config.json", text, DEEP);
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_FORMAT, "config.json",
                 "maximum parsing depth");
    write_bytes("config.json", text, DEEP - 1);
    char more[2] = "[";
    FILE *file = fopen(in_folder("config.json"), "ab");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fputs(more, file) + fputs(more, file) >= 0 ? fclose(file) : 1, 0);
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_FORMAT, "config.json",
                 "1048577 bytes", "at most 1048576");
    free(text);
}
END_TEST

static const char *const others[][2] = {
    {"pytorch_model.bin", "mixtape-from-pth"},
    {"pytorch_model.bin.index.json", "mixtape-from-pth"},
    {"adapter_model.safetensors", "PEFT"},
    {"tf_model.h5", "TensorFlow"},
    {"flax_model.msgpack", "Flax"},
};
enum { OTHERS = sizeof others / sizeof *others };

START_TEST(test_weights_in_another_form_are_named)
{
    mt_weights *weights;
    write_text(others[_i][0], "x");
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_FORMAT, test_folder,
                 others[_i][1]);
}
END_TEST

START_TEST(test_a_folder_without_a_model_says_what_would_be_there)
{
    mt_weights *weights;
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_IO, test_folder, "best.h5",
                 "model.safetensors");
}
END_TEST

static const char *const meant[] = {"model.fp16.safetensors", "RWKV-4-Pile-169M.pth",
                                    "checkpoint-500/model.safetensors", "copy-1/best.h5"};

START_TEST(test_a_folder_says_what_in_it_may_be_meant)
{
    mt_weights *weights;
    char name[64];
    snprintf(name, sizeof name, "%s", meant[_i]);
    char *slash = strchr(name, '/');
    if (slash != NULL) {
        *slash = '\0';
        ck_assert_int_eq(mkdir(in_folder(name), 0777), 0);
    }
    write_text(meant[_i], "x");
    write_text("training_args.bin", "x");
    write_text(".hidden.safetensors", "x");
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_IO, "of no model", "is it ",
                 in_folder(name));
}
END_TEST

START_TEST(test_a_pointer_in_place_of_a_shard_is_told)
{
    mt_weights *weights;
    write_shards(NULL);
    write_text(SHARD_2, "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n");
    ASSERT_FAILS(mt_weights_open(test_folder, &weights), MT_ERROR_FORMAT, SHARD_2, "git lfs pull");
}
END_TEST

START_TEST(test_a_shard_alone_points_to_its_folder)
{
    mt_weights *weights;
    write_shards(NULL);
    ASSERT_FAILS(mt_weights_open(in_folder(SHARD_1), &weights), MT_ERROR_FORMAT, SHARD_1,
                 "no layout", "one of several shards: name their folder");
}
END_TEST

/* ---- written ---- */

static mt_status save_folder(const char *name, mt_stored_type stored)
{
    const mt_layout *layout;
    mt_weights_file file;
    mt_weights weights;
    mt_model *model = make_hf();
    ASSERT_OK(mt_layout_parse("hf", &layout));
    ASSERT_OK(mt_weights_of(model->parameters, &model->config, NULL, &file, &weights));
    mt_status status = mt_weights_export(&weights, in_folder(name), layout, stored);
    mt_weights_file_close(&file);
    mt_model_destroy(model);
    return status;
}

START_TEST(test_a_folder_that_is_written_is_the_same_model)
{
    mt_weights *weights;
    if (_i == 1) { /* an empty one is taken for new */
        ck_assert_int_eq(mkdir(in_folder("new"), 0777), 0);
    }
    ASSERT_OK(save_folder("new", MT_STORED_AS_IS));
    ASSERT_OK(mt_weights_open(in_folder("new"), &weights));
    ck_assert_str_eq(mt_weights_assumed(weights), "");
    ck_assert_int_eq(weights->config.context_size, 16);
    check_bits(weights);
    mt_weights_close(weights);
    ck_assert_int_eq(files_in_folder(), 1);
}
END_TEST

START_TEST(test_an_eps_is_written_in_its_shortest_form_and_comes_back)
{
    static const struct {
        double eps;
        const char *text;
    } cases[] = {{1e-5, "1e-5,"}, {1e-12, "1e-12,"}, {1.0 / 3, "0.3333333333333333,"}};
    mt_model_config config = small_config();
    config.bias = config.head_bias = false;
    config.output_size = VOCABULARY;
    config.norm.eps = cases[_i].eps;
    const mt_layout *layout;
    mt_weights *weights;
    mt_model *model = make_model(&config, MT_F32, 1);
    ASSERT_OK(mt_layout_parse("hf", &layout));
    ASSERT_OK(mt_weights_save(in_folder("new"), model, layout, NULL));
    ASSERT_OK(mt_weights_open(in_folder("new"), &weights));
    ck_assert_double_eq(weights->config.norm.eps, cases[_i].eps);
    char *text;
    size_t size;
    ASSERT_OK(mt_file_read(in_folder("new/config.json"), &text, &size));
    ck_assert_ptr_nonnull(strstr(text, cases[_i].text));
    free(text);
    mt_weights_close(weights);
    mt_model_destroy(model);
}
END_TEST

/* Of what transformers does at inference with the types that weights can have. */
static const struct {
    mt_stored_type stored;
    const char *text;
} rescaled[] = {{MT_STORED_AS_IS, "\"rescale_every\": 0"},
                {MT_STORED_F16, "\"rescale_every\": 6"},
                {MT_STORED_BF16, "\"rescale_every\": 0"}};

START_TEST(test_only_float16_is_rescaled)
{
    char *text;
    size_t size;
    ASSERT_OK(save_folder("new", rescaled[_i].stored));
    ASSERT_OK(mt_file_read(in_folder("new/config.json"), &text, &size));
    ck_assert_ptr_nonnull(strstr(text, rescaled[_i].text));
    free(text);
}
END_TEST

START_TEST(test_what_is_there_is_not_destroyed)
{
    mt_weights *weights;
    ASSERT_OK(save_folder("new", MT_STORED_AS_IS));
    ASSERT_FAILS(save_folder("new", MT_STORED_F16), MT_ERROR_IO, "new", "not empty");
    ASSERT_FAILS(save_folder("new/", MT_STORED_F16), MT_ERROR_IO, "new", "not empty");
    ASSERT_OK(mt_weights_open(in_folder("new"), &weights));
    check_bits(weights);
    mt_weights_close(weights);
    write_text("file", "precious");
    ASSERT_FAILS(save_folder("file", MT_STORED_AS_IS), MT_ERROR_IO, "file", "Not a directory");
    ASSERT_FAILS(save_folder("none/new", MT_STORED_AS_IS), MT_ERROR_IO, "none/new", "No such file");
    ck_assert_int_eq(files_in_folder(), 2); /* and nothing beside them */
}
END_TEST

static int pieces;

static bool has_done_pieces(void)
{
    return pieces-- == 0;
}

static const char *const written[] = {"new", "new.safetensors", "new.h5"};

START_TEST(test_what_is_interrupted_leaves_nothing)
{
    mt_status status = MT_ERROR_IO;
    mt_weights_stop_when(has_done_pieces);
    int done = 0;
    for (; status != MT_OK; done++) {
        ck_assert_int_eq(files_in_folder(), 0);
        pieces = done;
        status = save_folder(written[_i], MT_STORED_AS_IS);
        ck_assert(status == MT_OK || strstr(mt_error_message(), "interrupted") != NULL);
    }
    ck_assert_int_gt(done, 40); /* each parameter is a piece */
    mt_weights_stop_when(NULL);
    ck_assert_int_eq(files_in_folder(), 1);
}
END_TEST

static void make_left(const char *file)
{
    ck_assert_int_eq(mkdir(in_folder(".new.0123abcd.part"), 0777), 0);
    write_text(".new.0123abcd.part/.model.safetensors.4567cdef.part", "half");
    write_text(".new.0123abcd.part/config.json", "{}");
    write_text(file, "x");
}

START_TEST(test_a_folder_that_a_killed_writer_left_is_removed)
{
    make_left(".new.0123abcd.part/tokenizer.json");
    ck_assert_int_eq(mkdir(in_folder(".new.89abcdef.part"), 0777), 0); /* killed at once */
    ASSERT_OK(save_folder("new", MT_STORED_AS_IS));
    ck_assert_int_eq(files_in_folder(), 1);
}
END_TEST

static const char *const not_left[] = {".new.0123abcd.part/thesis.tex", ".old.0123abcd.part",
                                       ".new.0123abcd.part/config.json"};

/* What holds another file, is another's, or has a writer at work. */
START_TEST(test_what_is_no_killed_writers_folder_stays)
{
    make_left(not_left[_i]);
    int writer = open(in_folder(".new.0123abcd.part"), O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(writer, 0);
    ck_assert_int_eq(_i == 2 ? flock(writer, LOCK_EX) : 0, 0);
    ASSERT_OK(save_folder("new", MT_STORED_AS_IS));
    ck_assert_int_eq(access(in_folder(not_left[_i]), F_OK), 0);
    if (_i != 1) {
        ck_assert_int_eq(access(in_folder(".new.0123abcd.part/config.json"), F_OK), 0);
    }
    close(writer);
}
END_TEST

START_TEST(test_a_link_to_a_place_is_followed)
{
    mt_weights *weights;
    const char *places[] = {"there", "empty"};
    ck_assert_int_eq(mkdir(in_folder("empty"), 0777), 0);
    for (int i = 0; i < 2; i++) {
        (void)remove(in_folder("new"));
        ck_assert_int_eq(symlink(places[i], in_folder("new")), 0);
        ASSERT_OK(save_folder(i == 0 ? "new" : "new//", MT_STORED_AS_IS));
        ASSERT_OK(mt_weights_open(in_folder(places[i]), &weights));
        check_bits(weights);
        mt_weights_close(weights);
        ASSERT_FAILS(save_folder("new", MT_STORED_AS_IS), MT_ERROR_IO, places[i], "not empty");
    }
    ck_assert_int_eq(files_in_folder(), 3);
    ck_assert_int_eq(symlink("loop", in_folder("loop")), 0);
    ASSERT_FAILS(save_folder("loop", MT_STORED_AS_IS), MT_ERROR_IO, "loop", "Too many levels");
}
END_TEST

START_TEST(test_the_folder_that_is_worked_in_stays)
{
    ck_assert_int_eq(mkdir(in_folder("here"), 0777), 0);
    ck_assert_int_eq(chdir(in_folder("here")), 0);
    ASSERT_FAILS(save_folder("here", MT_STORED_AS_IS), MT_ERROR_IO, "here", "worked in");
    ASSERT_FAILS(save_folder("here/.", MT_STORED_AS_IS), MT_ERROR_IO, "here/.", "worked in");
    ASSERT_FAILS(save_folder("here/..", MT_STORED_AS_IS), MT_ERROR_IO, "here/..", "not empty");
    ck_assert_int_eq(files_in_folder(), 1);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(test_a_value_beyond_a_type_is_told_and_nothing_written)
{
    const mt_layout *layout;
    mt_weights_file file;
    mt_weights weights;
    mt_model *model = make_hf();
    float *embedding = mt_parameters_find(model->parameters, "embed.weight")->tensor.data;
    float large = 65520.0f; /* the least that rounds to 2^16 */
    ASSERT_OK(test_device->write(test_device, embedding + 3, &large, sizeof large));
    ASSERT_OK(mt_layout_parse("hf", &layout));
    ASSERT_OK(mt_weights_of(model->parameters, &model->config, NULL, &file, &weights));
    ASSERT_FAILS(mt_weights_export(&weights, in_folder("new"), layout, MT_STORED_F16),
                 MT_ERROR_NUMERIC, "new", "embeddings.weight: element 3 is 65520", "float16");
    ASSERT_OK(mt_weights_export(&weights, in_folder("new"), layout, MT_STORED_BF16));
    ASSERT_FAILS(mt_weights_export(&weights, in_folder("a.h5"), layout, MT_STORED_F16),
                 MT_ERROR_INVALID, "a.h5", "HDF5", ".safetensors");
    ck_assert_int_eq(files_in_folder(), 1);
    mt_weights_file_close(&file);
    mt_model_destroy(model);
}
END_TEST

static const struct {
    const char *name;
    double rounded[4]; /* of the numbers below */
} narrowed[] = {{"F16", {1.0, 1.001953125, -0x1p-24, 65504.0}},
                {"BF16", {1.0, 1.0, -0x1.82p-25, 65536.0}}};

START_TEST(test_numbers_are_rounded_to_the_nearest_and_halves_to_even)
{
    /* 1 + 2^-11 and 1 + 3 * 2^-11 lie half-way in binary16. */
    const double numbers[] = {1.00048828125, 1.00146484375, -4.5e-8, 65519.0};
    const mt_number_type *type = mt_number_type_named(narrowed[_i].name);
    char halves[2 * 4];
    float back[4];
    ck_assert_int_eq(type->narrow(MT_F64, numbers, 4, halves), -1);
    type->widen(halves, 4, back);
    for (int i = 0; i < 4; i++) {
        ck_assert_double_eq(back[i], narrowed[_i].rounded[i]);
    }
}
END_TEST

/* Of every exponent and upper fraction, what lies about a border between two halves. */
START_TEST(test_float32_is_rounded_as_the_same_float64)
{
    static const uint32_t lower[] = {0,      1,      0xFFF,  0x1000, 0x1001, 0x1FFF, 0x2FFF, 0x3000,
                                     0x3001, 0x7FFF, 0x8000, 0x8001, 0xB000, 0xF000, 0xFFFF};
    enum { LOWER = sizeof lower / sizeof *lower };
    const mt_number_type *type = mt_number_type_named(narrowed[_i].name);
    for (uint32_t upper = 0; upper < 1u << 16; upper++) {
        float single[LOWER];
        double wide[LOWER];
        char of_single[2 * LOWER], of_wide[2 * LOWER];
        for (int i = 0; i < LOWER; i++) {
            uint32_t bits = upper << 16 | lower[i];
            memcpy(single + i, &bits, sizeof bits);
            wide[i] = single[i];
        }
        if (isfinite(single[0])) {
            int64_t place = type->narrow(MT_F64, wide, LOWER, of_wide);
            ck_assert_int_eq(type->narrow(MT_F32, single, LOWER, of_single), place);
            int64_t whole = place < 0 ? LOWER : place;
            ck_assert_mem_eq(of_single, of_wide, 2 * (size_t)whole);
        }
    }
}
END_TEST

START_TEST(test_every_half_that_is_finite_comes_back_as_it_was)
{
    const mt_number_type *type = mt_number_type_named(narrowed[_i].name);
    for (unsigned bits = 0; bits < 1u << 16; bits++) {
        uint16_t half = (uint16_t)bits, again = 0;
        float value;
        type->widen((const char *)&half, 1, &value);
        if (isfinite(value)) {
            ck_assert_int_eq(type->narrow(MT_F32, &value, 1, (char *)&again), -1);
            ck_assert_uint_eq(again, half);
        }
    }
}
END_TEST

static Suite *hf_folder_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/hf_folder", io_setup, io_teardown, &tcase);
    tcase_add_loop_test(tcase, test_one_file_and_shards_are_the_same_model, 0, 2);
    tcase_add_test(tcase, test_a_configuration_that_cannot_be_written_is_told);
    tcase_add_test(tcase, test_a_folder_without_a_configuration_says_what_it_assumes);
    tcase_add_test(tcase, test_the_configuration_is_taken);
    tcase_add_loop_test(tcase, test_a_configuration_of_another_model_is_refused, 0,
                        BAD_CONFIGURATIONS);
    tcase_add_test(tcase, test_a_configuration_that_cannot_be_looked_at_is_not_taken_for_none);
    tcase_add_loop_test(tcase, test_a_link_that_leads_nowhere_is_not_taken_for_nothing, 0, LINKED);
    tcase_add_test(tcase, test_a_cache_of_links_is_a_folder_as_others_are);
    tcase_add_loop_test(tcase, test_a_tokenizer_is_checked_when_it_is_taken, 0, TOKENIZERS);
    tcase_add_test(tcase, test_what_is_null_is_not_told);
    tcase_add_loop_test(tcase, test_an_index_that_lies_is_refused, 0, LIES);
    tcase_add_test(tcase, test_a_name_in_two_shards_is_refused);
    tcase_add_loop_test(tcase, test_what_is_no_index_is_refused, 0, NO_INDICES);
    tcase_add_test(tcase, test_deep_json_is_refused);
    tcase_add_loop_test(tcase, test_weights_in_another_form_are_named, 0, OTHERS);
    tcase_add_test(tcase, test_a_folder_without_a_model_says_what_would_be_there);
    tcase_add_loop_test(tcase, test_a_folder_says_what_in_it_may_be_meant, 0, 4);
    tcase_add_test(tcase, test_a_pointer_in_place_of_a_shard_is_told);
    tcase_add_test(tcase, test_a_shard_alone_points_to_its_folder);
    tcase_add_loop_test(tcase, test_a_folder_that_is_written_is_the_same_model, 0, 2);
    tcase_add_loop_test(tcase, test_an_eps_is_written_in_its_shortest_form_and_comes_back, 0, 3);
    tcase_add_loop_test(tcase, test_only_float16_is_rescaled, 0, 3);
    tcase_add_test(tcase, test_what_is_there_is_not_destroyed);
    tcase_add_loop_test(tcase, test_what_is_interrupted_leaves_nothing, 0, 3);
    tcase_add_test(tcase, test_a_folder_that_a_killed_writer_left_is_removed);
    tcase_add_loop_test(tcase, test_what_is_no_killed_writers_folder_stays, 0, 3);
    tcase_add_test(tcase, test_a_link_to_a_place_is_followed);
    tcase_add_test(tcase, test_the_folder_that_is_worked_in_stays);
    tcase_add_test(tcase, test_a_value_beyond_a_type_is_told_and_nothing_written);
    tcase_add_loop_test(tcase, test_numbers_are_rounded_to_the_nearest_and_halves_to_even, 0, 2);
    tcase_add_loop_test(tcase, test_float32_is_rounded_as_the_same_float64, 0, 2);
    tcase_add_loop_test(tcase, test_every_half_that_is_finite_comes_back_as_it_was, 0, 2);
    return suite;
}

MT_TEST_MAIN(hf_folder_suite)
