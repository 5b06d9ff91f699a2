#include "train/command/argument_rows.h"

#include "train/command/arguments.h"
#include "train/file_list.h"

#include <stdbool.h>
#include <stdint.h>

enum { FIRST_KEY = LONG_ONLY };

const struct argp_option *argument_options(const argument_row *rows)
{
    static struct argp_option table[2 * MOST_ARGUMENT_ROWS + 1];
    struct argp_option *next = table;
    for (int i = 0; i < MOST_ARGUMENT_ROWS && rows[i].name != NULL; i++) {
        *next++ = (struct argp_option){.name = rows[i].name,
                                       .key = FIRST_KEY + i,
                                       .arg = rows[i].argument,
                                       .doc = rows[i].help};
        if (rows[i].alias != NULL) {
            *next++ = (struct argp_option){.name = rows[i].alias, .flags = OPTION_ALIAS};
        }
    }
    *next = (struct argp_option){0};
    return table;
}

static mt_status set_whole(const argument_row *row, const char *text, int64_t *value)
{
    long long read = 0;
    mt_status status =
        parse_whole(row->name, text, (long long)row->least, (long long)row->most, &read);
    *value = read;
    return status;
}

static mt_status set(const argument_row *row, const char *text, void *value)
{
    switch (row->kind) {
    case GIVEN_FLAG:
        *(bool *)value = true;
        break;
    case GIVEN_TEXT:
        *(const char **)value = text;
        break;
    case GIVEN_TEXTS:
        return file_list_add(value, text);
    case GIVEN_WHOLE:
        return set_whole(row, text, value);
    case GIVEN_REAL:
        return parse_real(row->name, text, row->least, row->most, value);
    }
    return MT_OK;
}

error_t argument_set(const argument_row *rows, int key, const char *text, void *given)
{
    for (int i = 0; rows[i].name != NULL; i++) {
        if (key == FIRST_KEY + i) {
            return parsed(set(&rows[i], text, (char *)given + rows[i].offset));
        }
    }
    return ARGP_ERR_UNKNOWN;
}
