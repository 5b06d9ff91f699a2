/* Weights without Mixtape's attributes, from another program: the layout is found by the names, the
 * sizes by the shapes. Internal. */
#ifndef MT_IO_FOREIGN_H
#define MT_IO_FOREIGN_H

#include "arrays.h"
#include "checkpoint.h"

/* Fills in a checkpoint (config, dtype, described, data, layout) from the arrays of the file at
 * `path`. MT_ERROR_FORMAT with the name, the shape found and the shape expected for what does not
 * fit: no layout's names, names of two, one missing or unknown, another shape, values that are not
 * finite. */
mt_status mt_foreign_read(const char *path, const mt_arrays *arrays, mt_checkpoint *checkpoint);

#endif
