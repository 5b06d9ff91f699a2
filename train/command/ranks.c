#include "train/command/ranks.h"

#include "train/command/lost_ranks.h"
#include "train/command/options.h"
#include "train/command/run_data.h"
#include "train/command/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mt_communicator *communicator;
static FILE *complaints; /* of any rank */

mt_communicator *ranks_communicator(void)
{
    return communicator;
}

int ranks_count(void)
{
    return communicator != NULL ? mt_communicator_size(communicator) : 1;
}

bool ranks_is_first(void)
{
    return mt_communicator_rank(communicator) == 0;
}

/* The streams of the program alone: what libraries and the system write still shows. */
static mt_status silence(void)
{
    FILE *nowhere = fopen("/dev/null", "we");
    if (nowhere == NULL) {
        return mt_fail(MT_ERROR_IO, "/dev/null cannot be opened");
    }
    stdout = stderr = nowhere;
    return MT_OK;
}

mt_status ranks_open(const ranks_meeting *meeting)
{
    complaints = stderr;
    mt_status status = meeting->address == NULL
                           ? mt_communicator_open(&communicator)
                           : mt_communicator_open_at(meeting->rank, meeting->size, meeting->address,
                                                     meeting->seconds, &communicator);
    if (status == MT_OK) {
        lost_ranks_watch(communicator, complaints);
        status = ranks_agree(ranks_is_first() ? MT_OK : silence());
    }
    return status;
}

void ranks_have_done(void)
{
    lost_ranks_leave();
}

void ranks_close(void)
{
    lost_ranks_leave();
    mt_communicator_close(communicator);
    communicator = NULL;
}

mt_status ranks_agree(mt_status status)
{
    if (communicator != NULL) {
        status = mt_communicator_agree(communicator, status);
    }
    if (status != MT_OK && ranks_are_together(status)) { /* others end, each in its time */
        lost_ranks_leave();
    }
    return status;
}

mt_status ranks_share(void *bytes, size_t size)
{
    return communicator != NULL ? mt_communicator_broadcast(communicator, size, bytes) : MT_OK;
}

mt_status ranks_largest(int count, int *numbers)
{
    size_t bytes = (size_t)count * sizeof *numbers;
    if (ranks_count() == 1) {
        return MT_OK;
    }
    int *all = malloc((size_t)ranks_count() * bytes);
    if (all == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for %d ranks", ranks_count());
    }
    mt_status status = mt_communicator_gather(communicator, bytes, numbers, all);
    for (int i = 0; i < count * ranks_count() && status == MT_OK; i++) {
        int *largest = &numbers[i % count];
        *largest = all[i] > *largest ? all[i] : *largest;
    }
    free(all);
    return status;
}

bool ranks_are_together(mt_status status)
{
    return status == MT_OK || ranks_count() == 1 || mt_communicator_has_agreed(communicator);
}

int ranks_report(mt_status status)
{
    if (ranks_are_together(status)) {
        return report(status);
    }
    lost_ranks_tell(communicator, complaints, mt_error_message());
    return EXIT_FAILED;
}

/* ---- the same options ---- */

/* Takes a line off a text; NULL behind the last. */
static char *next_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');
    if (*line == '\0') {
        return NULL;
    }
    *text = end != NULL ? end + 1 : line + strlen(line);
    if (end != NULL) {
        *end = '\0';
    }
    return line;
}

static bool is_one_of(const char *name, size_t length, int count, const char *const names[])
{
    bool found = false;
    for (int i = 0; i < count && !found; i++) {
        found = strlen(names[i]) == length && strncmp(names[i], name, length) == 0;
    }
    return found;
}

/* What is of a process alone; and files whose content is compared, which may be in other places. */
static bool may_differ(const char *name, size_t length, const char *value, const char *other)
{
    static const char *const own[] = {"threads", "device"}, *const files[] = {"init", "tokenizer"};
    bool are_named = strcmp(value, "\"\"") != 0 && strcmp(other, "\"\"") != 0;
    return is_one_of(name, length, 2, own) || (are_named && is_one_of(name, length, 2, files));
}

/* Tells if a line is "name: value" or "name:", and not "- value" of a list. */
static bool is_named(const char *line)
{
    return line != NULL && line[0] != ' ' && line[0] != '-' && strchr(line, ':') != NULL;
}

/* What a line has for an option, as its name or in its list; "none" if it is another's. */
static const char *value_for(const char *name, size_t length, const char *line)
{
    if (line == NULL || (is_named(line) && strncmp(line, name, length + 1) != 0)) {
        return "none";
    }
    line += is_named(line) ? length + 1 : 0;
    line += strspn(line, " -");
    return line[0] != '\0' ? line : "a list";
}

/* Compares two configurations as config.yaml has them, a line at a time. */
static mt_status compare_texts(char *own, char *first)
{
    const char *name = "";
    size_t length = 0;
    for (;;) {
        const char *line = next_line(&own), *other = next_line(&first);
        if (line == NULL && other == NULL) {
            return MT_OK;
        }
        if (is_named(line) && is_named(other)) { /* else one of two lists is longer */
            name = line;
            length = strcspn(line, ":");
        }
        bool same = line != NULL && other != NULL && strcmp(line, other) == 0;
        const char *value = value_for(name, length, line), *of_0 = value_for(name, length, other);
        if (!same && !may_differ(name, length, value, of_0)) {
            return mt_fail(MT_ERROR_INVALID, "--%.*s is %s, and on rank 0 %s", (int)length, name,
                           value, of_0);
        }
    }
}

mt_status ranks_compare(const run_config *config)
{
    char *own = NULL, *first = NULL;
    if (ranks_count() == 1) {
        return MT_OK;
    }
    mt_status status = options_write_yaml(config, &own);
    int64_t size = own != NULL ? (int64_t)strlen(own) + 1 : 0;
    status = ranks_agree(status);
    if (status == MT_OK) {
        status = ranks_share(&size, sizeof size);
    }
    if (status == MT_OK) {
        first = calloc(1, (size_t)size + 1);
        status =
            ranks_agree(first != NULL ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for options"));
    }
    if (status == MT_OK && own != NULL && first != NULL) {
        snprintf(first, (size_t)size, "%s", own);
        status = ranks_share(first, (size_t)size);
        status = status == MT_OK ? ranks_agree(compare_texts(own, first)) : status;
    }
    free(own);
    free(first);
    return status;
}

mt_status ranks_compare_data(const run_config *config)
{
    const struct {
        const char *option, *digest;
        const file_list *files;
    } splits[] = {{"data", config->data_digest, &config->data},
                  {"valid-data", config->valid_digest, &config->valid_data}};
    mt_status status = MT_OK;
    for (int i = 0; i < 2 && status == MT_OK; i++) {
        char first[DIGEST_MAX] = "";
        const file_list *files = splits[i].files;
        snprintf(first, sizeof first, "%s", splits[i].digest);
        status = ranks_share(first, sizeof first);
        if (status == MT_OK && !run_data_are_same(first, splits[i].digest)) {
            status = mt_fail(MT_ERROR_INVALID, "--%s %s%s: not what rank 0 reads there",
                             splits[i].option, files->count > 0 ? files->names[0] : "",
                             files->count > 1 ? " ..." : "");
        }
        status = ranks_agree(status);
    }
    return status;
}

mt_status ranks_compare_labels(const char digest[DIGEST_MAX])
{
    char first[DIGEST_MAX];
    memcpy(first, digest, sizeof first);
    mt_status status = ranks_share(first, sizeof first);
    if (status == MT_OK && strcmp(first, digest) != 0) {
        status = mt_fail(MT_ERROR_INVALID, "the tokens, or the tokenizer, are not those of rank 0");
    }
    return ranks_agree(status);
}

mt_status ranks_compare_device(const mt_device *device)
{
    char own[16] = "", first[16];
    const char *name = mt_device_name(device);
    snprintf(own, sizeof own, "%.*s", (int)strcspn(name, ":"), name);
    memcpy(first, own, sizeof first);
    mt_status status = ranks_share(first, sizeof first);
    if (status == MT_OK && strcmp(own, first) != 0) {
        status = mt_fail(MT_ERROR_INVALID, "the device is %s, and on rank 0 %s", own, first);
    }
    return ranks_agree(status);
}

mt_status ranks_compare_resume(bool resumes)
{
    bool first = resumes;
    mt_status status = ranks_share(&first, sizeof first);
    if (status == MT_OK && resumes != first) {
        status = mt_fail(MT_ERROR_INVALID, "--resume is %s, and on rank 0 it is %s",
                         resumes ? "given" : "not given", first ? "given" : "not");
    }
    return ranks_agree(status);
}
