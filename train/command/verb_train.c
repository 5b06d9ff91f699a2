/* mixtape train TASK [options], mixtape train --resume RUN [options] */
#include "train/command/data_names.h"
#include "train/command/dry_run.h"
#include "train/command/edited_config.h"
#include "train/command/loop_internal.h"
#include "train/command/options.h"
#include "train/command/ranks.h"
#include "train/command/run_data.h"
#include "train/command/train_arguments.h"
#include "train/command/train_configure.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The file that --init names, or NULL. What it leaves open the configuration may tell, so what is
 * assumed of it is said later. */
static mt_status load_init(const train_arguments *given, mt_checkpoint **init)
{
    const char *file = train_argument(given, "init");
    char path[TEXT_MAX];
    *init = NULL;
    mt_status status = file != NULL ? session_find_model(file, true, path) : MT_OK;
    if (status == MT_OK && file != NULL) {
        status = mt_checkpoint_load(path, init);
    }
    if (status == MT_OK && file != NULL) {
        session_tell_eps(path, (*init)->weights->layout, &(*init)->weights->config);
    }
    return status;
}

enum { NOTICE_TEXT = DATA_NAMES_NOTE + RUN_DATA_TEXT };

static void add_clause(char notice[NOTICE_TEXT], const char *clause)
{
    size_t used = strlen(notice);
    snprintf(notice + used, NOTICE_TEXT - used, "%s%s", used > 0 && clause[0] != '\0' ? "; " : "",
             clause);
}

/* A run whose data are others has to train on them: it would be called theirs, unchanged. */
static mt_status compare_data(const run_config *former, const train_session *session,
                              mt_train_state *state, char notice[NOTICE_TEXT])
{
    char compared[RUN_DATA_TEXT];
    bool same = run_data_compare(former, session, state, compared);
    if (!same && state->step >= session->config.steps) {
        return mt_fail(MT_ERROR_INVALID,
                       "no step is left for other data: the run is at step %" PRId64 " of %" PRId64
                       " (give --steps N)",
                       state->step, session->config.steps);
    }
    if (session->config.carry && !run_data_trains_on_same(former, &session->config)) {
        return mt_fail(MT_ERROR_INVALID, "other data to train on: a run with --carry is in the "
                                         "midst of its own (begin another, with --init)");
    }
    add_clause(notice, compared);
    return MT_OK;
}

/* Opens a run, new or as it goes on from a checkpoint, whose configuration was `former`. `notice`
 * gets what there is to say of its data. */
static mt_status open_run(const run_config *config, const run_config *former,
                          mt_checkpoint *checkpoint, const mt_checkpoint *init,
                          train_session *session, char notice[NOTICE_TEXT])
{
    if (config->data.count == 0 && options_is_read(config->task, "data")) {
        return mt_fail(MT_ERROR_INVALID, "%s: no files to train on (give them with --data)",
                       config->task);
    }
    mt_status status = data_names_check(&config->data, &config->valid_data, notice);
    if (status == MT_OK) {
        status = session_open(config, checkpoint, init, session);
        status = status == MT_OK ? MT_OK : run_data_blame(config, status);
    }
    if (status != MT_OK) {
        return status;
    }
    status = run_data_note(session);
    if (status == MT_OK && checkpoint != NULL) {
        status = compare_data(former, session, &checkpoint->state, notice);
    }
    if (status != MT_OK) {
        session_close(session);
    }
    return status;
}

/* Of several processes, which share the rows of a batch. */
static mt_status check_ranks(const run_config *config)
{
    int ranks = ranks_count();
    if (ranks > 1 && config->dry) {
        return mt_fail(MT_ERROR_INVALID, "--dry-run: it is of one process, and there are %d",
                       ranks);
    }
    return config->batch % ranks == 0
               ? MT_OK
               : mt_fail(MT_ERROR_INVALID,
                         "--batch %" PRId64 ": no multiple of the %d processes that share it",
                         config->batch, ranks);
}

/* Opens a run on all ranks, or on none. */
static mt_status open_on_all(const run_config *config, const run_config *former,
                             mt_checkpoint *checkpoint, const mt_checkpoint *init,
                             train_session *session, char notice[NOTICE_TEXT])
{
    mt_status status = ranks_agree(check_ranks(config));
    if (status == MT_OK) {
        status = ranks_compare(config);
    }
    if (status != MT_OK) {
        return status;
    }
    status = open_run(config, former, checkpoint, init, session, notice);
    bool is_open = status == MT_OK;
    status = ranks_agree(status);
    if (status == MT_OK) {
        status = ranks_compare_data(&session->config);
    }
    if (status == MT_OK && is_open) {
        char digest[DIGEST_MAX];
        run_data_of_labels(session, digest);
        status = ranks_compare_labels(digest);
    }
    if (status == MT_OK && is_open) {
        status = ranks_compare_device(session->device);
    }
    if (status != MT_OK && is_open) {
        session_close(session);
    }
    return status;
}

/* Takes both checkpoints over, either of which may be NULL; `former` is the configuration of the
 * first. They are closed before the run trains, since it replaces files, of which one that is open
 * keeps its place on the disk. */
static int train(const run_config *config, const run_config *former, mt_checkpoint *checkpoint,
                 mt_checkpoint *init, run_folder *folder)
{
    train_session session;
    char notice[NOTICE_TEXT];
    loop_end end = LOOP_DONE;
    mt_status status = open_on_all(config, former, checkpoint, init, &session, notice);
    mt_checkpoint_destroy(init);
    if (status != MT_OK) {
        mt_checkpoint_destroy(checkpoint);
        return ranks_report(status);
    }
    if (config->dry) {
        mt_checkpoint_destroy(checkpoint);
        status = dry_run(&session);
    } else {
        status = loop_run(&session, checkpoint, notice, folder, &end);
    }
    session_close(&session);
    int exit_status = ranks_report(status);
    return status == MT_OK && end == LOOP_INTERRUPTED ? EXIT_SIGNAL + loop_signal() : exit_status;
}

/* Options that a run which goes on has no use for. */
static mt_status refuse_of_new_runs(const train_arguments *given)
{
    static const char *const names[] = {"nlsyms", "out"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (train_argument(given, names[i]) != NULL) {
            return mt_fail(MT_ERROR_INVALID, "--%s is for a new run, not for --resume", names[i]);
        }
    }
    return MT_OK;
}

/* The run's folder, of which its checkpoint may also be named. */
static mt_status find_folder(const char *run, char folder[TEXT_MAX])
{
    const char *slash = strrchr(run, '/');
    const char *last = slash != NULL ? slash + 1 : run;
    bool is_file = strcmp(last, "checkpoint.h5") == 0;
    int length = !is_file        ? snprintf(folder, TEXT_MAX, "%s", run)
                 : slash == NULL ? snprintf(folder, TEXT_MAX, ".")
                                 : snprintf(folder, TEXT_MAX, "%.*s", (int)(last - run), run);
    if (length == 0) {
        return mt_fail(MT_ERROR_INVALID, "--resume: no run is named");
    }
    return length < TEXT_MAX ? MT_OK
                             : mt_fail(MT_ERROR_INVALID, "--resume %.32s...: longer than %d bytes",
                                       run, TEXT_MAX - 1);
}

/* A file that is named again may be another. */
static void forget_named_data(const train_arguments *given, run_config *config)
{
    for (int i = 0; i < given->count; i++) {
        run_data_forget(config, given->options[i].name);
    }
}

/* The rows of a run that carries are in the midst of windows, which these options would change. */
static mt_status keep_windows(const run_config *former, const run_config *now)
{
    static const char *const names[] = {"batch", "length", "accumulate"};
    mt_status status = MT_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && now->carry && status == MT_OK; i++) {
        char before[TEXT_MAX], after[TEXT_MAX];
        options_text_of(names[i], former, before);
        options_text_of(names[i], now, after);
        if (strcmp(before, after) != 0) {
            status = mt_fail(MT_ERROR_INVALID,
                             "--%s %s: a run with --carry goes on with the %s that it began with",
                             names[i], after, before);
        }
    }
    return status;
}

/* The checkpoint that a run goes on from; of an adapter --init says where the model is by now. */
static mt_status load_run(const train_arguments *given, const char *path,
                          mt_checkpoint **checkpoint)
{
    const char *init = train_argument(given, "init");
    char model[TEXT_MAX];
    if (init == NULL) {
        return mt_checkpoint_load(path, checkpoint);
    }
    mt_status status = session_find_model(init, true, model);
    if (status == MT_OK) {
        status = mt_checkpoint_load_adapted(path, model, checkpoint);
    }
    return status == MT_OK
               ? MT_OK
               : mt_fail(status,
                         "%s (--init is for a new run, not for --resume, but to tell where the "
                         "model of an adapter is)",
                         mt_error_message());
}

/* The configuration of the run in a folder, as it is to go on; and `former`, as it was. Both are to
 * be cleared after a failure, too. */
static mt_status read_run(const train_arguments *given, const run_folder *folder,
                          mt_checkpoint **checkpoint, run_config *former, run_config *now)
{
    char path[TEXT_MAX];
    mt_status status = load_run(given, run_folder_file(folder, "checkpoint.h5", path), checkpoint);
    if (status == MT_OK) {
        status = session_config_of(path, *checkpoint, former);
    }
    if (status == MT_OK) {
        status = refuse_of_new_runs(given);
    }
    if (status == MT_OK) {
        status = run_config_copy(former, now);
    }
    if (status == MT_OK) {
        status = edited_config_take(folder, now);
    }
    if (status == MT_OK) {
        forget_named_data(given, now);
        if (train_argument(given, "init") != NULL) { /* the same model, in another place */
            snprintf(now->init, sizeof now->init, "%s", train_argument(given, "init"));
        }
        status = configure_given(given, now);
    }
    return status == MT_OK ? keep_windows(former, now) : status;
}

static mt_status print_config(const run_config *config)
{
    char *text = NULL;
    mt_status status = options_write_yaml(config, &text);
    if (status == MT_OK) {
        printf("%s", text);
    }
    free(text);
    return status;
}

/* Goes on with the run whose folder is locked. */
static int resume_locked(const train_arguments *given, run_folder *folder)
{
    mt_checkpoint *checkpoint = NULL;
    run_config former = {.task = ""}, config = {.task = ""};
    mt_status status = ranks_agree(read_run(given, folder, &checkpoint, &former, &config));
    int exit_status;
    config.dry = given->dry_run;
    if (status == MT_OK && given->print_config) {
        mt_checkpoint_destroy(checkpoint);
        exit_status = report(print_config(&config));
    } else if (status == MT_OK && checkpoint != NULL) {
        checkpoint->adam = loop_trainer_config(&config).adam; /* as the options may say anew */
        exit_status = train(&config, &former, checkpoint, NULL, folder);
    } else {
        mt_checkpoint_destroy(checkpoint);
        exit_status = ranks_report(status);
    }
    run_config_clear(&config);
    run_config_clear(&former);
    return exit_status;
}

static int resume(const train_arguments *given)
{
    char name[TEXT_MAX];
    run_folder folder = {.log = NULL};
    mt_status status = find_folder(given->resume, name);
    if (status == MT_OK) {
        status = ranks_is_first() ? run_folder_lock(name, &folder) : run_folder_name(name, &folder);
    }
    status = ranks_agree(status);
    int exit_status = status == MT_OK ? resume_locked(given, &folder) : ranks_report(status);
    run_folder_close(&folder);
    return exit_status;
}

static int begin(const train_arguments *given, run_config *config)
{
    mt_checkpoint *init;
    run_folder folder = {.log = NULL};
    mt_status status = load_init(given, &init);
    if (status == MT_OK) {
        status = configure_new(given, init, config);
    }
    status = ranks_agree(status);
    int exit_status;
    config->dry = given->dry_run;
    if (status == MT_OK && given->print_config) {
        mt_checkpoint_destroy(init);
        exit_status = report(print_config(config));
    } else if (status == MT_OK) {
        exit_status = train(config, NULL, NULL, init, &folder);
    } else {
        mt_checkpoint_destroy(init);
        exit_status = ranks_report(status);
    }
    run_folder_close(&folder);
    run_config_clear(config);
    return exit_status;
}

int verb_train(int argc, char **argv)
{
    run_config config;
    train_arguments given;
    mt_status status = train_arguments_parse(argc, argv, &config, &given);
    if (status == MT_OK && given.list_presets) {
        presets_list();
        train_arguments_free(&given);
        return EXIT_SUCCESS;
    }
    if (status == MT_OK) {
        loop_catch_saving(); /* before MPI starts, which may take a while */
        status = ranks_open(&given.meeting);
    }
    if (status != MT_OK) {
        train_arguments_free(&given);
        return report(status);
    }
    status = ranks_compare_resume(given.resume != NULL);
    if (status != MT_OK) {
        run_config_clear(&config);
        train_arguments_free(&given);
        int exit_status = ranks_report(status);
        ranks_close();
        return exit_status;
    }
    int exit_status = given.resume != NULL ? resume(&given) : begin(&given, &config);
    train_arguments_free(&given);
    ranks_close();
    return exit_status;
}
