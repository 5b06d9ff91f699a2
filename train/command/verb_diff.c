/* mixtape diff A B */
#include <mixtape/model_fields.h>

#include "io/weights_file.h"
#include "train/command/arguments.h"
#include "train/command/field_text.h"
#include "train/command/lines.h"
#include "train/command/session.h"
#include "train/command/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct arguments {
    argument_list files;
    bool all, last;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *given = state->input;
    switch (key) {
    case LONG_ONLY + 'a':
        given->all = true;
        return 0;
    case LONG_ONLY + 'l':
        given->last = true;
        return 0;
    default:
        return parse_several(key, text, state, &given->files);
    }
}

/* What was found. */
typedef struct differences {
    const arguments *given;
    int64_t parameters, differing; /* and in how many of them */
} differences;

static void print_shapes(const mt_difference *found)
{
    char a[96] = "none", b[96] = "none";
    if (found->a != NULL) {
        mt_tensor_shape_text(found->a, a, sizeof a);
    }
    if (found->b != NULL) {
        mt_tensor_shape_text(found->b, b, sizeof b);
    }
    printf("  %-48s %s, in the second %s\n", found->name, a, b);
}

static mt_status see(void *context, const mt_difference *found)
{
    differences *all = context;
    bool have = found->a != NULL && found->b != NULL;
    bool comparable = have && mt_tensor_same_shape(found->a, found->b);
    char shape[96];
    all->parameters++;
    all->differing += !comparable || found->unequal > 0;
    if (!comparable) {
        print_shapes(found);
    } else if (found->unequal > 0) {
        printf("  %-48s %-16s largest %.4g at %" PRId64 ", mean %.4g, %" PRId64 " values\n",
               found->name, mt_tensor_shape_text(found->a, shape, sizeof shape), found->largest,
               found->at, found->mean, found->unequal);
    } else if (all->given->all) {
        printf("  %-48s %-16s the same\n", found->name,
               mt_tensor_shape_text(found->a, shape, sizeof shape));
    }
    return MT_OK;
}

/* Tells if a field is the same in both, or of no matter to what the models compute. */
static bool is_same(const mt_model_field *field, const mt_model_config *a, const mt_model_config *b)
{
    bool is_partial = strcmp(field->name, "norm.partial") == 0;
    if (!field->of_weights || (is_partial && a->norm.kind != MT_RMS_NORM)) {
        return true;
    }
    return field->type == MT_MODEL_REAL
               ? mt_model_field_real(field, a) == mt_model_field_real(field, b)
               : mt_model_field_whole(field, a) == mt_model_field_whole(field, b);
}

/* Prints the fields in which two models' configurations differ, and returns how many. */
static int diff_configs(const mt_model_config *a, const mt_model_config *b)
{
    int count = a->vocab_size != b->vocab_size;
    if (count > 0) {
        printf("  %-48s %" PRId64 ", in the second %" PRId64 "\n", "vocab_size", a->vocab_size,
               b->vocab_size);
    }
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++) {
        if (!is_same(field, a, b)) {
            char of_a[FIELD_TEXT], of_b[FIELD_TEXT];
            printf("  %-48s %s, in the second %s\n", field->attribute, field_text(field, a, of_a),
                   field_text(field, b, of_b));
            count++;
        }
    }
    return count;
}

/* Prints the labels that stand for other tokens, and returns how many, where both files tell. */
static int32_t diff_tokens(const mt_token_list *a, const mt_token_list *b)
{
    int32_t count = 0;
    for (int32_t i = 0; a != NULL && b != NULL && i < a->count && i < b->count; i++) {
        if (strcmp(a->tokens[i], b->tokens[i]) != 0) {
            print_line(stdout, "  label %" PRId32 " is %s, in the second %s", i, a->tokens[i],
                       b->tokens[i]);
            count++;
        }
    }
    return count;
}

static mt_status diff(const arguments *given, const mt_weights *a, const mt_weights *b,
                      bool *differ)
{
    differences all = {.given = given};
    int fields = diff_configs(&a->config, &b->config);
    int32_t labels = diff_tokens(a->tokens, b->tokens);
    mt_status status = mt_weights_compare(a, b, see, &all);
    if (status == MT_OK) {
        printf("%" PRId64 " of %" PRId64
               " parameters differ, %d of the models' settings, and %" PRId32 " labels\n",
               all.differing, all.parameters, fields, labels);
    }
    *differ = fields > 0 || labels > 0 || all.differing > 0;
    return status;
}

int verb_diff(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"all", LONG_ONLY + 'a', NULL, 0, "Name what is the same, too", 0},
        {"last", LONG_ONLY + 'l', NULL, 0, "The last checkpoints of runs, instead of the best", 0},
        {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "A B",
        .doc = "Compares the weights of two runs or files of any layout, value by value, under "
               "Mixtape's own names. The exit status is 0 if they are the same, 1 if not, and 2 if "
               "they cannot be compared."};
    const char *files[2];
    arguments given = {.files = {files, .least = 2, .most = 2, .what = "files or runs"}};
    mt_checkpoint *loaded[2] = {NULL, NULL};
    bool differ = false;
    parse_arguments(&argp, argc, argv, &given);
    mt_status status = session_load_model(files[0], !given.last, &loaded[0]);
    if (status == MT_OK) {
        status = session_load_model(files[1], !given.last, &loaded[1]);
    }
    if (status == MT_OK) {
        status = diff(&given, loaded[0]->weights, loaded[1]->weights, &differ);
    }
    mt_checkpoint_destroy(loaded[1]);
    mt_checkpoint_destroy(loaded[0]);
    if (status != MT_OK) {
        report(status);
        return EXIT_USAGE;
    }
    return differ ? EXIT_FAILED : EXIT_DONE;
}
