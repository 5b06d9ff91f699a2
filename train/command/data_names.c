#include "train/command/data_names.h"

#include "io/input.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct named_file {
    dev_t device;
    ino_t number;
    int64_t place; /* among all names */
    const char *name;
    bool validates;
} named_file;

/* By the file, and then in the order of the names. */
static int compare_files(const void *a, const void *b)
{
    const named_file *left = a, *right = b;
    if (left->device != right->device) {
        return left->device < right->device ? -1 : 1;
    }
    if (left->number != right->number) {
        return left->number < right->number ? -1 : 1;
    }
    return left->place < right->place ? -1 : 1;
}

static bool is_same_file(const named_file *a, const named_file *b)
{
    return a->device == b->device && a->number == b->number;
}

/* The files that are there, in `files`, with room for all names. */
static int64_t find_files(const file_list *names, int64_t first_to_validate, named_file *files)
{
    int64_t count = 0;
    for (int64_t i = 0; i < names->count; i++) {
        struct stat info;
        const char *name = names->names[i];
        bool is_standard = strcmp(name, "-") == 0;
        if ((is_standard ? fstat(STDIN_FILENO, &info) : stat(name, &info)) == 0) {
            files[count++] =
                (named_file){info.st_dev, info.st_ino, i, name, i >= first_to_validate};
        }
    }
    return count;
}

/* What a clause is on: the first of the names, and how many there are. */
typedef struct told_names {
    const char *first;
    int64_t place, count;
} told_names;

static void add_told(const named_file *file, told_names *names)
{
    if (names->count++ == 0 || file->place < names->place) {
        names->first = file->name;
        names->place = file->place;
    }
}

static void add_clause(const told_names *names, const char *what, char note[DATA_NAMES_NOTE])
{
    char more[64] = "";
    const char *semicolon = note[0] != '\0' ? "; " : "";
    size_t used = strlen(note);
    if (names->count > 1) {
        snprintf(more, sizeof more, " (and %" PRId64 " more)", names->count - 1);
    }
    if (names->count > 0) {
        snprintf(note + used, DATA_NAMES_NOTE - used, "%s%.400s%s: %s", semicolon, names->first,
                 more, what);
    }
}

/* Tells if a file's name has one of these parts between its dots, dashes and underscores. */
static bool has_part(const char *path, const char *const *parts)
{
    static const char between[] = ".-_";
    const char *slash = strrchr(path, '/'), *at = slash != NULL ? slash + 1 : path;
    bool found = false;
    while (*at != '\0' && !found) {
        size_t length = strcspn(at, between);
        for (int i = 0; parts[i] != NULL && !found; i++) {
            found = strlen(parts[i]) == length && strncasecmp(at, parts[i], length) == 0;
        }
        at += length;
        at += strspn(at, between);
    }
    return found;
}

/* Who names a folder may not know that it has what is to be held out, too. */
static void find_held_out(const file_list *names, char note[DATA_NAMES_NOTE])
{
    static const char *const held_out[] = {"val", "valid", "validation", "dev", "test", NULL};
    static const char *const trained_on[] = {"train", "training", NULL};
    told_names found = {NULL, 0, 0};
    bool has_others = false;
    for (int64_t i = 0; i < names->count; i++) {
        const named_file file = {.place = i, .name = names->names[i]};
        has_others = has_others || has_part(file.name, trained_on);
        if (has_part(file.name, held_out)) {
            add_told(&file, &found);
        }
    }
    if (has_others) {
        add_clause(&found, "by its name to validate on (--valid-data), and trained on", note);
    }
}

/* Their braces and keys would be learnt, too. */
static void find_json_lines(const file_list *names, char note[DATA_NAMES_NOTE])
{
    static const char *const json[] = {"jsonl", "ndjson", NULL};
    told_names found = {NULL, 0, 0};
    for (int64_t i = 0; i < names->count; i++) {
        const named_file file = {.place = i, .name = names->names[i]};
        if (has_part(file.name, json)) {
            add_told(&file, &found);
        }
    }
    add_clause(&found,
               "JSON lines, of which all is text here (`mixtape tokenize` takes their texts)",
               note);
}

static mt_status compare_all(const named_file *files, int64_t count, char note[DATA_NAMES_NOTE])
{
    told_names twice = {NULL, 0, 0}, both = {NULL, 0, 0};
    for (int64_t i = 1; i < count; i++) {
        const named_file *file = &files[i], *before = &files[i - 1];
        if (!is_same_file(before, file)) {
            continue;
        }
        if (mt_input_is_stream(file->name) || mt_input_is_stream(before->name)) {
            return mt_fail(MT_ERROR_INVALID, "%s: named twice, and can be read only once",
                           strcmp(file->name, "-") == 0 ? "standard input" : file->name);
        }
        add_told(file, file->validates != before->validates ? &both : &twice);
    }
    add_clause(&twice, "named more than once, and counted each time", note);
    add_clause(&both, "trained on, and validated on", note);
    return MT_OK;
}

mt_status data_names_check(const file_list *data, const file_list *valid,
                           char note[DATA_NAMES_NOTE])
{
    file_list names = {0};
    note[0] = '\0';
    mt_status status = file_list_walk(data, &names);
    int64_t first_to_validate = names.count, count = 0;
    if (status == MT_OK && valid != NULL) {
        status = file_list_walk(valid, &names);
    }
    named_file *files = malloc((size_t)(names.count + 1) * sizeof *files);
    if (status == MT_OK && files == NULL) {
        status = mt_fail(MT_ERROR_MEMORY, "no memory for %" PRId64 " names of files", names.count);
    }
    if (status == MT_OK) {
        count = find_files(&names, first_to_validate, files);
        qsort(files, (size_t)count, sizeof *files, compare_files);
        status = compare_all(files, count, note);
    }
    if (status == MT_OK) {
        find_json_lines(&names, note);
    }
    if (status == MT_OK && valid != NULL && valid->count == 0) {
        find_held_out(&names, note);
    }
    free(files);
    file_list_clear(&names);
    return status;
}
