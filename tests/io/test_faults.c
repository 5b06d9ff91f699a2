/* Every allocation and every write made to fail once: an error, no leak, and the old file in place.
 * The calls of the library's objects are wrapped by the linker (see tests/CMakeLists.txt). */
#include "tests/io/io_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

/* The error of each system call that fails: one of its own, a certain one, or none at all, but half
 * of the bytes are read or written. */
enum { ITS_OWN = 0, HALF = -1 };
static const int errors[] = {ITS_OWN, ENOSPC, EDQUOT, EIO, EINTR, HALF};
enum { ERRORS = sizeof errors / sizeof *errors };

/* Counts down over the wrapped calls; the one that finds 1 fails. Check's own calls are wrapped
 * too, so nothing is asserted while it runs. */
static int countdown, chosen_error, failed_with;

/* Tells if the call fails, or `takes_half`, as no other does. */
static bool is_its_turn(int own_error, bool takes_half)
{
    bool counts = chosen_error == ITS_OWN || (own_error != ENOMEM && chosen_error != HALF) ||
                  (takes_half && chosen_error == HALF);
    if (!counts || countdown == 0 || --countdown > 0) {
        return false;
    }
    failed_with = errno = chosen_error == ITS_OWN ? own_error : chosen_error;
    return true;
}

static bool fails(int own_error)
{
    return is_its_turn(own_error, false);
}

/* Declares and defines __wrap_NAME, which fails with VALUE and ERROR, else calls the real one. */
#define WRAP(type, name, failure, error, parameters, arguments)                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails(error) ? (failure) : __real_##name arguments;                                 \
    }

/* The same, of `size` bytes, which may be read or written in part. */
#define WRAP_BYTES(name, error, parameters, arguments)                                             \
    ssize_t __real_##name parameters;                                                              \
    ssize_t __wrap_##name parameters;                                                              \
    ssize_t __wrap_##name parameters                                                               \
    {                                                                                              \
        if (is_its_turn(error, true)) {                                                            \
            if (chosen_error != HALF) {                                                            \
                return -1;                                                                         \
            }                                                                                      \
            size = (size + 1) / 2;                                                                 \
        }                                                                                          \
        return __real_##name arguments;                                                            \
    }

WRAP(void *, malloc, NULL, ENOMEM, (size_t size), (size))
WRAP(void *, calloc, NULL, ENOMEM, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, NULL, ENOMEM, (void *memory, size_t size), (memory, size))
WRAP(void *, aligned_alloc, NULL, ENOMEM, (size_t alignment, size_t size), (alignment, size))
WRAP(char *, strdup, NULL, ENOMEM, (const char *text), (text))
WRAP(char *, strndup, NULL, ENOMEM, (const char *text, size_t size), (text, size))
WRAP_BYTES(read, EIO, (int file, void *bytes, size_t size), (file, bytes, size))
WRAP_BYTES(pread, EIO, (int file, void *bytes, size_t size, off_t at), (file, bytes, size, at))
WRAP_BYTES(write, ENOSPC, (int file, const void *bytes, size_t size), (file, bytes, size))
WRAP(int, fsync, -1, EIO, (int file), (file))
WRAP(int, fchmod, -1, EPERM, (int file, mode_t mode), (file, mode))
WRAP(int, rename, -1, EACCES, (const char *from, const char *to), (from, to))

int __real_close(int file);
int __wrap_close(int file);
int __wrap_close(int file) /* closes in any case */
{
    int closed = __real_close(file);
    return fails(EIO) ? -1 : closed;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails(EACCES) ? -1 : __real_open(path, flags, mode);
}

int __real_fcntl(int file, int command, ...);
int __wrap_fcntl(int file, int command, ...);
int __wrap_fcntl(int file, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *); /* any: a number is passed alike */
    va_end(arguments);
    return fails(ENOLCK) ? -1 : __real_fcntl(file, command, argument);
}

static trained subject;
static mt_token_list *tokens;

static void setup(void)
{
    io_setup();
    mt_model_config config = small_config();
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
    mt_status status = mt_checkpoint_load(path, &read);
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

static const char *reason_of(int error)
{
    return error == ENOMEM ? "memory" : strerror(error);
}

START_TEST(test_each_call_that_fails_is_told_and_nothing_is_lost)
{
    const char *path = in_folder("checkpoint.h5");
    ASSERT_OK(save_checkpoint(path));
    int failures = 0;
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
        ASSERT_OK(load_checkpoint(path));
    }
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
