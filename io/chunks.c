#include "io/chunks.h"

#include <stdlib.h>
#include <string.h>

static bool have_room(mt_chunks *chunks)
{
    if (chunks->made < chunks->room) {
        return true;
    }
    size_t room = 2 * chunks->room + 16;
    mt_chunk **items = realloc(chunks->items, room * sizeof *items);
    if (items == NULL) {
        return false;
    }
    chunks->items = items;
    chunks->room = room;
    return true;
}

/* The chunk behind the last, or NULL. */
static mt_chunk *next_chunk(mt_chunks *chunks)
{
    if (chunks->count < chunks->made) {
        return chunks->items[chunks->count];
    }
    mt_chunk *chunk = have_room(chunks) ? calloc(1, sizeof *chunk) : NULL;
    if (chunk != NULL) {
        chunks->items[chunks->made++] = chunk;
    }
    return chunk;
}

/* By malloc, whose next piece of the same size may lie where this one lay once it is freed: an
 * aligned one seldom fits there. */
static bool make_room(mt_chunk *chunk, size_t size)
{
    if (chunk->room < size) {
        free(chunk->memory);
        chunk->memory = malloc(size + MT_FILE_BLOCK);
        chunk->room = 0;
        if (chunk->memory == NULL) {
            return false;
        }
        chunk->room = size;
        chunk->bytes = chunk->memory;
        chunk->bytes += MT_FILE_BLOCK - (uintptr_t)chunk->memory % MT_FILE_BLOCK;
    }
    return true;
}

void *mt_chunks_add(mt_chunks *chunks, size_t size)
{
    mt_chunk *chunk = next_chunk(chunks);
    if (chunk == NULL || !make_room(chunk, size + MT_CHECKSUM_BYTES)) {
        return NULL;
    }
    chunks->count++;
    chunk->size = size + MT_CHECKSUM_BYTES;
    mt_fletcher32_begin(&chunk->sum, size);
    chunk->placed = false;
    return chunk->bytes;
}

mt_chunk *mt_chunks_last(const mt_chunks *chunks)
{
    return chunks->items[chunks->count - 1];
}

bool mt_chunks_place(mt_chunks *chunks, const void *bytes, uint64_t at)
{
    mt_chunk *last = chunks->count > 0 ? mt_chunks_last(chunks) : NULL;
    if (last == NULL || bytes != last->bytes) {
        return false;
    }
    last->placed = true;
    last->at = at;
    return true;
}

/* Puts the checksum behind the values. */
static void end_sum(mt_chunk *chunk)
{
    mt_fletcher32_end(&chunk->sum, chunk->bytes, chunk->bytes + chunk->sum.size);
}

mt_status mt_chunks_write(mt_chunks *chunks, mt_new_file *file)
{
    mt_status status = MT_OK;
    for (size_t i = 0; i < chunks->count && status == MT_OK; i++) {
        mt_chunk *chunk = chunks->items[i];
        end_sum(chunk);
        status = mt_file_put(file, chunk->at, chunk->bytes, chunk->size);
    }
    return status;
}

mt_status mt_chunks_write_last_behind(mt_chunks *chunks, mt_new_file *file)
{
    mt_chunk *chunk = mt_chunks_last(chunks);
    end_sum(chunk);
    return mt_file_put_behind(file, chunk->at, chunk->bytes, chunk->size);
}

void mt_chunks_drop(mt_chunks *chunks)
{
    chunks->count--;
}

void mt_chunks_empty(mt_chunks *chunks)
{
    chunks->count = 0;
}

void mt_chunks_free(mt_chunks *chunks)
{
    for (size_t i = 0; i < chunks->made; i++) {
        free(chunks->items[i]->memory);
        free(chunks->items[i]);
    }
    free(chunks->items);
    *chunks = (mt_chunks){.items = NULL};
}
