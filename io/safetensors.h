/* Files of safetensors, the format of Hugging Face. What reads them is a source (io/source.h).
 * Internal. */
#ifndef MT_IO_SAFETENSORS_H
#define MT_IO_SAFETENSORS_H

#include "io/arrays.h"

/* Writes the arrays to a .safetensors file, atomically, with the metadata that transformers asks
 * for. */
mt_status mt_safetensors_write(const char *path, const mt_arrays *arrays);

#endif
