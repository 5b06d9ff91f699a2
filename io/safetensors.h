/* Files of safetensors, the format of Hugging Face. Internal. */
#ifndef MT_IO_SAFETENSORS_H
#define MT_IO_SAFETENSORS_H

#include "arrays.h"

/* mt_arrays_read, of a .safetensors file. MT_ERROR_FORMAT, with the tensor and the figures, for a
 * header that does not describe the file byte for byte. */
mt_status mt_safetensors_read(const char *path, mt_arrays_choose *choose, void *context,
                              mt_arrays *arrays);

/* Writes the arrays to a .safetensors file, atomically, with the metadata that transformers asks
 * for. */
mt_status mt_safetensors_write(const char *path, const mt_arrays *arrays);

#endif
