#include "train/command/figures.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

void figures_add(figure_list *figures, const char *name, double value, int decimals)
{
    if (figures->count < MOST_FIGURES) {
        figures->items[figures->count].name = name;
        figures->items[figures->count].value = value;
        figures->items[figures->count++].decimals = decimals;
    }
}

static json_t *json_of(double value, int decimals)
{
    return !isfinite(value) ? json_null()
           : decimals > 0   ? json_real(value)
                            : json_integer((json_int_t)value);
}

static mt_status print_json(const figure_list *figures, const char *const *texts)
{
    json_t *object = json_object();
    int failed = object == NULL;
    for (; *texts != NULL; texts += 2) { /* a name that is no text is left out */
        json_t *text = json_string(texts[1]);
        failed |= text != NULL && json_object_set_new(object, texts[0], text) != 0;
    }
    for (int i = 0; i < figures->count; i++) {
        failed |= json_object_set_new(object, figures->items[i].name,
                                      json_of(figures->items[i].value, figures->items[i].decimals));
    }
    failed = failed || json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) != 0;
    printf("\n");
    json_decref(object);
    return failed && !ferror(stdout) ? mt_fail(MT_ERROR_MEMORY, "no memory for JSON") : MT_OK;
}

mt_status figures_print(const figure_list *figures, bool as_json, const char *const *texts)
{
    if (as_json) {
        return print_json(figures, texts);
    }
    for (int i = 0; i < figures->count; i++) {
        printf("%s %.*f\n", figures->items[i].name, figures->items[i].decimals,
               figures->items[i].value);
    }
    return MT_OK;
}
