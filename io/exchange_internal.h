/* What reads exchange files. Internal. */
#ifndef MT_IO_EXCHANGE_INTERNAL_H
#define MT_IO_EXCHANGE_INTERNAL_H

#include <mixtape/checkpoint.h>

#include "archive.h"

/* Fills in a checkpoint's config, dtype, described, data and layout. */
mt_status mt_exchange_load(mt_archive *archive, mt_checkpoint *checkpoint);

#endif
