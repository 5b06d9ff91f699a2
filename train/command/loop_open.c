#include "train/command/edited_config.h"
#include "train/command/loop_internal.h"
#include "train/command/options.h"
#include "train/command/ranks.h"
#include "train/command/run_view.h"

#include <inttypes.h>

mt_trainer_config loop_trainer_config(const run_config *config)
{
    mt_trainer_config made = mt_trainer_config_default();
    made.adam.clip = config->clip;
    made.adam.weight_decay = config->weight_decay;
    made.adam.beta1 = config->beta1;
    made.adam.beta2 = config->beta2;
    made.adam.eps = config->adam_eps;
    made.schedule = (mt_schedule){.kind = config->schedule,
                                  .lr = config->lr,
                                  .final = config->lr_final,
                                  .warmup = config->warmup,
                                  .steps = config->steps};
    made.accumulate = config->accumulate;
    made.windows = config->carry ? config->carry_gradient : 1;
    made.seed = (uint64_t)config->seed;
    made.record = config->cuda_graph == SWITCH_ON;
    made.on_bad_step = config->on_bad_step;
    made.bad_steps = config->bad_steps;
    made.split_optimizer = config->split_optimizer;
    return made;
}

static mt_status open_trainer(train_loop *loop, const mt_checkpoint *checkpoint)
{
    train_session *session = loop->session;
    const run_config *config = &session->config;
    mt_trainer_config made = loop_trainer_config(config);
    made.replay_file = loop->replay_file;
    made.communicator = ranks_communicator();
    mt_objective objective = session_objective(session);
    mt_status status =
        mt_trainer_create(session_trained(session), &made, &objective, &loop->trainer);
    if (status == MT_OK) {
        status = options_write_yaml(config, &loop->config_text);
    }
    status = ranks_agree(status);
    if (status == MT_OK) {
        loop->state = mt_trainer_state(loop->trainer);
        status = session_describe(session, loop->trainer, loop->config_text);
    }
    if (status == MT_OK) {
        status = mt_trainer_keep_tokenizer(loop->trainer, &session->tokenizer);
    }
    status = ranks_agree(status);
    return status == MT_OK && checkpoint != NULL ? mt_trainer_restore(loop->trainer, checkpoint)
                                                 : status;
}

/* That there is a step left, and that all ranks go on from one. */
static mt_status check_step(const run_config *config, const mt_checkpoint *checkpoint)
{
    int64_t step = checkpoint != NULL ? checkpoint->state.step : 0, first = step;
    mt_status status = ranks_share(&first, sizeof first);
    if (status == MT_OK && step > config->steps) {
        status = mt_fail(MT_ERROR_INVALID, "--steps %" PRId64 ": the run has made %" PRId64,
                         config->steps, step);
    }
    if (status == MT_OK && step != first) {
        status = mt_fail(MT_ERROR_INVALID,
                         "the run is at step %" PRId64 ", and on rank 0 at %" PRId64, step, first);
    }
    return ranks_agree(status);
}

static mt_status resume_folder(train_loop *loop, int64_t step)
{
    bool is_said = edited_config_is(loop->folder, loop->config_text);
    return run_folder_resume(loop->folder, step, is_said ? NULL : loop->config_text);
}

mt_status loop_open(train_loop *loop, const mt_checkpoint *checkpoint)
{
    const run_config *config = &loop->session->config;
    mt_status status = check_step(config, checkpoint);
    if (status == MT_OK) {
        status = open_trainer(loop, checkpoint);
    }
    if (status == MT_OK && ranks_is_first()) {
        status = checkpoint != NULL ? resume_folder(loop, checkpoint->state.step)
                                    : run_folder_create(config->out, config->task,
                                                        loop->config_text, loop->folder);
    }
    status = ranks_agree(status);
    if (status == MT_OK) {
        run_folder_file(loop->folder, "bad_step.h5", loop->replay_file);
        loop->started = clock_seconds() - loop->state->seconds;
        loop->first_step = loop->state->step;
        loop->symbols_before = loop->state->symbols;
        loop->seconds_before = loop->state->seconds;
    }
    loop->progress = progress_make(loop->folder->log, loop->session->task->language, config->steps);
    return status;
}
