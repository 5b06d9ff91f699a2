/* Weights without Mixtape's attributes, from another program: the layout is found by the names, the
 * sizes by the shapes. Internal. */
#ifndef MT_IO_FOREIGN_H
#define MT_IO_FOREIGN_H

#include <mixtape/checkpoint.h>

/* Fills in a checkpoint (config, dtype, described, data, layout) from a file, HDF5 or .safetensors.
 * MT_ERROR_FORMAT with the name, the shape found and the shape expected for what does not fit: no
 * layout's names, names of two, one missing or unknown, another shape, values that are not finite.
 * Of a file that holds more than the model (mt_layout.part_of_more) the rest is not read. */
mt_status mt_foreign_load(const char *path, mt_checkpoint *checkpoint);

#endif
