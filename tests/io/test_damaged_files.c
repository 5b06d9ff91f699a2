/* Files that were cut, damaged, interrupted, or never were what they are taken for. */
#include <mixtape/part.h>
#include <mixtape/random.h>

#include "io/archive.h"
#include "io/checkpoint_file.h"
#include "io/weights_file.h"
#include "tests/io/io_test.h"
#include "train/command/labels.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static trained subject;

static void setup(void)
{
    io_setup();
    mt_model_config config = small_config();
    config.norm.kind = MT_SCALE_NORM; /* whose parameters are scalars */
    subject = make_trained(&config, MT_F64, 1);
}

static void teardown(void)
{
    destroy_trained(&subject);
    io_teardown();
}

static mt_status save(const char *path)
{
    return mt_checkpoint_save(path, subject.model, subject.adam, &test_state, "task: copy\n", NULL);
}

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
        mt_checkpoint *read;
        ASSERT_OK(load_checked(path, &read));
        mt_checkpoint_destroy(read);
    }
    ASSERT_OK(save(path));
    ck_assert_int_eq(files_in_folder(), 1); /* what the killed ones left is gone */
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
        limit.rlim_cur = bytes; /* for Check's own file too: nothing is asserted meanwhile */
        int limited = setrlimit(RLIMIT_FSIZE, &limit);
        mt_status status = save(path);
        int restored = setrlimit(RLIMIT_FSIZE, &none);
        ck_assert(limited == 0 && restored == 0);
        ck_assert_int_eq(status, MT_ERROR_IO);
        ck_assert_msg(strstr(mt_error_message(), "File too large") != NULL, "%s",
                      mt_error_message());
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

START_TEST(test_cut_files_are_refused)
{
    const char *path = in_folder("a.h5");
    ck_assert_int_eq(save(path), MT_OK);
    char *bytes;
    size_t size;
    ck_assert_int_eq(mt_file_read(path, &bytes, &size), MT_OK);
    for (size_t length = 0; length < size; length += 512) {
        mt_checkpoint *read;
        mt_status status = mt_checkpoint_load(write_bytes("cut.h5", bytes, length), &read);
        ck_assert_int_ne(status, MT_OK);
        ck_assert_ptr_null(read);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), "cut.h5"));
    }
    free(bytes);
}
END_TEST

enum { LONG = 5000 }; /* bytes: what HDF5 keeps outside of its heaps */
static char long_text[LONG + 1];

static mt_token_list *some_tokens(bool some_long)
{
    const char *tokens[VOCABULARY];
    memcpy(tokens, test_tokens, sizeof tokens);
    memset(long_text, 'y', LONG);
    tokens[3] = some_long ? long_text : tokens[3];
    return make_tokens(VOCABULARY, tokens);
}

enum { CARRIED_ROWS = 3, CARRIED_WIDTH = 7 };

static mt_status save_checkpoint(const char *path)
{
    static const double carried[CARRIED_ROWS * CARRIED_WIDTH] = {1.0, -1e38, 0.25};
    mt_token_list *tokens = some_tokens(false);
    const mt_checkpoint_parts parts = {.parameters = subject.model->parameters,
                                       .config = &subject.model->config,
                                       .adam = subject.adam,
                                       .state = &test_state,
                                       .run_config = "task: copy\n",
                                       .tokens = tokens,
                                       .carried = {MT_F64, CARRIED_ROWS, CARRIED_WIDTH, carried}};
    mt_status status = mt_checkpoint_write(path, &parts, NULL);
    mt_token_list_destroy(tokens);
    return status;
}

static mt_status save_long_texts(const char *path)
{
    mt_token_list *tokens = some_tokens(true);
    mt_status status =
        mt_checkpoint_save(path, subject.model, NULL, &test_state, long_text, tokens);
    mt_token_list_destroy(tokens);
    return status;
}

static mt_status save_exchange(const char *path)
{
    mt_token_list *tokens = some_tokens(false);
    mt_status status = mt_weights_save(path, subject.model, &mt_layouts[0], tokens);
    mt_token_list_destroy(tokens);
    return status;
}

/* As other programs do: arrays, and nothing that says whose. */
static mt_status save_foreign(const char *path)
{
    const char *whole = in_folder("whole.safetensors");
    mt_arrays arrays;
    mt_status status = mt_weights_save(whole, subject.model, &mt_layouts[0], NULL);
    if (status == MT_OK) {
        status = mt_arrays_read(whole, NULL, NULL, &arrays);
    }
    if (status == MT_OK) {
        status = mt_arrays_write(path, &arrays);
        mt_arrays_free(&arrays);
    }
    return status;
}

static mt_status (*const savers[])(const char *path) = {save_checkpoint, save_long_texts,
                                                        save_exchange, save_foreign};
enum { SAVERS = sizeof savers / sizeof *savers };

static bool same_bytes(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_tokens(const mt_token_list *a, const mt_token_list *b)
{
    bool same = (a == NULL) == (b == NULL) && (a == NULL || a->count == b->count);
    for (int32_t i = 0; same && a != NULL && i < a->count; i++) {
        same = strcmp(a->tokens[i], b->tokens[i]) == 0;
    }
    return same;
}

static bool same_values(const mt_weights *a, const mt_weights *b)
{
    size_t bytes_of_a, bytes_of_b;
    char *of_a = values_of(a, &bytes_of_a), *of_b = values_of(b, &bytes_of_b);
    bool same = bytes_of_a == bytes_of_b && memcmp(of_a, of_b, bytes_of_a) == 0;
    free(of_a);
    free(of_b);
    return same;
}

static bool same_moments(const mt_checkpoint *a, const mt_checkpoint *b)
{
    if (!a->has_optimizer || !b->has_optimizer) {
        return a->has_optimizer == b->has_optimizer;
    }
    trained of_a = make_trained(&a->weights->config, a->weights->dtype, 2);
    trained of_b = make_trained(&b->weights->config, b->weights->dtype, 3);
    ASSERT_OK(mt_checkpoint_restore(a, of_a.model, of_a.adam));
    ASSERT_OK(mt_checkpoint_restore(b, of_b.model, of_b.adam));
    size_t bytes = block_bytes(of_a.model);
    bool same = of_a.adam->step == of_b.adam->step &&
                same_content(of_a.adam->m, of_b.adam->m, bytes) &&
                same_content(of_a.adam->v, of_b.adam->v, bytes);
    destroy_trained(&of_a);
    destroy_trained(&of_b);
    return same;
}

static bool same_carried(const mt_checkpoint *a, const mt_checkpoint *b)
{
    double of_a[CARRIED_ROWS * CARRIED_WIDTH], of_b[CARRIED_ROWS * CARRIED_WIDTH];
    if (a->carried_rows == 0 || b->carried_rows == 0) {
        return a->carried_rows == b->carried_rows;
    }
    ASSERT_OK(mt_checkpoint_read_carried(a, MT_F64, CARRIED_ROWS, CARRIED_WIDTH, of_a));
    ASSERT_OK(mt_checkpoint_read_carried(b, MT_F64, CARRIED_ROWS, CARRIED_WIDTH, of_b));
    return same_bytes(of_a, of_b, sizeof of_a);
}

static bool same_checkpoint(const mt_checkpoint *a, const mt_checkpoint *b)
{
    const mt_weights *x = a->weights, *y = b->weights;
    return same_config(&x->config, &y->config) && x->dtype == y->dtype && same_values(x, y) &&
           same_moments(a, b) && same_carried(a, b) &&
           same_bytes(&a->adam, &b->adam, sizeof a->adam) && a->adam_step == b->adam_step &&
           a->has_state == b->has_state && same_bytes(&a->state, &b->state, sizeof a->state) &&
           x->layout == y->layout && same_text(a->run_config, b->run_config) &&
           same_tokens(x->tokens, y->tokens);
}

enum { ROUNDS = 1000 };

static size_t wrong_byte; /* its place */

/* Any wrong byte in any place: reading fails, with a message that names the file, or it gives what
 * was saved. `reads` tells if it read, and looks at what. */
static void spoil_bytes(const char *path, bool (*reads)(const char *path, const void *whole),
                        const void *whole)
{
    char *bytes;
    size_t size;
    int refused = 0;
    ASSERT_OK(mt_file_read(path, &bytes, &size));
    mt_random random = mt_random_make(1, 0);
    for (int round = 0; round < ROUNDS; round++) {
        wrong_byte = (size_t)mt_random_below(&random, size);
        char kept = bytes[wrong_byte];
        bytes[wrong_byte] = (char)((uint64_t)kept ^ (1 + mt_random_below(&random, 255)));
        if (!reads(write_bytes("flip.h5", bytes, size), whole)) {
            ck_assert_ptr_nonnull(strstr(mt_error_message(), "flip.h5"));
            refused++;
        }
        bytes[wrong_byte] = kept;
    }
    ck_assert_int_ge(refused, ROUNDS / 3); /* most of a file is not spare room */
    free(bytes);
}

static bool reads_checkpoint(const char *path, const void *whole)
{
    mt_checkpoint *read;
    bool done = load_checked(path, &read) == MT_OK;
    if (done) {
        ck_assert_msg(same_checkpoint(whole, read), "byte %zu", wrong_byte);
        mt_checkpoint_destroy(read);
    }
    return done;
}

START_TEST(test_a_wrong_byte_is_noticed_or_harmless)
{
    const char *path = in_folder("a.h5");
    mt_checkpoint *whole;
    ASSERT_OK(savers[_i](path));
    ASSERT_OK(mt_checkpoint_load(path, &whole));
    spoil_bytes(path, reads_checkpoint, whole);
    mt_checkpoint_destroy(whole);
}
END_TEST

static const char part[] = "rwkv_blocks.0.att";

static bool reads_part(const char *path, const void *whole)
{
    trained read = make_trained(&subject.model->config, MT_F64, 2);
    bool done = mt_part_load(path, part, read.model) == MT_OK;
    if (done) {
        ck_assert_msg(same_model(whole, read.model), "byte %zu", wrong_byte);
    }
    destroy_trained(&read);
    return done;
}

START_TEST(test_a_wrong_byte_of_a_part_is_noticed_or_harmless)
{
    const char *path = in_folder("part.h5");
    trained whole = make_trained(&subject.model->config, MT_F64, 2);
    ASSERT_OK(mt_part_save(path, subject.model, part));
    ASSERT_OK(mt_part_load(path, part, whole.model));
    spoil_bytes(path, reads_part, whole.model);
    destroy_trained(&whole);
}
END_TEST

static const int64_t labels_shape[] = {3, 40};
static int32_t labels_saved[3 * 40];

static bool reads_labels(const char *path, const void *whole)
{
    int64_t shape[MT_MAX_RANK];
    int32_t *read;
    bool done = labels_read(path, shape, &read) == MT_OK;
    if (done) {
        ck_assert_msg(same_bytes(shape, labels_shape, sizeof labels_shape) &&
                          same_bytes(read, whole, sizeof labels_saved),
                      "byte %zu", wrong_byte);
    }
    free(read);
    return done;
}

/* Those that `forward` reads. */
START_TEST(test_a_wrong_byte_of_labels_is_noticed_or_harmless)
{
    const char *path = in_folder("labels.h5");
    mt_archive *archive;
    for (int i = 0; i < (int)(sizeof labels_saved / sizeof *labels_saved); i++) {
        labels_saved[i] = i;
    }
    ASSERT_OK(mt_archive_create(path, &archive));
    mt_archive_write_array(archive, "/", "labels", MT_I32, 2, labels_shape, labels_saved);
    ASSERT_OK(mt_archive_close(archive));
    spoil_bytes(path, reads_labels, labels_saved);
}
END_TEST

static bool same_tensor(const mt_tensor *a, const mt_tensor *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return a->dtype == b->dtype && a->rank == b->rank &&
           same_bytes(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) &&
           same_bytes(a->data, b->data, mt_tensor_bytes(a));
}

static bool same_batch(const mt_kept_batch *a, const mt_kept_batch *b)
{
    bool same = a->index == b->index && a->seed == b->seed && a->count == b->count &&
                same_tensor(a->carried, b->carried);
    for (int64_t k = 0; k < a->count && same; k++) {
        for (int i = 0; i < MT_KEPT_TENSORS; i++) {
            same = same && same_tensor(a->windows[k].tensors[i], b->windows[k].tensors[i]);
        }
    }
    return same;
}

static bool reads_batch(const char *path, const void *whole)
{
    mt_kept_batch read = {.windows = NULL};
    mt_checkpoint *checkpoint;
    mt_tape *tape;
    ASSERT_OK(mt_tape_create(subject.model->parameters->device, &tape));
    bool done = mt_checkpoint_load(path, &checkpoint) == MT_OK;
    if (done) {
        done = mt_checkpoint_read_batch(checkpoint, tape, &read) == MT_OK;
        mt_checkpoint_destroy(checkpoint);
    }
    if (done) {
        ck_assert_msg(same_batch(whole, &read), "byte %zu", wrong_byte);
    }
    free(read.windows);
    mt_tape_destroy(tape);
    return done;
}

START_TEST(test_a_wrong_byte_of_a_kept_batch_is_noticed_or_harmless)
{
    static const int32_t labels[30] = {0, 1, 2, 1, 0};
    static const double reals[] = {1.0, NAN, -INFINITY};
    const char *path = in_folder("bad_step.h5");
    mt_tape *tape;
    ASSERT_OK(mt_tape_create(subject.model->parameters->device, &tape));
    mt_kept_window windows[2] = {{{NULL}}};
    mt_kept_batch batch = {.index = 7, .seed = UINT64_MAX - 1, .count = 2, .windows = windows};
    windows[0].tensors[0] = mt_tape_labels(tape, 3, 10, labels);
    windows[0].tensors[1] = mt_tape_rows(tape, MT_F64, 3, 1, reals);
    windows[1].tensors[0] = mt_tape_labels(tape, 10, 3, labels);
    windows[1].tensors[MT_KEPT_TENSORS - 1] = mt_tape_labels(tape, 3, 1, labels);
    batch.carried = mt_tape_rows(tape, MT_F64, 1, 3, reals);
    const mt_checkpoint_parts parts = {.parameters = subject.model->parameters,
                                       .config = &subject.model->config,
                                       .state = &test_state,
                                       .batch = &batch};
    ASSERT_OK(mt_checkpoint_write(path, &parts, NULL));
    ck_assert(reads_batch(path, &batch));
    spoil_bytes(path, reads_batch, &batch);
    mt_tape_destroy(tape);
}
END_TEST

static bool holds(const char *bytes, size_t size, const void *wanted, size_t length, size_t *at)
{
    const char *found = memmem(bytes, size, wanted, length);
    *at = found != NULL ? (size_t)(found - bytes) : 0;
    return found != NULL;
}

/* In files of HDF5 before 1.10 a B-tree without a checksum says where a dataset's chunks are: of a
 * byte that is wrong there nothing is noticed, and other values are read. */
START_TEST(test_no_index_is_without_a_checksum)
{
    const char *const paths[] = {in_folder("checkpoint.h5"), in_folder("weights.h5")};
    ASSERT_OK(save(paths[0]));
    ASSERT_OK(mt_weights_save(paths[1], subject.model, &mt_layouts[0], NULL));
    for (int i = 0; i < 2; i++) {
        char *bytes;
        size_t size, at;
        ASSERT_OK(mt_file_read(paths[i], &bytes, &size));
        ck_assert(holds(bytes, size, "OHDR", 4, &at)); /* signatures are found */
        ck_assert(!holds(bytes, size, "TREE", 4, &at));
        free(bytes);
    }
}
END_TEST

START_TEST(test_damaged_scalars_are_noticed)
{
    const char *path = in_folder("a.h5");
    const mt_parameter *scale = mt_parameters_find(subject.model->parameters, "final_norm.scale");
    char *bytes;
    size_t size, at;
    ASSERT_OK(save(path));
    ASSERT_OK(mt_file_read(path, &bytes, &size));
    ck_assert(holds(bytes, size, scale->tensor.data, sizeof(double), &at));
    for (size_t i = at; i < at + sizeof(double); i++) {
        mt_checkpoint *read;
        bytes[i] ^= 1;
        ASSERT_FAILS(mt_checkpoint_load(write_bytes("flip.h5", bytes, size), &read),
                     MT_ERROR_FORMAT, "flip.h5");
        bytes[i] ^= 1;
    }
    free(bytes);
}
END_TEST

/* HDF5 gives them no checksum. */
START_TEST(test_damaged_long_texts_are_noticed)
{
    const char *path = in_folder("a.h5");
    char *bytes;
    size_t size, at, first;
    mt_checkpoint *read;
    ASSERT_OK(save_long_texts(path));
    ASSERT_OK(mt_file_read(path, &bytes, &size));
    ck_assert(holds(bytes, size, long_text, LONG, &first));
    ck_assert(holds(bytes + first + LONG, size - first - LONG, long_text, LONG, &at));
    at += first + LONG;
    for (int i = 0; i < 2; i++) {
        size_t wrong = (i == 0 ? first : at) + 1234;
        bytes[wrong] ^= 1;
        ASSERT_FAILS(mt_checkpoint_load(write_bytes("flip.h5", bytes, size), &read),
                     MT_ERROR_FORMAT, "flip.h5", "is damaged: its CRC-32 is");
        bytes[wrong] ^= 1;
    }
    free(bytes);
}
END_TEST

START_TEST(test_files_of_another_kind_are_refused)
{
    mt_checkpoint *read;
    ck_assert_int_eq(mt_checkpoint_load(in_folder("none.h5"), &read), MT_ERROR_IO);
    ck_assert_int_eq(mt_checkpoint_load(test_folder, &read), MT_ERROR_IO);
    ck_assert_int_eq(mt_checkpoint_load(write_text("text.h5", "no HDF5 at all"), &read),
                     MT_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "not an HDF5 file"));
}
END_TEST

static Suite *damaged_files_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("io/damaged_files", setup, teardown, &tcase);
    tcase_add_test(tcase, test_killed_while_saving_leaves_a_whole_file);
    tcase_add_test(tcase, test_a_failed_write_leaves_the_old_file_and_nothing_else);
    tcase_add_test(tcase, test_cut_files_are_refused);
    tcase_add_loop_test(tcase, test_a_wrong_byte_is_noticed_or_harmless, 0, SAVERS);
    tcase_add_test(tcase, test_a_wrong_byte_of_a_part_is_noticed_or_harmless);
    tcase_add_test(tcase, test_a_wrong_byte_of_labels_is_noticed_or_harmless);
    tcase_add_test(tcase, test_a_wrong_byte_of_a_kept_batch_is_noticed_or_harmless);
    tcase_add_test(tcase, test_no_index_is_without_a_checksum);
    tcase_add_test(tcase, test_damaged_scalars_are_noticed);
    tcase_add_test(tcase, test_damaged_long_texts_are_noticed);
    tcase_add_test(tcase, test_files_of_another_kind_are_refused);
    return suite;
}

MT_TEST_MAIN(damaged_files_suite)
