/* The batch of a checkpoint (io/checkpoint_file.h) in its file. Internal. */
#ifndef MT_IO_KEPT_BATCH_H
#define MT_IO_KEPT_BATCH_H

#include "io/archive.h"
#include "io/checkpoint_file.h"

/* Writes it as the group /batch. */
void mt_kept_batch_write(mt_archive *archive, const mt_kept_batch *batch);

#endif
