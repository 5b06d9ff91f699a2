/* The format (github.com/huggingface/safetensors): eight bytes with the length of a JSON header,
 * the header, which gives each tensor's type, shape and place, and the data, which the tensors fill
 * without gap or overlap. Numbers are little-endian. The header may have metadata, which are texts
 * by names. Internal. */
#ifndef MT_IO_SAFETENSORS_H
#define MT_IO_SAFETENSORS_H

#include "io/weights_file.h"

#include <jansson.h>

enum { MT_SAFETENSORS_LENGTH = 8 }; /* bytes in front of the header */
#define MT_SAFETENSORS_METADATA "__metadata__"

/* The metadata that transformers asks for, and a model's configuration (NULL: none). The caller
 * releases them (json_decref). NULL: no memory. */
json_t *mt_safetensors_metadata(const mt_model_config *config);

/* Puts what the metadata of a source tell of a model in place of what was found of it, or assumed.
 * Names and shapes are not looked at. MT_ERROR_FORMAT for values that no model has; files of other
 * programs, and those before version 0.2, tell nothing. */
mt_status mt_safetensors_take_model(const char *path, mt_source *source, mt_model_config *config,
                                    mt_assumed *assumed);

#endif
