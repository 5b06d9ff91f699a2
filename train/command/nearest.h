/* The known name that was meant by an unknown one. */
#ifndef MT_COMMAND_NEAREST_H
#define MT_COMMAND_NEAREST_H

/* The name number i of those in the context, NULL behind the last. */
typedef const char *known_name(const void *context, int i);

/* " (did you mean 'size'?)" in `text`, "" where nothing is near; returns it. */
#define NEAREST_HINT " (did you mean '%s'?)"
enum { NEAREST_TEXT = 96 };
const char *nearest_hint(const char *name, known_name *known, const void *context,
                         char text[NEAREST_TEXT]);

#endif
