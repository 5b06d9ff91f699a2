/* What a verb does not write over. MT_ERROR_INVALID says why, with the option that names the file.
 */
#ifndef MT_COMMAND_OUTPUT_H
#define MT_COMMAND_OUTPUT_H

#include <mixtape/error.h>

/* The files of a run, by whatever links: a run goes on from them, and nobody can make them anew. */
mt_status output_refuse_run(const char *option, const char *path);

/* The file that is read, to be `done` ("exported"), and those of a run. */
mt_status output_refuse(const char *option, const char *path, const char *read, const char *done);

/* What a file that is written over has to be, by how it begins. */
typedef enum output_kind {
    OUTPUT_WEIGHTS, /* HDF5 or safetensors, which have the length of their header first */
    OUTPUT_PICTURE, /* SVG or PNG */
    OUTPUT_JSON
} output_kind;

/* A file that is there and of another kind. An empty one is nobody's. */
mt_status output_refuse_kind(const char *option, const char *path, output_kind kind);

#endif
