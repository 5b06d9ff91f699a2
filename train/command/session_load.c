/* The files that runs and models are loaded from. */
#include "io/file.h"
#include "train/command/lines.h"
#include "train/command/options.h"
#include "train/command/session.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

mt_status session_config_of(const char *run, const mt_checkpoint *checkpoint, run_config *config)
{
    options_defaults(config);
    if (checkpoint->run_config == NULL) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: it has no run's configuration: it is not a training run's checkpoint",
                       run);
    }
    mt_status status = options_read_yaml(config, checkpoint->run_config);
    return status == MT_OK ? MT_OK : mt_fail(status, "%s: %s", run, mt_error_message());
}

mt_status session_find_model(const char *run, bool best, char path[TEXT_MAX])
{
    struct stat info;
    if (strlen(run) >= TEXT_MAX) {
        return mt_fail(MT_ERROR_INVALID, "%.32s...: longer than %d bytes", run, TEXT_MAX - 1);
    }
    if (stat(run, &info) != 0 || !S_ISDIR(info.st_mode)) {
        snprintf(path, TEXT_MAX, "%s", run);
        return MT_OK; /* what it is, whoever reads it finds out */
    }
    const char *names[] = {best ? "best.h5" : "checkpoint.h5", best ? "checkpoint.h5" : "best.h5"};
    for (int i = 0; i < 2; i++) {
        int length = snprintf(path, TEXT_MAX, "%s/%s", run, names[i]);
        bool is_there = false;
        mt_status status = length > 0 && length < TEXT_MAX ? mt_file_look(path, &is_there) : MT_OK;
        if (status != MT_OK || is_there) {
            return status; /* a link that leads nowhere is no reason to take another model */
        }
    }
    snprintf(path, TEXT_MAX, "%s", run); /* of Hugging Face's, or of nothing that is known */
    return MT_OK;
}

void session_tell_eps(const char *path, const mt_layout *layout, const mt_model_config *config)
{
    if (layout != NULL && layout->config_beside && (float)config->norm.eps != (float)layout->eps) {
        print_line(stderr,
                   "%s: its norms have eps %g, but the last one, ln_out, %g in transformers, whose "
                   "results differ by that",
                   path, config->norm.eps, layout->eps);
    }
}

void session_tell_assumed(const char *path, const char *assumed)
{
    if (assumed[0] != '\0') {
        print_line(stderr, "%s: it does not tell, and so assumed: %s", path, assumed);
    }
}

/* Says what the weights do not, whichever file they came from. */
static mt_status tell_of(const char *path, mt_status status, mt_checkpoint *const *checkpoint)
{
    if (status == MT_OK) {
        const mt_weights *weights = (*checkpoint)->weights;
        session_tell_assumed(path, mt_weights_assumed(weights));
        session_tell_eps(path, weights->layout, &weights->config);
    }
    return status;
}

mt_status session_load_file(const char *path, mt_checkpoint **checkpoint)
{
    return tell_of(path, mt_checkpoint_load(path, checkpoint), checkpoint);
}

mt_status session_load_model(const char *run, bool best, mt_checkpoint **checkpoint)
{
    char path[TEXT_MAX];
    mt_status status = session_find_model(run, best, path);
    return status == MT_OK ? session_load_file(path, checkpoint) : status;
}

mt_status session_load_adapted(const char *run, const char *adapter, bool best,
                               mt_checkpoint **checkpoint)
{
    char model[TEXT_MAX], path[TEXT_MAX];
    if (adapter == NULL) {
        return session_load_model(run, best, checkpoint);
    }
    mt_status status = session_find_model(run, true, model); /* as --init found it */
    if (status == MT_OK) {
        status = session_find_model(adapter, best, path);
    }
    return status == MT_OK
               ? tell_of(path, mt_checkpoint_load_adapted(path, model, checkpoint), checkpoint)
               : status;
}
