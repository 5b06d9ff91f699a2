/* Figures that a verb shows, for people as lines of a name and a value, for programs as JSON. */
#ifndef MT_COMMAND_FIGURES_H
#define MT_COMMAND_FIGURES_H

#include <mixtape/error.h>

#include <stdbool.h>

enum { MOST_FIGURES = 24 };

typedef struct figure_list {
    int count;
    struct {
        const char *name;
        double value;
        int decimals; /* 0: a count */
    } items[MOST_FIGURES];
} figure_list;

void figures_add(figure_list *figures, const char *name, double value, int decimals);

/* Prints them on standard output; JSON as an object, beside texts of the names and values that
 * `texts` lists, which ends with NULL. There a figure that is not finite is null. */
mt_status figures_print(const figure_list *figures, bool as_json, const char *const *texts);

#endif
