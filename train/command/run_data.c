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

typedef struct file_sum {
    uint64_t sum, size;
} file_sum;

static mt_status add_file(const char *path, file_sum *total)
{
    unsigned char bytes[1 << 16];
    ssize_t got;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    while ((got = read(file, bytes, sizeof bytes)) > 0 || (got < 0 && errno == EINTR)) {
        total->sum = got > 0 ? add_bytes(total->sum, bytes, (size_t)got) : total->sum;
        total->size += got > 0 ? (uint64_t)got : 0;
    }
    mt_status status = got == 0 ? MT_OK : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    close(file);
    return status;
}

/* Where one file ends and the next begins is part of the sum. */
static mt_status add_files(const file_list *files, file_sum *total)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < files->count && status == MT_OK; i++) {
        if (i > 0) {
            total->sum =
                add_bytes(total->sum, (const unsigned char *)&total->size, sizeof total->size);
        }
        status = add_file(files->names[i], total);
    }
    return status;
}

/* "BYTES-SUM" of all the files; "" for none. */
static mt_status digest(const file_list *names, char text[DIGEST_MAX])
{
    file_sum total = {.sum = UINT64_C(0xcbf29ce484222325)};
    file_list files = {0};
    text[0] = '\0';
    mt_status status = file_list_walk(names, &files);
    if (status == MT_OK) {
        status = add_files(&files, &total);
    }
    if (files.count > 0) {
        snprintf(text, DIGEST_MAX, "%" PRIu64 "-%016" PRIx64, total.size, total.sum);
    }
    file_list_clear(&files);
    return status;
}

static mt_status note(const char *option, const file_list *names, char known[DIGEST_MAX])
{
    char found[DIGEST_MAX];
    mt_status status = digest(names, found);
    if (status == MT_OK && known[0] != '\0' && strcmp(known, found) != 0) {
        return mt_fail(
            MT_ERROR_INVALID,
            "%s%s: it changed since the run began: %.*s bytes then, %.*s now, or others; "
            "to go on with it as it is, say --%s %s%s",
            names->names[0], names->count > 1 ? ", ..." : "", (int)strcspn(known, "-"), known,
            (int)strcspn(found, "-"), found, option, names->names[0],
            names->count > 1 ? " ..." : "");
    }
    memcpy(known, found, DIGEST_MAX);
    return status;
}

mt_status run_data_note(run_config *config)
{
    mt_status status = note("data", &config->data, config->data_digest);
    return status == MT_OK ? note("valid-data", &config->valid_data, config->valid_digest) : status;
}

static bool have_same_names(const file_list *a, const file_list *b)
{
    bool same = a->count == b->count;
    for (int64_t i = 0; i < a->count && same; i++) {
        same = strcmp(a->names[i], b->names[i]) == 0;
    }
    return same;
}

/* Files are compared by their digests, and where some have none, by their names. */
static bool are_same_files(const file_list *names, const char *digest_of_names,
                           const file_list *others, const char *digest_of_others)
{
    return digest_of_names[0] != '\0' && digest_of_others[0] != '\0'
               ? strcmp(digest_of_names, digest_of_others) == 0
               : have_same_names(names, others);
}

static bool is_same_training(const run_config *a, const run_config *b)
{
    return are_same_files(&a->data, a->data_digest, &b->data, b->data_digest) &&
           (a->valid_data.count == 0) == (b->valid_data.count == 0);
}

/* Batches of toy tasks are functions of their size; a file's hold the same, cut otherwise. */
static bool is_same_validation(const run_config *former, const train_session *session)
{
    const run_config *now = &session->config;
    const train_task *task = session->task;
    bool same_file = former->valid_data.count > 0 && now->valid_data.count > 0
                         ? are_same_files(&former->valid_data, former->valid_digest,
                                          &now->valid_data, now->valid_digest)
                         : is_same_training(former, now);
    bool same_size = former->batch == now->batch ? task->valid_batches(former, session->data) ==
                                                       task->valid_batches(now, session->data)
                                                 : now->data.count > 0;
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
