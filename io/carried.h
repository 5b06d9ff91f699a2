/* What a checkpoint carries (io/checkpoint_file.h) in its file. Internal. */
#ifndef MT_IO_CARRIED_H
#define MT_IO_CARRIED_H

#include "io/archive.h"
#include "io/checkpoint_file.h"

#define MT_CARRIED_GROUP "carried"

/* Writes it as the array /carried/rows of a file at this path. Values that are not finite are
 * MT_ERROR_NUMERIC, with the element. */
void mt_carried_write(mt_archive *archive, const char *path, const mt_carried_rows *carried);

/* Notes in a checkpoint that is being opened what it carries. */
void mt_carried_describe(mt_archive *archive, mt_checkpoint *checkpoint);

/* Reads and checks every value. */
mt_status mt_carried_check(const mt_checkpoint *checkpoint);

#endif
