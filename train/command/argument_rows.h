/* The options of a verb as a table: each row has its name, its help and where its value goes, and
 * argp's table and its parser are made of them. */
#ifndef MT_COMMAND_ARGUMENT_ROWS_H
#define MT_COMMAND_ARGUMENT_ROWS_H

#include <mixtape/error.h>

#include <argp.h>
#include <stddef.h>

typedef enum argument_kind {
    GIVEN_FLAG,  /* a bool, true where it is given */
    GIVEN_TEXT,  /* a const char * */
    GIVEN_TEXTS, /* a file_list, to which each adds one */
    GIVEN_WHOLE, /* an int64_t */
    GIVEN_REAL   /* a double */
} argument_kind;

typedef struct argument_row {
    const char *name;
    argument_kind kind;
    size_t offset;      /* of the value, in what the parser writes to */
    double least, most; /* of numbers: both included */
    const char *argument, *help;
    const char *alias; /* another name, or NULL */
} argument_row;

enum { MOST_ARGUMENT_ROWS = 32 };

/* The options of rows, which end with one without a name, for argp. Static memory, of one table. */
const struct argp_option *argument_options(const argument_row *rows);

/* For a parser, of the key of such an option: sets the value. ARGP_ERR_UNKNOWN for another key;
 * ends the program where the text is none of the row's values. */
error_t argument_set(const argument_row *rows, int key, const char *text, void *given);

#endif
