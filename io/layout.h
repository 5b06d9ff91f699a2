/* Layouts: under which names other programs keep the same parameters. */
#ifndef MT_IO_LAYOUT_H
#define MT_IO_LAYOUT_H

#include "../layers/parameter.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_LAYOUT_RULES = 4 };

/* Parameters whose name begins with `ours` are kept with `theirs` in its place; theirs NULL: they
 * have no place there. The first rule that fits counts. */
typedef struct mt_layout_rule {
    const char *ours, *theirs;
} mt_layout_rule;

typedef struct mt_layout {
    const char *name, *help;
    mt_layout_rule rules[MT_LAYOUT_RULES]; /* ends with the rule for "", which fits every name */
} mt_layout;

/* Every layout; ends with one whose name is NULL. */
extern const mt_layout mt_layouts[];

/* MT_ERROR_INVALID lists the names. */
mt_status mt_layout_parse(const char *name, const mt_layout **layout);

/* The parameter's name in the layout, in `theirs`; false if it has no place there. */
bool mt_layout_name(const mt_layout *layout, const char *ours, char theirs[MT_NAME_MAX]);

#ifdef __cplusplus
}
#endif

#endif
