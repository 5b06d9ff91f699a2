/* A model in a folder as Hugging Face keeps it: config.json, and the weights in model.safetensors
 * or in several files, the shards, of which model.safetensors.index.json tells what is where.
 * Internal. */
#ifndef MT_IO_HF_FOLDER_H
#define MT_IO_HF_FOLDER_H

#include "io/source.h"

/* The arrays of all shards. MT_ERROR_FORMAT, with the name, for a configuration of another model,
 * for weights in a form that is not read, for an index that names what is not in its shard, or a
 * shard that is not in the folder, and for a shard that has what the index does not place there. */
mt_status mt_hf_folder_source(const char *folder, mt_source **source);

#endif
