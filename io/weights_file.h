/* The file behind weights that were opened, and what the files that implement weights.h, part.h and
 * checkpoint.h share. Internal. */
#ifndef MT_IO_WEIGHTS_FILE_H
#define MT_IO_WEIGHTS_FILE_H

#include <mixtape/model_fields.h>
#include <mixtape/weights.h>

#include "io/source.h"

/* What neither names nor shapes nor a configuration told of a model. */
typedef struct mt_assumed {
    bool eps, partial, context_size;
} mt_assumed;

enum { MT_ASSUMED_TEXT = 96 };

typedef struct mt_weights_file {
    char *path;
    mt_archive *archive; /* of an HDF5 file, else NULL */
    mt_source *source;   /* of the values */
    bool describes;      /* it has the model's configuration, beside names and shapes; */
    mt_assumed assumed;  /* what else of it was assumed, */
    char assumed_text[MT_ASSUMED_TEXT]; /* and that in words */
    bool is_model;                      /* it is to be the model of an adapter */

    /* Of an adapter's file: the model that it is of, which may be in another place than it says
     * (NULL: not), and what the file holds itself. Else NULL. */
    const char *asked_model;
    mt_weights *model, *own;
} mt_weights_file;

/* What of a configuration is assumed, in words: "eps 1e-05, context_size 1024"; "" for nothing. */
void mt_assumed_in_words(const mt_assumed *assumed, const mt_model_config *config,
                         char text[MT_ASSUMED_TEXT]);

/* A format: what files of it hold, and how they are read and written. */
typedef struct mt_format {
    const char *name;
    enum { MT_HDF5, MT_SAFETENSORS, MT_FOLDER } container;
    const char *attribute; /* the root's `format`, or NULL where there is none */
    bool is_checkpoint;    /* it may hold parameters that are no model's */

    /* Fills in what weights are, and where their values come from. The archive is open, or, of
     * .safetensors files, the source. */
    mt_status (*describe)(mt_weights *weights);

    /* Writes the arrays of weights in a layout; NULL: mt_weights_export does not write it. */
    mt_status (*write)(const mt_weights *weights, const mt_layout *layout, const mt_arrays *arrays,
                       mt_stored_type stored, const char *path);
} mt_format;

/* The format of the file that is open. */
mt_status mt_format_find(const mt_weights_file *file, const mt_format **format);

/* The one that a file of this name, or a folder, is written in where the layout is this. */
const mt_format *mt_format_of_name(const char *path, const mt_layout *layout);

/* Opens a file's container, which is told by its first bytes, or a folder of Hugging Face's. On
 * failure nothing stays open. */
mt_status mt_weights_file_open(const char *path, mt_weights_file *file);
void mt_weights_file_close(mt_weights_file *file);

/* Weights of another program: the layout is found by the names, the sizes by the shapes.
 * MT_ERROR_FORMAT with the name, the shape found and the shape expected for what does not fit: no
 * layout's names, names of two, one missing or unknown, another shape. Of a file that holds more
 * than the model (mt_layout.part_of_more) the rest is not read. */
mt_status mt_foreign_describe(mt_weights *weights);

/* A model's configuration as attributes of a group, and back: checked, too
 * (mt_model_config_check). */
void mt_model_attributes_write(mt_archive *archive, const char *group,
                               const mt_model_config *config, mt_dtype dtype);
void mt_model_attributes_read(mt_archive *archive, const char *group, mt_model_config *config,
                              mt_dtype *dtype);

/* A text attribute that is one of some names, as its number; 0 and a failure for another. */
int mt_archive_read_choice(mt_archive *archive, const char *group, const char *name,
                           mt_choice_name choice);

/* The root's `format` of Mixtape's own files. */
#define MT_CHECKPOINT_FORMAT "mixtape-checkpoint"
#define MT_EXCHANGE_FORMAT   "mixtape-weights"

/* What the table of formats has of them (mt_format). */
mt_status mt_native_describe_checkpoint(mt_weights *weights);
mt_status mt_native_describe_exchange(mt_weights *weights);
mt_status mt_native_write_exchange(const mt_weights *weights, const mt_layout *layout,
                                   const mt_arrays *arrays, mt_stored_type stored,
                                   const char *path);

/* Begins one of Mixtape's own files: the root's format, version and tokens (NULL: none). */
mt_status mt_native_create(const char *path, const char *format, const mt_token_list *tokens,
                           mt_archive **archive);

/* Fail unless the root has the version that this program reads, and this format. */
mt_status mt_native_check_version(mt_archive *archive);
mt_status mt_native_check_format(mt_archive *archive, const char *format);

/* The root's token list, which must be as long as the vocabulary; NULL where there is none. */
mt_token_list *mt_native_read_tokens(mt_archive *archive, int64_t vocab_size);

/* A group must hold the arrays of parameters, of their type, by the names of a layout (NULL: our
 * own), and nothing else. */
mt_status mt_native_check(mt_archive *archive, const char *group, const mt_parameters *parameters,
                          const mt_layout *layout);

/* Weights over the parameters of a model or of a program's own (`config` NULL), which outlive them.
 * Only the file is to be closed (mt_weights_file_close). */
mt_status mt_weights_of(const mt_parameters *parameters, const mt_model_config *config,
                        const mt_token_list *tokens, mt_weights_file *file, mt_weights *weights);

/* Weights of nothing yet; and those that an adapter is of, which no adapter's file holds. */
mt_status mt_weights_create(const char *path, mt_weights **weights);
mt_status mt_weights_open_model(const char *path, mt_weights **weights);

/* A file's weights, which must be just these parameters, a model's or not: of a checkpoint, or of
 * arrays by the parameters' own names, which mt_own_describe checks. */
mt_status mt_own_describe(mt_weights *weights);
mt_status mt_weights_open_own(const char *path, const mt_parameters *own, mt_weights **weights);

/* The name that a parameter has in a layout (NULL: our own). */
const char *mt_name_in_layout(const mt_layout *layout, const char *ours, char name[MT_NAME_MAX]);

/* The name that a parameter has in the file. */
const char *mt_weights_name(const mt_weights *weights, const mt_parameter *parameter,
                            char name[MT_NAME_MAX]);

/* The parameter as an array of the file, for as long as the parameter lives. */
mt_array mt_weights_array(const mt_weights *weights, const mt_parameter *parameter);

/* Adds it to arrays that are to be written, under another name. */
mt_status mt_weights_add(const mt_weights *weights, const mt_parameter *parameter, const char *name,
                         mt_arrays *arrays);

/* Where a value for each parameter of weights comes from: their own, or a checkpoint's moments. */
typedef struct mt_values {
    mt_source *source;
    const char *group;   /* of the checkpoint; NULL for weights */
    bool never_negative; /* or they are refused */
} mt_values;

mt_values mt_weights_values(const mt_weights *weights);

/* Reads and checks every value (mt_array_check_values). */
mt_status mt_weights_check_values(const mt_weights *weights, const mt_values *values);

/* The check of mt_weights_begin, and of mt_weights_begin_grown where the model may have more
 * labels: more rows of what has one for each (mt_has_row_per_label). */
mt_status mt_weights_check_begin(const mt_weights *weights, const mt_parameters *parameters,
                                 bool may_grow);
bool mt_has_row_per_label(const char *name);

/* Hands them out by the names of the weights, of the parameters' type: n of them for the elements
 * of the parameters' blocks from `first` on, until `put` fails. They are checked on their way. */
typedef mt_status mt_put_values(void *context, int64_t first, int64_t n, const void *values);
mt_status mt_weights_hand_out(const mt_weights *weights, const mt_values *values,
                              const mt_parameters *parameters, mt_put_values *put, void *context);

/* Gives parameters the weights' own: on failure some are in place. And the same when all have been
 * checked, before the first of them is. */
mt_status mt_weights_fill(const mt_weights *weights, mt_parameters *parameters);
mt_status mt_weights_check_and_fill(const mt_weights *weights, mt_parameters *parameters);

/* mt_weights_model, of a type of which theirs is mt_dtype_wide. */
mt_status mt_weights_model_as(const mt_weights *weights, mt_device *device, mt_dtype dtype,
                              mt_model **model);

/* mt_weights_restore and mt_weights_begin for a model that was reserved (layers/layer.h), and that
 * is given up where they fail: every value is read once, and only those that the weights lack are
 * drawn, as mt_model_create draws them from this seed. */
mt_status mt_weights_restore_new(const mt_weights *weights, mt_model *model);
mt_status mt_weights_begin_new(const mt_weights *weights, mt_model *model, uint64_t seed,
                               bool may_grow);

/* Gives the rows that only the parameters have, one for each label, the mean of the weights'. */
mt_status mt_weights_grow(const mt_weights *weights, const mt_parameters *parameters);

/* Checks that parameters are just those of the weights; and of the same type, too. */
mt_status mt_weights_check_shapes(const mt_weights *weights, const mt_parameters *parameters);
mt_status mt_weights_check_fit(const mt_weights *weights, const mt_parameters *parameters);

/* Checks that a model of this configuration computes and learns what that of the weights did, as
 * far as the file tells and no parameter's name or shape does: its norm with its eps and partial,
 * its padding row. */
mt_status mt_weights_check_config(const mt_weights *weights, const mt_model_config *config);

/* Adds a group's arrays to an archive, values and all. */
void mt_archive_write_arrays(mt_archive *archive, const char *group, const mt_arrays *arrays);

/* The tensor whose shape an array of this name must have, or NULL if there is none. */
typedef const mt_tensor *mt_find_tensor(const void *context, const char *name);

/* Reads the arrays of a file into memory; writes a file of arrays, atomically, with no more than
 * them: .safetensors where `path` ends so, else HDF5. An array that has no tensor, or not its
 * shape, is MT_ERROR_FORMAT before anything is read; where `find` is NULL all are read. */
mt_status mt_arrays_read(const char *path, mt_find_tensor *find, const void *context,
                         mt_arrays *arrays);
mt_status mt_arrays_write(const char *path, const mt_arrays *arrays);

/* Writes the arrays to a .safetensors file, atomically, and the configuration of the model whose
 * weights they are, unless it is NULL. What reads one is a source (io/source.h). */
mt_status mt_safetensors_write(const char *path, const mt_arrays *arrays, mt_stored_type stored,
                               const mt_model_config *config);

#endif
