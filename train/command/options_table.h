/* The rows of the options of `mixtape train`, in the order of config.yaml and of the help: those of
 * the model come from mt_model_fields, the others stand in options_table.c. */
#ifndef MT_COMMAND_OPTIONS_TABLE_H
#define MT_COMMAND_OPTIONS_TABLE_H

#include <mixtape/model_fields.h>

#include "train/run_config.h"

typedef enum option_kind {
    WHOLE = MT_MODEL_SIZE,
    NUMBER = MT_MODEL_REAL,
    FLAG = MT_MODEL_FLAG,
    LABEL = MT_MODEL_LABEL,
    CHOICE = MT_MODEL_CHOICE,
    TEXT,
    FILES, /* a list, to which each value adds */
    LINES, /* a list of texts, to which each value, a file, adds its lines: they are what is kept */
    MODEL  /* stands for a row of mt_model_fields, which has the rest */
} option_kind;

typedef struct option_row {
    const char *name; /* MODEL: the field's; NULL: of every field that no row names, in order */
    option_kind kind;
    size_t offset;
    double least, most; /* WHOLE, NUMBER, LABEL: both included */
    mt_choice_name choice;
    const char *initial; /* the default, as text; NULL: options_defaults has it */
    const char *argument, *help;
    bool fixed;          /* what a run began with; --resume does not change it */
    const char *tasks;   /* "a|b|c" that read it; NULL: all */
    const char *heading; /* the first of a group of the help */
    bool negated;        /* the field is false where the flag is given */
    const char *alias;   /* another name on the command line, or NULL */
} option_row;

enum { MOST_ROWS = 96 };

/* Row i, or NULL where there is none. */
const option_row *option_row_at(int i);

#endif
