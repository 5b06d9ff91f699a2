#include <mixtape/adapter.h>

#include "train/command/loop_internal.h"
#include "train/command/ranks.h"
#include "train/command/run_view.h"
#include "train/command/style.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "3 tokens are new ...: 'a', 'b', 'c'" */
static void say_new_tokens(train_loop *loop)
{
    enum { SHOWN = 16 };
    const train_session *session = loop->session;
    const mt_token_list *tokens = session->task->tokens(session->data);
    int32_t first = session->first_new_token, count = tokens->count - first;
    char shown[1024] = "";
    for (int32_t i = 0; i < count && i < SHOWN; i++) {
        size_t used = strlen(shown);
        snprintf(shown + used, sizeof shown - used, "%s'%.32s'", i > 0 ? ", " : "",
                 tokens->tokens[first + i]);
    }
    progress_say(&loop->progress,
                 "%" PRId32 " token%s new to %s, and begin%s as the mean of its %" PRId32 ": %s%s",
                 count, count == 1 ? " is" : "s are", session->config.init, count == 1 ? "s" : "",
                 first, shown, count > SHOWN ? ", ..." : "");
}

/* ESPnet's rule for its kernel, and so the library's (mt_wkv_check). */
static void say_attention_size(train_loop *loop, int64_t A)
{
    int64_t least = 32;
    while (least > 1 && least / 2 * A % 32 == 0) {
        least /= 2;
    }
    if (A > 32 && least > 1) {
        progress_say(&loop->progress,
                     "an attention size of %" PRId64
                     " is no multiple of 32: here and in ESPnet, batches are of a multiple of "
                     "%" PRId64 " sequences, and one alone, as in generate, is refused",
                     A, least);
    }
}

static void say_adapter(train_loop *loop)
{
    const mt_adapter *adapter = loop->session->model->adapter;
    char on[MT_PROJECTIONS_TEXT], what[160] = "the state that sequences begin with";
    if (adapter->config.kind == MT_ADAPT_LORA) {
        snprintf(what, sizeof what, "LoRA of rank %" PRId64 ", alpha %g, on %s",
                 adapter->config.rank, adapter->config.alpha,
                 mt_projections_text(adapter->config.on, on));
    }
    progress_say(&loop->progress, "the model stays as it is; trained are %" PRId64 " values of %s",
                 mt_parameters_size(adapter->parameters), what);
}

void loop_say_start(train_loop *loop, const char *notice)
{
    const train_session *session = loop->session;
    const run_config *config = &session->config;
    int64_t A = session->model->config.attention_size, blocks = config->model.num_blocks;
    int threads = mt_cpu_threads(), ranks = ranks_count();
    char each[32] = "";
    if (ranks > 1) {
        snprintf(each, sizeof each, "%d processes of ", ranks);
    }
    progress_say(&loop->progress,
                 "%s %s: %" PRId64 " block%s of size %" PRId64 ", %" PRId64
                 " parameters, %s on %s (%s, %s%d thread%s), seed %" PRId64 ", in %s",
                 loop->state->step > 0 ? "going on with" : "training", config->task, blocks,
                 blocks == 1 ? "" : "s", config->model.block_size,
                 mt_parameters_size(session->model->parameters), mt_dtype_name(config->dtype),
                 mt_device_name(session->device), mt_cpu_isa(), each, threads,
                 threads == 1 ? "" : "s", config->seed, loop->folder->path);
    if (session->model->adapter != NULL) {
        say_adapter(loop);
    }
    const char *sums = mt_communicator_sums(ranks_communicator());
    if (sums[0] != '\0' && strncmp(mt_device_name(session->device), "cuda", 4) == 0) {
        progress_say(&loop->progress, "gradients are summed %s %s",
                     strncmp(sums, "NCCL", 4) == 0 ? "by" : "through", sums);
    }
    const char *lacking = mt_device_lacks_bf16(session->device);
    if (config->dtype == MT_BF16 && lacking != NULL) {
        progress_say(&loop->progress, "products of bf16 are those of f32 here, and no faster: %s",
                     lacking);
    }
    if (loop->state->step == 0) {
        char text[STYLE_TEXT];
        style_tell(&session->model->config, text);
        progress_say(&loop->progress, "%s", text);
    }
    if (session->task->describe != NULL) {
        char text[512];
        session->task->describe(session->data, text, sizeof text);
        progress_say(&loop->progress, "%s", text);
    }
    if (notice[0] != '\0') {
        progress_say(&loop->progress, "%s", notice);
    }
    if (session->first_new_token >= 0) {
        say_new_tokens(loop);
    }
    if (session->tokenizer_size > 0 &&
        session->tokenizer_size < session->model->config.vocab_size) {
        progress_say(&loop->progress,
                     "the tokenizer has %" PRId64 " ids, the vocabulary %" PRId64
                     ": the last ones stay unused",
                     session->tokenizer_size, session->model->config.vocab_size);
    }
    if (session->new_head) {
        progress_say(&loop->progress, "%s has no head: it begins with initial values",
                     config->init);
    }
    say_attention_size(loop, A);
}

void loop_say_end(train_loop *loop, loop_end end)
{
    const mt_train_state *state = loop->state;
    train_progress *progress = &loop->progress;
    double seconds = clock_seconds() - loop->started;
    char best[96] = "no validation loss was finite";
    if (state->step == loop->first_step) {
        snprintf(best, sizeof best, "no step was left");
    }
    if (state->best_step > 0) {
        char loss[32];
        format_loss(state->best_loss, 5, loss);
        snprintf(best, sizeof best, "best validation loss %s at step %" PRId64, loss,
                 state->best_step);
    }
    if (end == LOOP_INTERRUPTED || end == LOOP_OUT_OF_TIME) {
        progress_say(progress,
                     "%s after step %" PRId64 ", saved; go on with: mixtape train --resume %s",
                     end == LOOP_INTERRUPTED ? "interrupted" : "out of time", state->step,
                     loop->folder->path);
    } else {
        progress_say(progress, "%s after step %" PRId64 " and %.1f s; %s",
                     end == LOOP_OUT_OF_PATIENCE ? "no better validation any more:" : "done",
                     state->step, seconds, best);
    }
}
