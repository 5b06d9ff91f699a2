/* A head that a configuration ties to the embedding, and that stands in the file as well. */
#include "io/foreign_names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The embedding beside the head, as both are read. */
typedef struct tied_head {
    const char *path;
    const mt_array *embedding;
    mt_dtype dtype;
    int64_t width;
} tied_head;

static mt_status differ(const tied_head *tied, int64_t element)
{
    return mt_fail(MT_ERROR_FORMAT,
                   "%s: its config.json says tie_word_embeddings true, and head.weight is another "
                   "than the embedding, from element %" PRId64
                   " on: say false to keep it, or leave it out to tie it",
                   tied->path, element);
}

static mt_status compare(const tied_head *tied, int64_t first, int64_t rows, const char *head,
                         char *embedding)
{
    const size_t size = mt_dtype_size(tied->dtype);
    mt_status status = mt_array_read(tied->embedding, first, rows, embedding, NULL);
    for (int64_t i = 0; i < rows * tied->width && status == MT_OK; i++) {
        if (memcmp(head + (size_t)i * size, embedding + (size_t)i * size, size) != 0) {
            status = differ(tied, first * tied->width + i);
        }
    }
    return status;
}

static mt_status compare_rows(void *context, int64_t first, int64_t rows, const void *values)
{
    const tied_head *tied = context;
    size_t bytes = (size_t)(rows * tied->width) * mt_dtype_size(tied->dtype);
    char *embedding = malloc(bytes);
    if (embedding == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", tied->path, bytes);
    }
    mt_status status = compare(tied, first, rows, values, embedding);
    free(embedding);
    return status;
}

mt_status mt_tied_head_check(const char *path, const mt_array *head, const mt_array *embedding)
{
    tied_head tied = {path, embedding, head->dtype, mt_array_width(head)};
    return mt_array_visit(head, compare_rows, &tied);
}
