#include "io/growing_bytes.h"

#include <stdlib.h>

mt_status mt_growing_make_room(mt_growing_bytes *growing)
{
    enum { FIRST_ROOM = 1 << 16 };
    if (growing->size > growing->most) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s: more than %zu bytes, as many as are kept in memory of what streams or "
                       "is unpacked (a plain file may have more)",
                       growing->name, growing->most);
    }
    if (growing->size + 1 < growing->room) {
        return MT_OK;
    }
    size_t room = growing->room > 0 ? 2 * growing->room : FIRST_ROOM;
    char *bytes = room > growing->room ? realloc(growing->bytes, room) : NULL;
    if (bytes == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", growing->name, room);
    }
    growing->bytes = bytes;
    growing->room = room;
    return MT_OK;
}
