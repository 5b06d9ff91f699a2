/* Weights: what every file of a model holds, whoever wrote it. A configuration, named arrays, where
 * there are any the tokens that its labels stand for, and the layout of its names.
 *
 * Opening a file finds by what it holds whether it is a checkpoint or an exchange file of Mixtape's
 * own, or weights of another program, HDF5 or safetensors; their layout is then found by the names
 * and their sizes by the shapes. Everything but the values is checked (format, version, every name,
 * shape and type, nothing unknown). The values stay in the file and are read when they are asked
 * for, some megabytes at a time: neither a model of them nor a conversion needs a second copy in
 * memory. Then they are checked, too: one that is damaged or not finite is MT_ERROR_FORMAT, with
 * the file, the array and the element. docs/file-formats.md describes the files.
 *
 * HDF5 is not safe from two threads: a program has one of them at a time save or load, and use HDF5
 * for itself.
 *
 * HDF5 is written by libhdf5 in the program's own process, which it crashes or ends in places where
 * it has no memory; this holds for checkpoints, parts and states of streams, too. What the name
 * held stays, and what was begun beside it goes with the next save. Safetensors and folders of
 * Hugging Face's are written without libhdf5: there a lack of memory is MT_ERROR_MEMORY. */
#ifndef MIXTAPE_WEIGHTS_H
#define MIXTAPE_WEIGHTS_H

#include <mixtape/adapter.h>
#include <mixtape/api.h>
#include <mixtape/layout.h>
#include <mixtape/model.h>
#include <mixtape/token_list.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* HDF5 files are read by libhdf5, which a crafted file can crash, or make run what it holds. Once a
 * program has chosen so, each file of weights that it opens is read in a child process of its own,
 * within limits of memory and time that the file's length sets; the child ends when the file is
 * closed. If it crashes that is MT_ERROR_FORMAT, if it lacks memory MT_ERROR_MEMORY. Otherwise, as
 * at first, whoever made an HDF5 file is trusted as if he had made the program. Files of
 * safetensors need no child.
 *
 * A program calls this once, before it opens files, and opens them before it starts threads, if it
 * can. It waits for no children but its own, and has no file that it opens here open through HDF5
 * itself at the time. */
MT_API void mt_weights_read_apart(bool apart);

/* From now on reading and writing of weights stops between two pieces of some megabytes once
 * `is_over` says so: MT_ERROR_IO "interrupted", and nothing of what was begun is left. For programs
 * that a signal ends; any thread that reads or writes asks. NULL, as at first: never. */
MT_API void mt_weights_stop_when(bool (*is_over)(void));

/* A tokenizer's file, as it is: labels are what it makes of text. */
typedef struct mt_tokenizer_file {
    char *bytes; /* with a zero byte behind them; NULL: there is none */
    size_t size;
} mt_tokenizer_file;

typedef struct mt_weights {
    mt_model_config config;
    mt_dtype dtype;
    /* Our own names, of which mt_layout_name has the file's, and shapes; nothing is allocated for
     * their values. */
    mt_parameters *parameters;
    mt_token_list *tokens;        /* or NULL */
    mt_tokenizer_file tokenizer;  /* that was kept with them */
    const mt_layout *layout;      /* or NULL for a checkpoint, whose names are Mixtape's own */
    mt_adapter_config *adapter;   /* that is part of them, else NULL */
    struct mt_weights_file *file; /* the library's own */
} mt_weights;

/* Of what neither names nor shapes nor a configuration told: what was assumed, in words ("eps
 * 1e-05, context_size 1024"); "" where there is nothing. */
MT_API const char *mt_weights_assumed(const mt_weights *weights);

/* `path` is a file, or a folder of Hugging Face's: config.json with model.safetensors, or with
 * shards and model.safetensors.index.json. MT_ERROR_IO, MT_ERROR_FORMAT with file, object and
 * figures, MT_ERROR_MEMORY. A .safetensors file's header has at most 16 MiB, a parameter's name
 * less than MT_NAME_MAX bytes. The caller closes what it gets; on failure that is NULL. */
MT_API mt_status mt_weights_open(const char *path, mt_weights **weights);
/* Of an adapter's file these are the weights of the model that it was trained beside, which must be
 * where it says, with LoRA added to them; a tuned state goes to the model that is made of them
 * (mt_weights_model, mt_weights_restore), which is then frozen. MT_ERROR_INVALID where the model
 * has other weights, as far as the first 1024 values of each parameter tell, or is an adapter
 * itself. The second opens an adapter whose model is in another place, `model`. */
MT_API mt_status mt_weights_open_adapted(const char *path, const char *model, mt_weights **weights);
MT_API void mt_weights_close(mt_weights *weights); /* NULL is allowed */

/* Reads and checks every value, for who does nothing else with them. */
MT_API mt_status mt_weights_check(const mt_weights *weights);

/* Reads `rows` steps of the first dimension of a parameter (a scalar has one), from `first` on, as
 * reals of the weights' type. `parameter` is one of weights->parameters. Where an HDF5 file cannot
 * be read, or has changed, it fails and so does every later call for it. */
MT_API mt_status mt_weights_read(const mt_weights *weights, const mt_parameter *parameter,
                                 int64_t first, int64_t rows, void *values);

/* Makes of weights the mean of themselves and of `count` others, value by value, in double and
 * rounded once, for whatever reads them next: mt_weights_model, mt_weights_export,
 * mt_checkpoint_convert. The others stay open as long, and are not changed. MT_ERROR_INVALID, with
 * the file and the figures, for others of another norm, padding, type, or of other names, shapes or
 * tokens; nothing is changed then. */
MT_API mt_status mt_weights_average(mt_weights *weights, int count, mt_weights *const *others);

/* What a parameter's values differ in between two files. */
typedef struct mt_difference {
    const char *name;       /* Mixtape's own */
    const mt_tensor *a, *b; /* its shapes; NULL where a file has none. Of shapes that differ there
                               is nothing more: */
    int64_t unequal;        /* values that differ */
    double largest, mean;   /* of what they differ by */
    int64_t at;             /* the value that differs most */
} mt_difference;

/* Calls `see` for each parameter of `a`, and for those that `b` has alone, until it fails. */
typedef mt_status (*mt_see_difference)(void *context, const mt_difference *difference);
MT_API mt_status mt_weights_compare(const mt_weights *a, const mt_weights *b, mt_see_difference see,
                                    void *context);

/* Makes a model of them. The caller destroys it. */
MT_API mt_status mt_weights_model(const mt_weights *weights, mt_device *device, mt_model **model);

/* Gives the bits to a model of the same parameters and type, and of the same norm, eps and padding
 * where the file tells them. MT_ERROR_INVALID where they do not fit, with the first thing that
 * differs, before anything is changed, and MT_ERROR_FORMAT for wrong values, too: this and the two
 * below read them twice, once to check them. */
MT_API mt_status mt_weights_restore(const mt_weights *weights, mt_model *model);

/* Gives a model the values of the parameters that bear the same names, converted to its type. A
 * head that the weights lack keeps its values; anything else that is missing, left over or of
 * another shape is MT_ERROR_INVALID, with the name and the shapes, before anything is changed. So
 * are weights with a tuned state. */
MT_API mt_status mt_weights_begin(const mt_weights *weights, mt_model *model);

/* The same for a model that may have more labels than the weights: their rows of the embedding and
 * the head begin as the mean of the others, but for a row of padding. */
MT_API mt_status mt_weights_begin_grown(const mt_weights *weights, mt_model *model);

/* The type of the numbers in a file: the weights' own, or another, to which they are rounded. */
typedef enum mt_stored_type {
    MT_STORED_AS_IS,
    MT_STORED_F32,
    MT_STORED_F16, /* binary16 */
    MT_STORED_BF16,
    MT_STORED_TYPES
} mt_stored_type;

/* Saves weights in a layout, atomically (what is new is written beside `path`, flushed to the disk,
 * and renamed): a .safetensors file where `path` ends so (without configuration and tokens), HDF5
 * where it ends in .h5 or .hdf5, else a folder with config.json where the layout is Hugging Face's,
 * and HDF5 in other layouts. HDF5 is MT_STORED_AS_IS. A folder takes the place of an empty one, but
 * of nothing else. Where the layout has biases and the model none, zeros are written.
 * MT_ERROR_INVALID where the layout cannot hold the model; MT_ERROR_NUMERIC, with the element, for
 * a value that is not finite, or that the type cannot hold. The first converts what was opened,
 * NULL to the file's own layout, which a checkpoint lacks (MT_ERROR_INVALID); so does the second,
 * as it is; the third saves a model's, with `tokens` or NULL. */
MT_API mt_status mt_weights_export(const mt_weights *weights, const char *path,
                                   const mt_layout *layout, mt_stored_type stored);
MT_API mt_status mt_weights_convert(const mt_weights *weights, const char *path,
                                    const mt_layout *layout);
MT_API mt_status mt_weights_save(const char *path, const mt_model *model, const mt_layout *layout,
                                 const mt_token_list *tokens);

/* Saves parameters, a model's or a program's own, atomically and with nothing beside them: an array
 * for each, by its name, in a .safetensors file where `path` ends so, else in HDF5.
 * MT_ERROR_NUMERIC, with the element, for a value that is not finite. */
MT_API mt_status mt_parameters_save(const char *path, const mt_parameters *parameters);

/* Gives parameters the values of such a file, of whichever type, or of a checkpoint that holds just
 * them, with an optimiser or without: to use what was trained. MT_ERROR_FORMAT, with the name, for
 * what is missing, unknown, of another shape or not finite, before anything is changed. */
MT_API mt_status mt_parameters_load(const char *path, mt_parameters *parameters);

#ifdef __cplusplus
}
#endif

#endif
