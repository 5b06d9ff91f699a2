#include "io/chunks.h"

#include "io/fletcher32.h"

#include <stdlib.h>
#include <string.h>

static bool grow(void **memory, size_t *room, size_t to, size_t size)
{
    void *grown = realloc(*memory, to * size);
    if (grown != NULL) {
        *memory = grown;
        *room = to;
    }
    return grown != NULL;
}

/* Room for so many of what is `size` large: twice as much as before, or no more than that. */
static bool make_room(void **memory, size_t *room, size_t needed, size_t size)
{
    return needed <= *room || (needed < 2 * *room && grow(memory, room, 2 * *room, size)) ||
           grow(memory, room, needed, size);
}

void *mt_chunks_add(mt_chunks *chunks, size_t size)
{
    const size_t line = 64;
    mt_chunk chunk = {.start = (chunks->used + line - 1) / line * line,
                      .size = size + MT_CHECKSUM_BYTES};
    void *memory = chunks->memory, *items = chunks->items;
    bool fits = make_room(&memory, &chunks->room, chunk.start + chunk.size, 1);
    chunks->memory = memory;
    fits = fits && make_room(&items, &chunks->items_room, chunks->count + 1, sizeof chunk);
    chunks->items = items;
    if (!fits) {
        return NULL;
    }
    chunks->items[chunks->count++] = chunk;
    chunks->used = chunk.start + chunk.size;
    return chunks->memory + chunk.start;
}

mt_chunk *mt_chunks_last(const mt_chunks *chunks)
{
    return &chunks->items[chunks->count - 1];
}

bool mt_chunks_place(mt_chunks *chunks, const void *bytes, uint64_t at)
{
    mt_chunk *last = chunks->count > 0 ? mt_chunks_last(chunks) : NULL;
    if (last == NULL || (const char *)bytes != chunks->memory + last->start) {
        return false;
    }
    last->placed = true;
    last->at = at;
    return true;
}

/* The checksum, its lowest byte first. */
static void sum(char *bytes, size_t size)
{
    uint32_t checksum = mt_fletcher32(bytes, size);
    for (int i = 0; i < MT_CHECKSUM_BYTES; i++) {
        bytes[size + (size_t)i] = (char)(checksum >> 8 * i);
    }
}

mt_status mt_chunks_write(const mt_chunks *chunks, mt_new_file *file)
{
    mt_status status = MT_OK;
    for (size_t i = 0; i < chunks->count && status == MT_OK; i++) {
        const mt_chunk *chunk = &chunks->items[i];
        char *bytes = chunks->memory + chunk->start;
        sum(bytes, chunk->size - MT_CHECKSUM_BYTES);
        status = mt_file_put(file, chunk->at, bytes, chunk->size);
    }
    return status;
}

void mt_chunks_drop(mt_chunks *chunks)
{
    chunks->used = mt_chunks_last(chunks)->start;
    chunks->count--;
}

void mt_chunks_empty(mt_chunks *chunks)
{
    chunks->used = chunks->count = 0;
}

void mt_chunks_free(mt_chunks *chunks)
{
    free(chunks->memory);
    free(chunks->items);
    *chunks = (mt_chunks){.memory = NULL};
}
