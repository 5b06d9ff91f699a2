/* A model's configuration as attributes of an HDF5 group. Internal. */
#ifndef MT_IO_MODEL_ATTRIBUTES_H
#define MT_IO_MODEL_ATTRIBUTES_H

#include <mixtape/model.h>

#include "io/archive.h"

void mt_model_attributes_write(mt_archive *archive, const char *group,
                               const mt_model_config *config, mt_dtype dtype);

/* Reads and checks them (mt_model_config_check). */
void mt_model_attributes_read(mt_archive *archive, const char *group, mt_model_config *config,
                              mt_dtype *dtype);

#endif
