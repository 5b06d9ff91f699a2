#include "train/task.h"

#include <stdio.h>
#include <string.h>

#define POINT_AT(name) &name,
const train_task *const tasks[] = {TASKS(POINT_AT) NULL};

mt_status task_find(const char *name, const train_task **task)
{
    char names[256] = "";
    for (int i = 0; tasks[i] != NULL; i++) {
        if (strcmp(tasks[i]->name, name) == 0) {
            *task = tasks[i];
            return MT_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", tasks[i]->name);
    }
    return mt_fail(MT_ERROR_INVALID, "there is no task '%s' (there are %s)", name, names);
}

const char *symbol_unit_name(int unit)
{
    static const char *const names[] = {
        [UNIT_CHAR] = "char", [UNIT_BYTE] = "byte", [UNIT_WORD] = "word"};
    return (size_t)unit < sizeof names / sizeof *names ? names[unit] : NULL;
}

/* Away from the streams of initial values, which count from zero. */
static mt_random random_for(uint64_t seed, uint64_t purpose, int64_t number)
{
    enum { STREAM_BITS = 56 };
    return mt_random_make(seed, purpose << STREAM_BITS | (uint64_t)number);
}

mt_random task_random(const run_config *config, task_split split, int64_t index)
{
    return random_for((uint64_t)config->seed, split == TRAIN ? 1 : 2, index);
}

mt_random task_random_of_pass(uint64_t seed, int64_t pass)
{
    return random_for(seed, 3, pass);
}

mt_status task_batch_of_labels(mt_tape *tape, int64_t B, int64_t T, const int32_t *input,
                               const int32_t *target, mt_batch *batch)
{
    *batch = (mt_batch){.input = mt_tape_labels(tape, B, T, input),
                        .target = mt_tape_labels(tape, B, T, target)};
    return mt_tape_status(tape);
}

mt_status task_open_nothing(const run_config *config, const mt_token_list *tokens, bool may_grow,
                            task_data **data)
{
    (void)may_grow;
    (void)config;
    (void)tokens;
    *data = NULL;
    return MT_OK;
}

void task_close_nothing(task_data *data)
{
    (void)data;
}

const mt_token_list *task_no_tokens(const task_data *data)
{
    (void)data;
    return NULL;
}

int64_t task_batches_of_rows(const run_config *config, int64_t rows)
{
    int64_t batches = (rows - 1) / config->batch + 1;
    return batches < config->eval_batches ? batches : config->eval_batches;
}

int64_t task_some_batches(const run_config *config, const task_data *data)
{
    (void)data;
    return config->eval_batches;
}
