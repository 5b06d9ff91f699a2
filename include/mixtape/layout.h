/* Layouts: under which names other programs keep the same parameters. A layout is a table with one
 * row for each pattern of names. */
#ifndef MIXTAPE_LAYOUT_H
#define MIXTAPE_LAYOUT_H

#include <mixtape/api.h>
#include <mixtape/model.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_LAYOUT_RULES = 28 };

/* A parameter's fate in a layout. */
typedef enum mt_layout_place {
    MT_PLACED,      /* it has a name there */
    MT_LEFT_OUT,    /* it has no place there, and is not missed */
    MT_MUST_BE_ZERO /* it has no place there, and can be left out only where it is all zeros */
} mt_layout_place;

/* `ours` is the beginning of a parameter's name (all of it, unless it ends in '.' or is empty) and
 * `theirs` what stands in its place; N in both is a block's number. The first rule that fits
 * counts. */
typedef struct mt_layout_rule {
    const char *ours, *theirs;
    mt_layout_place place;
} mt_layout_rule;

typedef struct mt_layout {
    const char *name, *help;
    const char *with_head;   /* the layout of the same names and a head, or NULL */
    bool part_of_more;       /* a file may hold other names beside those of the model */
    bool real_valued;        /* it has a place for models of real-valued input */
    bool layer_norm_alone;   /* it has no other norm */
    bool head_of_vocabulary; /* it has no model without a head over the vocabulary, */
    bool may_lack_head;      /* but one without any */
    bool pads;               /* row 0 of the embedding is the padding row */
    bool biases;             /* projections and heads have biases: zeros where a model has none */
    bool eps_is_fixed;       /* a model of another layer_norm's eps is another function there */
    bool config_beside;      /* a config.json beside a file tells the eps that its model has */
    double eps;              /* of its layer_norm, unless that is told */
    mt_layout_rule rules[MT_LAYOUT_RULES]; /* ends with a rule whose `ours` is NULL */
} mt_layout;

/* Every layout; ends with one whose name is NULL. */
MT_API extern const mt_layout mt_layouts[];

/* MT_ERROR_INVALID lists the names. */
MT_API mt_status mt_layout_parse(const char *name, const mt_layout **layout);

/* Tells what becomes of our parameter; where it is MT_PLACED, `theirs` receives its name. */
MT_API mt_layout_place mt_layout_name(const mt_layout *layout, const char *ours,
                                      char theirs[MT_NAME_MAX]);

/* Tells if a name of a file begins as the layout's names do. */
MT_API bool mt_layout_owns(const mt_layout *layout, const char *theirs);

/* MT_ERROR_INVALID, with what it cannot hold, if a model of this configuration has no place in the
 * layout. */
MT_API mt_status mt_layout_check(const mt_layout *layout, const mt_model_config *config);

/* The configuration of what the layout keeps of a model: without a head or biases that it has no
 * place for, with the biases that it adds. */
MT_API mt_model_config mt_layout_kept(const mt_layout *layout, const mt_model_config *config);

#ifdef __cplusplus
}
#endif

#endif
