/* What stands around the names of a layout in files of other programs, and names of models that are
 * not RWKV-4. Internal. */
#ifndef MT_IO_FOREIGN_NAMES_H
#define MT_IO_FOREIGN_NAMES_H

#include "io/source.h"

/* Replaces the source of a file, or folder, by one whose names are those of a layout: without what
 * wrappers of modules put before each name or before parts of it, with the "rwkv." that a bare
 * RwkvModel of Hugging Face lacks, and with the head of a model of theirs that is tied, which is
 * the embedding. MT_ERROR_FORMAT, with the file's names, for two that are the same then. */
mt_status mt_source_unwrap(const char *path, mt_source **source);

/* MT_ERROR_FORMAT, with the element, where a head that is tied to the embedding is another: two
 * arrays of one shape and type, with their sources. */
mt_status mt_tied_head_check(const char *path, const mt_array *head, const mt_array *embedding);

/* The version of RWKV whose names these are: 5, 6 or 7, else 4. */
int mt_rwkv_version(const mt_arrays *arrays);

#endif
