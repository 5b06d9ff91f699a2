/* Folders in which no weights are that are read: what is there, and what to do about it. */
#include "io/file.h"
#include "io/hf_folder.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *what;
} others[] = {
    {"adapter_model.safetensors", "an adapter, which PEFT can merge into its model"},
    {"tf_model.h5", "TensorFlow's"},
    {"model.ckpt.index", "TensorFlow's"},
    {"saved_model.pb", "TensorFlow's"},
    {"flax_model.msgpack", "Flax's"},
    {"model.onnx", "ONNX's"},
    {"snapshots", "a cache of Hugging Face's, whose folders of models are in snapshots/"},
};
enum { OTHERS = sizeof others / sizeof *others };

static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json", NULL};

/* What tells that a folder is one of a model, or of a run. */
static const char *const marks[] = {MT_HF_WEIGHTS,   MT_HF_INDEX, "best.h5",
                                    "checkpoint.h5", "snapshots", NULL};

static bool has(const char *folder, const char *name)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && length < PATH_MAX && access(path, F_OK) == 0;
}

static bool has_one_of(const char *folder, const char *const *names)
{
    while (*names != NULL && !has(folder, *names)) {
        names++;
    }
    return *names != NULL;
}

/* Tells if it may be what was meant: a file of weights, or a folder with some. */
static bool may_be_meant(const char *folder, const char *name)
{
    char path[PATH_MAX];
    const char *end = strrchr(name, '.');
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && length < PATH_MAX && name[0] != '.' &&
           (mt_is_safetensors(name) || mt_is_hdf5(name) ||
            (end != NULL && strcmp(end, ".pth") == 0) || has_one_of(path, marks) ||
            has_one_of(path, pickles));
}

/* The first by name of what may be meant; none is "". */
static void find_meant(const char *folder, char found[NAME_MAX + 1])
{
    DIR *opened = opendir(folder);
    found[0] = '\0';
    for (struct dirent *entry; opened != NULL && (entry = readdir(opened)) != NULL;) {
        bool is_first = found[0] == '\0' || strcmp(entry->d_name, found) < 0;
        if (is_first && may_be_meant(folder, entry->d_name)) {
            snprintf(found, NAME_MAX + 1, "%s", entry->d_name);
        }
    }
    if (opened != NULL) {
        closedir(opened);
    }
}

static mt_status refuse_unknown(const char *folder)
{
    char meant[NAME_MAX + 1];
    size_t length = strlen(folder);
    const char *slash = length > 0 && folder[length - 1] == '/' ? "" : "/";
    static const char *const of_runs[] = {"train.log", "metrics.csv", NULL};
    if (has_one_of(folder, of_runs)) {
        return mt_fail(MT_ERROR_IO,
                       "%s: a run that has saved no model yet (best.h5, checkpoint.h5)", folder);
    }
    find_meant(folder, meant);
    return meant[0] == '\0'
               ? mt_fail(MT_ERROR_IO,
                         "%s: a folder of no run (best.h5, checkpoint.h5) and of no model "
                         "(" MT_HF_WEIGHTS ", " MT_HF_INDEX ")",
                         folder)
               : mt_fail(MT_ERROR_IO,
                         "%s: a folder of no run and of no model, which would be in " MT_HF_WEIGHTS
                         ": is it %s%s%s?",
                         folder, folder, slash, meant);
}

mt_status mt_hf_folder_refuse(const char *folder)
{
    if (has_one_of(folder, pickles)) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: its weights are PyTorch's: `mixtape-from-pth %s %s/" MT_HF_WEIGHTS
                       "` writes them as they are read",
                       folder, folder, folder);
    }
    for (int i = 0; i < OTHERS; i++) {
        if (has(folder, others[i].name)) {
            return mt_fail(MT_ERROR_FORMAT, "%s: there is no " MT_HF_WEIGHTS ", but %s: %s", folder,
                           others[i].name, others[i].what);
        }
    }
    return refuse_unknown(folder);
}
