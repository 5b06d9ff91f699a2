#include "autograd/arena.h"

#include <stdlib.h>

struct mt_arena_block {
    mt_arena_block *next;
    void *memory;
    size_t size, most; /* bytes of it, and the most that were handed out at a time */
};

static const size_t host_alignment = 64, smallest_block = (size_t)1 << 20;

void mt_arena_init(mt_arena *arena, mt_device *device)
{
    *arena = (mt_arena){.device = device,
                        .alignment = device != NULL ? device->alignment : host_alignment};
}

void mt_arena_destroy(mt_arena *arena)
{
    for (mt_arena_block *block = arena->first, *next; block != NULL; block = next) {
        next = block->next;
        if (arena->device != NULL) {
            arena->device->release(arena->device, block->memory);
        } else {
            free(block->memory);
        }
        free(block);
    }
    *arena = (mt_arena){.device = arena->device, .alignment = arena->alignment};
}

static mt_status allocate_memory(mt_arena *arena, size_t size, void **memory)
{
    if (arena->device != NULL) {
        return arena->device->allocate(arena->device, size, memory);
    }
    *memory = aligned_alloc(arena->alignment, size);
    return *memory != NULL ? MT_OK
                           : mt_fail(MT_ERROR_MEMORY, "tape: no host memory for %zu bytes", size);
}

/* Where the block that follows the current one is linked. */
static mt_arena_block **following(mt_arena *arena)
{
    return arena->current == NULL ? &arena->first : &arena->current->next;
}

static void put_next(mt_arena *arena, mt_arena_block *block)
{
    mt_arena_block **next = following(arena);
    block->next = *next;
    *next = block;
}

/* Puts the smallest free block that is large enough behind the current one. Steps of other shapes
 * would make ever new ones otherwise. False: there is none. */
static bool find_block(mt_arena *arena, size_t bytes)
{
    mt_arena_block **best = NULL;
    for (mt_arena_block **at = following(arena); *at != NULL; at = &(*at)->next) {
        if ((*at)->size >= bytes && (best == NULL || (*at)->size < (*best)->size)) {
            best = at;
        }
    }
    if (best == NULL) {
        return false;
    }
    mt_arena_block *found = *best;
    *best = found->next;
    put_next(arena, found);
    return true;
}

/* Puts a new block of at least `bytes` behind the current one. Blocks grow with the arena, so a
 * step of any size has few of them, by an eighth, which is what may be left unused. */
static mt_status add_block(mt_arena *arena, size_t bytes)
{
    size_t size = bytes > smallest_block ? bytes : smallest_block;
    if (size < arena->total / 8) {
        size = arena->total / 8 / arena->alignment * arena->alignment;
    }
    size = mt_whole_pages(size);
    mt_arena_block *block = malloc(sizeof *block);
    if (block == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "tape: no host memory for %zu bytes", sizeof *block);
    }
    mt_status status = allocate_memory(arena, size, &block->memory);
    if (status != MT_OK) {
        free(block);
        return status;
    }
    block->size = size;
    block->most = 0;
    put_next(arena, block);
    arena->total += size;
    return MT_OK;
}

/* What so many bytes take of a block. */
static size_t rounded_up(const mt_arena *arena, size_t bytes)
{
    return (bytes + arena->alignment - 1) / arena->alignment * arena->alignment;
}

/* Goes on to a block that has room for so many bytes, unless the current one has. */
static mt_status find_room(mt_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 4) {
        return mt_fail(MT_ERROR_MEMORY, "tape: %zu bytes asked for", bytes);
    }
    size_t rounded = rounded_up(arena, bytes);
    if (arena->current != NULL && rounded <= arena->current->size - arena->used) {
        return MT_OK;
    }
    mt_status status = find_block(arena, rounded) ? MT_OK : add_block(arena, rounded);
    if (status == MT_OK) {
        arena->current = *following(arena);
        arena->used = 0;
    }
    return status;
}

mt_status mt_arena_gather(mt_arena *arena, int count, const size_t *bytes)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++) {
        if (bytes[i] > SIZE_MAX / 4 / (size_t)count) {
            return mt_fail(MT_ERROR_MEMORY, "tape: %d times %zu bytes asked for", count, bytes[i]);
        }
        sum += rounded_up(arena, bytes[i]);
    }
    return sum > 0 ? find_room(arena, sum) : MT_OK;
}

mt_status mt_arena_allocate(mt_arena *arena, size_t bytes, void **memory)
{
    *memory = NULL;
    mt_status status = find_room(arena, bytes);
    if (status != MT_OK) {
        return status;
    }
    size_t rounded = rounded_up(arena, bytes);
    *memory = (char *)arena->current->memory + arena->used;
    arena->used += rounded;
    if (arena->used > arena->current->most) {
        arena->current->most = arena->used;
    }
    return arena->device != NULL ? mt_poison(arena->device, *memory, rounded) : MT_OK;
}

size_t mt_arena_untouched(const mt_arena *arena)
{
    size_t untouched = 0;
    for (const mt_arena_block *block = arena->first; block != NULL; block = block->next) {
        untouched += block->size - mt_whole_pages(block->most);
    }
    return untouched;
}

mt_arena_mark mt_arena_position(const mt_arena *arena)
{
    return (mt_arena_mark){.block = arena->current, .used = arena->used};
}

void mt_arena_release(mt_arena *arena, mt_arena_mark mark)
{
    arena->current = mark.block;
    arena->used = mark.used;
}

void mt_arena_reset(mt_arena *arena)
{
    mt_arena_release(arena, (mt_arena_mark){.block = NULL, .used = 0});
}
