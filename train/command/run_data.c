#include "train/command/run_data.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* FNV-1a (Fowler, Noll and Vo), of 64 bits: it tells files apart that nobody made alike. */
static uint64_t add_bytes(uint64_t sum, const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

/* "BYTES-SUM" of a file; "" for no path. */
static mt_status digest(const char *path, char text[DIGEST_MAX])
{
    unsigned char bytes[1 << 16];
    uint64_t sum = UINT64_C(0xcbf29ce484222325), size = 0;
    ssize_t got;
    text[0] = '\0';
    if (path[0] == '\0') {
        return MT_OK;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    while ((got = read(file, bytes, sizeof bytes)) > 0 || (got < 0 && errno == EINTR)) {
        sum = got > 0 ? add_bytes(sum, bytes, (size_t)got) : sum;
        size += got > 0 ? (uint64_t)got : 0;
    }
    mt_status status = got == 0 ? MT_OK : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    close(file);
    snprintf(text, DIGEST_MAX, "%" PRIu64 "-%016" PRIx64, size, sum);
    return status;
}

static mt_status note(const char *option, const char *path, char known[DIGEST_MAX])
{
    char found[DIGEST_MAX];
    mt_status status = digest(path, found);
    if (status == MT_OK && known[0] != '\0' && strcmp(known, found) != 0) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: it changed since the run began: %.*s bytes then, %.*s now, or others; "
                       "to go on with it as it is, say --%s %s",
                       path, (int)strcspn(known, "-"), known, (int)strcspn(found, "-"), found,
                       option, path);
    }
    memcpy(known, found, DIGEST_MAX);
    return status;
}

mt_status run_data_note(run_config *config)
{
    mt_status status = note("data", config->data, config->data_digest);
    return status == MT_OK ? note("valid-data", config->valid_data, config->valid_digest) : status;
}

/* Files are compared by their digests, and where one has none, by their names. */
static bool is_same_file(const char *path, const char *digest_of_path, const char *other,
                         const char *digest_of_other)
{
    return digest_of_path[0] != '\0' && digest_of_other[0] != '\0'
               ? strcmp(digest_of_path, digest_of_other) == 0
               : strcmp(path, other) == 0;
}

static bool is_same_training(const run_config *a, const run_config *b)
{
    return is_same_file(a->data, a->data_digest, b->data, b->data_digest) &&
           (a->valid_data[0] == '\0') == (b->valid_data[0] == '\0');
}

/* Batches of toy tasks are functions of their size; a file's hold the same, cut otherwise. */
static bool is_same_validation(const run_config *former, const train_session *session)
{
    const run_config *now = &session->config;
    const train_task *task = session->task;
    bool same_file = former->valid_data[0] != '\0' && now->valid_data[0] != '\0'
                         ? is_same_file(former->valid_data, former->valid_digest, now->valid_data,
                                        now->valid_digest)
                         : is_same_training(former, now);
    bool same_size = former->batch == now->batch ? task->valid_batches(former, session->data) ==
                                                       task->valid_batches(now, session->data)
                                                 : now->data[0] != '\0';
    return same_file && same_size && former->length == now->length && former->delay == now->delay;
}

void run_data_compare(const run_config *former, const train_session *session, mt_train_state *state,
                      char text[RUN_DATA_TEXT])
{
    bool other_training = !is_same_training(former, &session->config);
    bool other_validation = !is_same_validation(former, session);
    snprintf(text, RUN_DATA_TEXT, "%s%s%s", other_training ? "other data to train on" : "",
             other_training && other_validation ? "; " : "",
             other_validation ? "other data to validate on: the best loss and patience begin anew"
                              : "");
    if (other_validation) {
        state->best_step = state->bad_evals = 0;
        state->best_loss = 0.0;
    }
}
