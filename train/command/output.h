/* What a verb that writes a model's file does not write over. MT_ERROR_INVALID says why. */
#ifndef MT_COMMAND_OUTPUT_H
#define MT_COMMAND_OUTPUT_H

#include <mixtape/error.h>

/* The file that a model is read from, to be `done` ("exported"), and those that a run goes on
 * from. */
mt_status output_refuse(const char *path, const char *model, const char *done);

/* A file that is there and does not begin as weights do, HDF5 or safetensors, which have the length
 * of their header first. An empty one is nobody's. */
mt_status output_refuse_kind(const char *path);

#endif
