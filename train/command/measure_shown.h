/* mixtape eval MODEL --data FILE...: what is measured, and shown. */
#ifndef MT_COMMAND_MEASURE_SHOWN_H
#define MT_COMMAND_MEASURE_SHOWN_H

#include <mixtape/checkpoint.h>

#include "train/command/symbols.h"
#include "train/file_list.h"

/* The arguments of eval. */
typedef struct eval_arguments {
    const char *model, *adapter, *device, *threads, *weights, *start, *end, *ids_type;
    const char *of_files; /* an option that files alone have, if one is given */
    bool last, json, per_utterance;
    bool in_data; /* the option before was --data, of several files */
    file_list data;
    symbols_asked symbols;
    long long window, batch;
} eval_arguments;

/* Measures the model on the files, and prints figures or scores of utterances. */
mt_status evaluate_files(const mt_checkpoint *checkpoint, const eval_arguments *given);

#endif
