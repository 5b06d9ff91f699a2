/* Tasks: what a model is trained on. A task is a row of a table with functions that load its data
 * and make its batches; batch number i of a run is a function of the seed and i alone, so a run can
 * stop and go on anywhere. */
#ifndef MT_TRAIN_TASK_H
#define MT_TRAIN_TASK_H

#include <mixtape/random.h>
#include <mixtape/trainer.h>

#include "train/run_config.h"

typedef enum task_split { TRAIN, VALID } task_split;

/* Targets that are not counted. */
enum { IGNORED = -1 };

typedef struct task_data task_data; /* a task's own */

typedef struct train_task train_task;
struct train_task {
    const char *name, *help;
    bool regression;  /* mean square error of the last step, instead of cross-entropy of every
                        counted one */
    bool transcripts; /* sequences begin with the blank, label 0; config->encoder splits them */
    bool language;    /* perplexity is the figure to show, instead of accuracy */
    bool numbers;     /* symbols are numbers, of as many as the options or the model say */
    bool encodes;     /* text, by config->encoder where there is one */
    bool rows_apart;  /* row i of what is held out is i of the data, whatever batch it is in: batch
                         j of B rows has those from j B on */
    double goal;      /* accuracy above which, or mean square error below which, the task counts as
                        learnt; 0: none */

    void (*defaults)(run_config *config);

    /* Checks the options that the task reads and loads its data, with the tokens of a checkpoint or
     * NULL, to which new ones are added behind the last where they may be. */
    mt_status (*open)(const run_config *config, const mt_token_list *tokens, bool may_grow,
                      task_data **data);
    void (*close)(task_data *data);

    /* One line on the data, for who begins a run; or NULL. */
    void (*describe)(const task_data *data, char *text, size_t size);

    /* The sum of a split's files by which they are known again (train/data_sum.h), "" where none
     * are its own; or NULL, and it is made of the files that the options name. */
    const char *(*digest)(const task_data *data, task_split split);

    /* Fills in vocab_size, input_size, output_size, and padding_index where no option says it. */
    void (*sizes)(const run_config *config, const task_data *data, mt_model_config *model);
    int64_t (*longest)(const run_config *config,
                       const task_data *data); /* T of the longest batch */
    const mt_token_list *(*tokens)(
        const task_data *data); /* NULL, or what to store with the model */

    /* File i of those that a split is read from, or NULL behind the last; where the function is
     * NULL, there are none, or `digest` tells of them. */
    const char *(*file)(const task_data *data, task_split split, int64_t i);

    /* Batches of a validation, at most config->eval_batches. */
    int64_t (*valid_batches)(const run_config *config, const task_data *data);

    /* A batch: input (B, T) of labels or (B, T, features), target (B, T) of labels or (B, 1) of the
     * last step's values. It is made in host memory and copied to the tape's device. With
     * config->carry its rows go on where those of the batch before ended, but for batch->begins. */
    mt_status (*make)(const run_config *config, const task_data *data, mt_tape *tape,
                      task_split split, int64_t index, mt_batch *batch);
};

/* The tasks, each defined in a file of its own. */
#define TASKS(TASK)                                                                                \
    TASK(task_copy)                                                                                \
    TASK(task_reverse)                                                                             \
    TASK(task_recall)                                                                              \
    TASK(task_echo)                                                                                \
    TASK(task_adding)                                                                              \
    TASK(task_text)                                                                                \
    TASK(task_ids)                                                                                 \
    TASK(task_tokens)
#define DECLARE_TASK(name) extern const train_task name;
TASKS(DECLARE_TASK)

extern const train_task *const tasks[]; /* all of them; ends with NULL */

/* MT_ERROR_INVALID lists the names. */
mt_status task_find(const char *name, const train_task **task);

/* The random numbers of one batch. */
mt_random task_random(const run_config *config, task_split split, int64_t index);

/* ... and of the order of documents in one pass over what is trained on. */
mt_random task_random_of_pass(uint64_t seed, int64_t pass);

/* A batch of labels from host arrays (B, T). */
mt_status task_batch_of_labels(mt_tape *tape, int64_t B, int64_t T, const int32_t *input,
                               const int32_t *target, mt_batch *batch);

/* Batches of a validation of so many rows. */
int64_t task_batches_of_rows(const run_config *config, int64_t rows);

/* The functions that tasks without data of their own share. */
mt_status task_open_nothing(const run_config *config, const mt_token_list *tokens, bool may_grow,
                            task_data **data);
void task_close_nothing(task_data *data);
const mt_token_list *task_no_tokens(const task_data *data);
int64_t task_some_batches(const run_config *config, const task_data *data);

#endif
