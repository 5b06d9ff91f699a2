/* What the analyzers (scripts/analyze) cannot see: mt_fail returns the status that it is given. */
#include <mixtape/error.h>
#define mt_fail(status, ...) (mt_fail(status, __VA_ARGS__), (status))
