/* What stands around the names of a layout in files of other programs, and what Hugging Face's tell
 * beside a file. Internal. */
#ifndef MT_IO_FOREIGN_NAMES_H
#define MT_IO_FOREIGN_NAMES_H

#include "io/source.h"

/* Replaces a file's source by one whose names are those of a layout: without the prefixes that
 * wrappers of modules put before each name, with the "rwkv." that a bare RwkvModel of Hugging Face
 * lacks, and with the head of a model of theirs that is tied, which is the embedding. Where there
 * is nothing to do the source stays. */
mt_status mt_source_unwrap(const char *path, mt_source **source);

/* Of the config.json beside a file of weights, if there is one of a model of type rwkv, whether the
 * head is the embedding, and the norm's eps: what is not told stays as it is. MT_ERROR_FORMAT for a
 * file that is no configuration. */
typedef struct mt_hf_config {
    bool tied;
    double eps;
} mt_hf_config;
mt_status mt_hf_config_read(const char *weights_path, mt_hf_config *config);

#endif
