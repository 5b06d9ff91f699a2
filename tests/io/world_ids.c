/* The ids that a World list makes of a text, one a line, for Python to compare; or the library's
 * message. Arguments: the list, the text. */
#include "io/file.h"
#include "io/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static mt_status print_ids(const mt_world *world, const char *text, size_t size)
{
    int32_t *ids;
    int64_t count;
    mt_status status = mt_world_encode(world, text, size, &ids, &count);
    for (int64_t i = 0; i < count && status == MT_OK; i++) {
        printf("%" PRId32 "\n", ids[i]);
    }
    free(ids);
    return status;
}

int main(int argc, char **argv)
{
    char *list = NULL, *text = NULL;
    size_t list_size, text_size;
    mt_world *world = NULL;
    mt_status status = argc == 3 ? mt_file_read(argv[1], &list, &list_size) : MT_ERROR_INVALID;
    if (status == MT_OK) {
        status = mt_file_read(argv[2], &text, &text_size);
    }
    if (status == MT_OK) {
        status = mt_world_read("list", list, list_size, &world);
    }
    if (status == MT_OK) {
        status = print_ids(world, text, text_size);
    }
    if (status != MT_OK) {
        puts(mt_error_message());
    }
    mt_world_destroy(world);
    free(list);
    free(text);
    return status == MT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
