/* The version of Mixtape. This is the one place that says it: the build reads it here. */
#ifndef MIXTAPE_VERSION_H
#define MIXTAPE_VERSION_H

#include <mixtape/api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define MT_VERSION_MAJOR 0
#define MT_VERSION_MINOR 1
#define MT_VERSION_PATCH 0

/* The numbers as a text: "0.1.0". */
#define MT_VERSION MT_VERSION_TEXT(MT_VERSION_MAJOR, MT_VERSION_MINOR, MT_VERSION_PATCH)
#define MT_VERSION_TEXT(major, minor, patch) MT_VERSION_QUOTED(major, minor, patch)
#define MT_VERSION_QUOTED(major, minor, patch) #major "." #minor "." #patch
/* clang-format on */

/* The version of the library that the program runs with, as MT_VERSION says it of the headers that
 * the program was compiled with. */
MT_API const char *mt_version(void);

#ifdef __cplusplus
}
#endif

#endif
