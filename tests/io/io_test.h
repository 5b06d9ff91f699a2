/* The suites of io/ share a folder that goes away with the test, small files, a small model, and
 * claims about errors. */
#ifndef MT_TESTS_IO_TEST_H
#define MT_TESTS_IO_TEST_H

#include <mixtape/checkpoint.h>
#include <mixtape/model_fields.h>
#include <mixtape/weights.h>

#include "io/file.h"
#include "kernels/device.h"
#include "tests/check_main.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASSERT_OK(call) ck_assert_msg((call) == MT_OK, "%s: %s", #call, mt_error_message())

/* The call fails in this way, and its message is one line that holds each of the texts. */
#define ASSERT_FAILS(call, status, ...)                                                            \
    do {                                                                                           \
        ck_assert_msg((call) == (status), "%s: not %s: %s", #call, #status, mt_error_message());   \
        const char *const says_[] = {__VA_ARGS__};                                                 \
        for (size_t i_ = 0; i_ < sizeof says_ / sizeof *says_; i_++) {                             \
            ck_assert_msg(strstr(mt_error_message(), says_[i_]) != NULL, "\"%s\" is not in: %s",   \
                          says_[i_], mt_error_message());                                          \
        }                                                                                          \
        ck_assert_msg(strchr(mt_error_message(), '\n') == NULL, "%s", mt_error_message());         \
    } while (0)

static char test_folder[64];
static mt_device *test_device;

static inline void io_setup(void)
{
    strcpy(test_folder, "/tmp/mixtape-io-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(test_folder));
    const char *name = getenv("MIXTAPE_TEST_DEVICE");
    ASSERT_OK(mt_device_open(name != NULL ? name : "cpu", &test_device));
}

static inline int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void io_teardown(void)
{
    mt_device_close(test_device);
    nftw(test_folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* A path in the test's folder; the last eight stay valid. */
static inline const char *in_folder(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
    return path;
}

static inline const char *write_bytes(const char *name, const void *bytes, size_t size)
{
    const char *path = in_folder(name);
    (void)remove(path); /* a file that is cut to nothing would be flushed */
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

/* Puts other bytes in the place of those that a file has once. */
static inline void replace_bytes(const char *path, const void *from, const void *to, size_t size)
{
    char *bytes;
    size_t length;
    ASSERT_OK(mt_file_read(path, &bytes, &length));
    char *at = memmem(bytes, length, from, size);
    ck_assert_ptr_nonnull(at);
    memcpy(at, to, size);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
    free(bytes);
}

static inline const char *write_text(const char *name, const char *text)
{
    return write_bytes(name, text, strlen(text));
}

static inline int files_in_folder(void)
{
    DIR *folder = opendir(test_folder);
    ck_assert_ptr_nonnull(folder);
    int count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(folder);
    return count;
}

static inline mt_token_list *make_tokens(int32_t count, const char *const *tokens)
{
    mt_token_list *list;
    ASSERT_OK(mt_token_list_create(count, tokens, &list));
    return list;
}

enum { VOCABULARY = 5 };
static const char *const test_tokens[VOCABULARY] = {"<blank>", "<unk>", "ä", "b", "<sos/eos>"};

static inline mt_model_config small_config(void)
{
    mt_model_config config = mt_model_config_default(VOCABULARY, 4);
    config.num_blocks = 2;
    config.context_size = 16;
    return config;
}

static inline bool same_config(const mt_model_config *a, const mt_model_config *b)
{
    bool same = true;
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL && same; field++) {
        same = field->type == MT_MODEL_REAL
                   ? mt_model_field_real(field, a) == mt_model_field_real(field, b)
                   : mt_model_field_whole(field, a) == mt_model_field_whole(field, b);
    }
    return same;
}

static inline mt_model *make_model(const mt_model_config *config, mt_dtype dtype, uint64_t seed)
{
    mt_model *model;
    ASSERT_OK(mt_model_create(test_device, dtype, config, seed, &model));
    return model;
}

/* A model and an optimiser that has made some updates. */
typedef struct trained {
    mt_model *model;
    mt_adam *adam;
} trained;

/* An update by any gradient: the values themselves. */
static inline void update(trained *t, double lr)
{
    mt_parameters *parameters = t->model->parameters;
    ASSERT_OK(mt_parameters_settle_grad(parameters));
    for (int i = 0; i < parameters->count; i++) {
        mt_tensor *tensor = &parameters->items[i]->tensor;
        ASSERT_OK(
            test_device->copy(test_device, tensor->grad, tensor->data, mt_tensor_bytes(tensor)));
    }
    ASSERT_OK(mt_adam_step(t->adam, lr, 1.0, NULL));
}

static inline trained make_trained(const mt_model_config *config, mt_dtype dtype, uint64_t seed)
{
    trained t = {.model = make_model(config, dtype, seed)};
    mt_adam_config adam = mt_adam_config_default();
    adam.weight_decay = 0.01;
    adam.clip = 1.0;
    ASSERT_OK(mt_adam_create(t.model->parameters, adam, &t.adam));
    for (int step = 0; step < 3; step++) {
        update(&t, 0.01);
    }
    return t;
}

static inline void destroy_trained(trained *t)
{
    mt_adam_destroy(t->adam);
    mt_model_destroy(t->model);
}

static inline size_t block_bytes(const mt_model *model)
{
    return (size_t)model->parameters->total * mt_dtype_size(model->parameters->dtype);
}

/* Tells if two arrays on the test's device have the same content. */
static inline bool same_content(const void *a, const void *b, size_t bytes)
{
    void *of_a = malloc(bytes), *of_b = malloc(bytes);
    ck_assert(of_a != NULL && of_b != NULL);
    ASSERT_OK(test_device->read_back(test_device, of_a, a, bytes));
    ASSERT_OK(test_device->read_back(test_device, of_b, b, bytes));
    bool same = memcmp(of_a, of_b, bytes) == 0;
    free(of_a);
    free(of_b);
    return same;
}

static inline bool same_model(const mt_model *a, const mt_model *b)
{
    return block_bytes(a) == block_bytes(b) &&
           same_content(a->parameters->data, b->parameters->data, block_bytes(a));
}

/* The values of weights, parameter by parameter, in memory that the caller frees. */
static inline char *values_of(const mt_weights *weights, size_t *bytes)
{
    size_t size = mt_dtype_size(weights->dtype), at = 0;
    *bytes = (size_t)mt_parameters_size(weights->parameters) * size;
    char *values = malloc(*bytes);
    ck_assert_ptr_nonnull(values);
    for (int i = 0; i < weights->parameters->count; i++) {
        const mt_parameter *parameter = weights->parameters->items[i];
        const mt_tensor *tensor = &parameter->tensor;
        int64_t rows = tensor->rank > 0 ? tensor->shape[0] : 1;
        ASSERT_OK(mt_weights_read(weights, parameter, 0, rows, values + at));
        at += (size_t)mt_tensor_count(tensor) * size;
    }
    return values;
}

/* Loads a file of weights, and reads all of its values; on failure *read is NULL. */
static inline mt_status load_checked(const char *path, mt_checkpoint **read)
{
    mt_status status = mt_checkpoint_load(path, read);
    if (status == MT_OK) {
        status = mt_checkpoint_check(*read);
    }
    if (status != MT_OK) {
        mt_checkpoint_destroy(*read);
        *read = NULL;
    }
    return status;
}

static const mt_train_state test_state = {.step = 1234567890123,
                                          .best_step = 1200,
                                          .bad_evals = 3,
                                          .symbols = 98765432109876,
                                          .skipped = 4,
                                          .spikes = 5,
                                          .loss_average = 0.2,
                                          .best_loss = 0.1,
                                          .seconds = 12.345678901234567};

#endif
