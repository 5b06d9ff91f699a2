#include "train/command/run_data.h"

#include "io/input.h"
#include "train/command/lines.h"
#include "train/data_files.h"
#include "train/data_sum.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct file_sum {
    data_sum bytes;
    int64_t written; /* when the last of those was that are too long to be read whole; 0: none is */
} file_sum;

static mt_status add_whole(const char *path, int file, file_sum *total)
{
    unsigned char bytes[1 << 16];
    ssize_t got;
    while ((got = read(file, bytes, sizeof bytes)) > 0 || (got < 0 && errno == EINTR)) {
        data_sum_add(&total->bytes, bytes, got > 0 ? (size_t)got : 0);
    }
    return got == 0 ? MT_OK : mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
}

/* Files may have 100 GB: of those above WHOLE_MAX, pieces from all over it are read. */
enum { PIECE = 1 << 16, PIECES = 1024, WHOLE_MAX = PIECE * PIECES };

static mt_status add_pieces(const char *path, int file, const struct stat *info, file_sum *total)
{
    unsigned char bytes[PIECE];
    uint64_t before = total->bytes.size;
    off_t apart = (info->st_size - PIECE) / (PIECES - 1);
    for (int i = 0; i < PIECES; i++) {
        ssize_t got = pread(file, bytes, PIECE, i * apart);
        if (got < 0 && errno != EINTR) {
            return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
        }
        i -= got < 0; /* again */
        data_sum_add(&total->bytes, bytes, got > 0 ? (size_t)got : 0);
    }
    total->bytes.size = before + (uint64_t)info->st_size;
    total->written = info->st_mtime > total->written ? info->st_mtime : total->written;
    return MT_OK;
}

static mt_status add_file(const char *path, file_sum *total)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    bool is_long = fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > WHOLE_MAX;
    mt_status status =
        is_long ? add_pieces(path, file, &info, total) : add_whole(path, file, total);
    close(file);
    return status;
}

static mt_status add_files(const file_list *files, file_sum *total)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < files->count && status == MT_OK; i++) {
        if (i > 0) {
            data_sum_next_file(&total->bytes);
        }
        status = add_file(files->names[i], total);
    }
    return status;
}

/* The files that a task has read from a split's. */
static mt_status list_files(const train_session *session, task_split split, file_list *files)
{
    const train_task *task = session->task;
    mt_status status = MT_OK;
    const char *name;
    for (int64_t i = 0; status == MT_OK && task->file != NULL &&
                        (name = task->file(session->data, split, i)) != NULL;
         i++) {
        status = file_list_add(files, name);
    }
    return status;
}

/* The sum of a split's files: as the task has it that read them to memory, or else of the files,
 * with "-TIME" behind it where some were not read whole; "" for none. */
static mt_status digest(const train_session *session, task_split split, char text[DIGEST_MAX])
{
    file_sum total = {.bytes = data_sum_begin()};
    file_list files = {0};
    text[0] = '\0';
    if (session->task->digest != NULL) {
        memcpy(text, session->task->digest(session->data, split), DIGEST_MAX);
        return MT_OK;
    }
    mt_status status = list_files(session, split, &files);
    if (status == MT_OK) {
        status = add_files(&files, &total);
    }
    if (files.count > 0) {
        data_sum_text(&total.bytes, text);
    }
    if (total.written > 0) {
        size_t length = strlen(text);
        snprintf(text + length, DIGEST_MAX - length, "-%" PRId64, total.written);
    }
    file_list_clear(&files);
    return status;
}

/* The times need not agree: who copies a file need not change it. */
bool run_data_are_same(const char *a, const char *b)
{
    size_t size = strcspn(a, "-"), sum = size + strcspn(a + size + (a[size] != '\0'), "-") + 1;
    return strncmp(a, b, sum) == 0;
}

/* A run that goes on cannot read what came through a pipe. */
static mt_status mark_streams(file_list *names)
{
    mt_status status = MT_OK;
    for (int64_t i = 0; i < names->count && status == MT_OK; i++) {
        if (mt_input_is_stream(names->names[i])) {
            status = file_list_replace(names, i, DATA_FROM_PIPE);
        }
    }
    return status;
}

enum { CHANGE_TEXT = 64 };

/* In what the bytes are others than they were. */
static void describe_change(const char *known, const char *found, char text[CHANGE_TEXT])
{
    int then = (int)strcspn(known, "-"), now = (int)strcspn(found, "-");
    if (then == now && strncmp(known, found, (size_t)then) == 0) {
        snprintf(text, CHANGE_TEXT, "still %.*s bytes, but not the same", then, known);
    } else {
        snprintf(text, CHANGE_TEXT, "%.*s bytes then, %.*s now", then, known, now, found);
    }
}

static mt_status refuse_changed(task_split split, const file_list *names, const char *known,
                                const char *found)
{
    char change[CHANGE_TEXT];
    describe_change(known, found, change);
    return mt_fail(MT_ERROR_INVALID,
                   "%s%s: it changed since the run began: %s; to go on with it as it is, say --%s "
                   "%s%s",
                   names->names[0], names->count > 1 ? ", ..." : "", change,
                   split == TRAIN ? "data" : "valid-data", names->names[0],
                   names->count > 1 ? " ..." : "");
}

static mt_status note(const train_session *session, task_split split, file_list *names,
                      char known[DIGEST_MAX])
{
    char found[DIGEST_MAX];
    mt_status status = digest(session, split, found);
    if (status == MT_OK && known[0] != '\0' && !run_data_are_same(known, found)) {
        return refuse_changed(split, names, known, found);
    }
    memcpy(known, found, DIGEST_MAX);
    return status == MT_OK ? mark_streams(names) : status;
}

mt_status run_data_note(train_session *session)
{
    run_config *config = &session->config;
    mt_status status = note(session, TRAIN, &config->data, config->data_digest);
    return status == MT_OK ? note(session, VALID, &config->valid_data, config->valid_digest)
                           : status;
}

static bool has_stream(const file_list *names)
{
    bool found = false;
    for (int64_t i = 0; i < names->count && !found; i++) {
        found = mt_input_is_stream(names->names[i]);
    }
    return found;
}

/* MT_OK where the files are the same, or cannot be read again. */
static mt_status check_unchanged(task_split split, const file_list *names, const char *known)
{
    data_files files;
    if (known[0] == '\0' || has_stream(names)) {
        return MT_OK;
    }
    mt_status status = data_files_read(names, &files);
    bool changed = status == MT_OK && !run_data_are_same(known, files.digest);
    status = changed ? refuse_changed(split, names, known, files.digest) : MT_OK;
    data_files_free(&files);
    return status;
}

mt_status run_data_blame(const run_config *config, mt_status status)
{
    char reason[2 * TEXT_MAX];
    const train_task *task;
    snprintf(reason, sizeof reason, "%s", mt_error_message());
    bool of_data = status == MT_ERROR_FORMAT || status == MT_ERROR_INVALID;
    if (!of_data || task_find(config->task, &task) != MT_OK || task->digest == NULL) {
        return mt_fail(status, "%s", reason);
    }
    mt_status changed = check_unchanged(TRAIN, &config->data, config->data_digest);
    if (changed == MT_OK) {
        changed = check_unchanged(VALID, &config->valid_data, config->valid_digest);
    }
    return changed != MT_OK ? changed : mt_fail(status, "%s", reason);
}

mt_status run_data_tell_changed(const train_session *session)
{
    const run_config *config = &session->config;
    bool apart = config->valid_data.count > 0;
    const file_list *names = apart ? &config->valid_data : &config->data;
    const char *known = apart ? config->valid_digest : config->data_digest;
    char found[DIGEST_MAX], change[CHANGE_TEXT];
    if (known[0] == '\0') {
        return MT_OK;
    }
    mt_status status = digest(session, apart ? VALID : TRAIN, found);
    if (status == MT_OK && !run_data_are_same(known, found)) {
        describe_change(known, found, change);
        print_line(stderr, "%s%s: it changed since the run was saved, and is measured as it is: %s",
                   names->names[0], names->count > 1 ? ", ..." : "", change);
    }
    return status;
}

static bool have_same_names(const file_list *a, const file_list *b)
{
    bool same = a->count == b->count;
    for (int64_t i = 0; i < a->count && same; i++) {
        same = strcmp(a->names[i], b->names[i]) == 0;
    }
    return same;
}

void run_data_forget(run_config *config, const char *option)
{
    if (strcmp(option, "data") == 0) {
        config->data_digest[0] = '\0';
    } else if (strcmp(option, "valid-data") == 0) {
        config->valid_digest[0] = '\0';
    }
}

/* Files are compared by their digests, and where some have none, by their names. */
static bool are_same_files(const file_list *names, const char *digest_of_names,
                           const file_list *others, const char *digest_of_others)
{
    return digest_of_names[0] != '\0' && digest_of_others[0] != '\0'
               ? run_data_are_same(digest_of_names, digest_of_others)
               : have_same_names(names, others);
}

/* Where there are no others to validate on, a share of the data is held out. */
bool run_data_trains_on_same(const run_config *a, const run_config *b)
{
    return are_same_files(&a->data, a->data_digest, &b->data, b->data_digest) &&
           (a->valid_data.count == 0) == (b->valid_data.count == 0) &&
           (a->valid_data.count > 0 || a->valid_share == b->valid_share);
}

/* Tells if files have another time than they had, and are otherwise the same. */
static bool are_written_anew(const char *former, const char *now)
{
    return former[0] != '\0' && run_data_are_same(former, now) && strcmp(former, now) != 0;
}

static bool is_same_held_out(const run_config *former, const run_config *now)
{
    return former->valid_data.count > 0 && now->valid_data.count > 0
               ? are_same_files(&former->valid_data, former->valid_digest, &now->valid_data,
                                now->valid_digest)
               : run_data_trains_on_same(former, now);
}

/* Batches of toy tasks are functions of their size; a file's hold the same, cut otherwise. */
static bool is_same_validation(const run_config *former, const train_session *session)
{
    const run_config *now = &session->config;
    const train_task *task = session->task;
    bool same_size = former->batch == now->batch ? task->valid_batches(former, session->data) ==
                                                       task->valid_batches(now, session->data)
                                                 : now->data.count > 0;
    return is_same_held_out(former, now) && same_size && former->length == now->length &&
           former->delay == now->delay;
}

static void add_clause(char text[RUN_DATA_TEXT], const char *clause)
{
    size_t used = strlen(text);
    snprintf(text + used, RUN_DATA_TEXT - used, "%s%s", used > 0 ? "; " : "", clause);
}

bool run_data_compare(const run_config *former, const train_session *session, mt_train_state *state,
                      char text[RUN_DATA_TEXT])
{
    const run_config *now = &session->config;
    text[0] = '\0';
    if (!run_data_trains_on_same(former, now)) {
        add_clause(text, "other data to train on");
    }
    if (!is_same_validation(former, session)) {
        add_clause(text, "other data to validate on: the best loss and patience begin anew");
        state->best_step = state->bad_evals = 0;
        state->best_loss = 0.0;
    }
    if (are_written_anew(former->data_digest, now->data_digest) ||
        are_written_anew(former->valid_digest, now->valid_digest)) {
        add_clause(text, "the data were written anew since, the same as far as they are sampled");
    }
    return run_data_trains_on_same(former, now) && is_same_held_out(former, now);
}

static void add_names(data_sum *sum, int32_t count, char *const *names)
{
    for (int32_t i = 0; i < count; i++) {
        data_sum_add(sum, names[i], strlen(names[i]) + 1);
    }
    data_sum_next_file(sum);
}

void run_data_of_labels(const train_session *session, char digest[DIGEST_MAX])
{
    const mt_token_list *tokens = session->task->tokens(session->data);
    const mt_tokenizer_file *tokenizer = &session->tokenizer;
    data_sum sum = data_sum_begin();
    if (tokens != NULL) {
        add_names(&sum, tokens->count, tokens->tokens);
        add_names(&sum, tokens->whole_count, tokens->whole);
    }
    if (tokenizer->bytes != NULL) {
        data_sum_add(&sum, tokenizer->bytes, tokenizer->size);
    }
    data_sum_text(&sum, digest);
}
