/* Adapters in files: HDF5 as a checkpoint, whose group /adapter has what was trained, and says
 * which file holds the model beside which it was. Internal. */
#ifndef MT_IO_ADAPTER_FILE_H
#define MT_IO_ADAPTER_FILE_H

#include <mixtape/adapter.h>

#include "io/weights_file.h"

#define MT_ADAPTER_FORMAT "mixtape-adapter"
#define MT_ADAPTER_GROUP  "/adapter"

/* An adapter, and whose it is. */
typedef struct mt_adapter_origin {
    mt_adapter_config config;
    mt_model_config of; /* the model's configuration as it was trained with, which the model's file
                           need not tell */
    const char *model;  /* the file of the model, by its whole path */
    int64_t weights;    /* mt_weights_fingerprint of it */
} mt_adapter_origin;

/* A sum by which weights are known again: of the first 1024 values of each parameter, as the file
 * has them. To read all of them would take longer than what is small. */
enum { MT_FINGERPRINT_VALUES = 1024 };
mt_status mt_weights_fingerprint(const mt_weights *weights, int64_t *print);

/* What an adapter's file says of the weights that a model was made of: their file by its whole
 * path, which the caller frees, and their fingerprint. They are those that were opened, whatever
 * has the name by now. MT_ERROR_INVALID for an adapter, and where the path is not UTF-8. */
mt_status mt_weights_note(const mt_weights *weights, char **path, int64_t *print);

/* The origin as attributes of the group, among which are those of a model. */
void mt_adapter_attributes_write(mt_archive *archive, const mt_adapter_origin *origin,
                                 mt_dtype dtype);

/* What the table of formats has of such files: the weights are the model's, with LoRA added to
 * them, and the configuration is that of the file. */
mt_status mt_adapter_describe_file(mt_weights *weights);

/* The model's values, by our own names and of the type of the adapter's own, with LoRA added to
 * them. The weights outlive it. */
mt_status mt_adapted_source(const mt_weights *model, const mt_weights *own,
                            const mt_adapter_config *config, mt_source **source);

/* Refuses to leave a tuned state out of what is written or begun. */
mt_status mt_weights_check_whole(const mt_weights *weights, const char *what);

/* The tuned state that weights have beside them, as weights of which only parameters, type and
 * values are; NULL where they have none. */
const mt_weights *mt_weights_tuned(const mt_weights *weights);

/* Gives a model the state that weights have beside them, if they have one. */
mt_status mt_weights_begin_tuned(const mt_weights *weights, mt_model *model);

#endif
