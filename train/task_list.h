/* The tasks, each defined in a file of its own. */
#ifndef MT_TRAIN_TASK_LIST_H
#define MT_TRAIN_TASK_LIST_H

#include "train/task.h"

extern const train_task task_copy, task_reverse, task_recall, task_echo, task_adding, task_text,
    task_tokens;

#endif
