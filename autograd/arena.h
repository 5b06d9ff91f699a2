/* A bump allocator over blocks of device or host memory: what a tape's step lives in. Internal.
 *
 * Rewinding keeps the blocks, so the same sequence of requests gets the same addresses again and
 * allocates nothing. */
#ifndef MT_AUTOGRAD_ARENA_H
#define MT_AUTOGRAD_ARENA_H

#include "kernels/device.h"

typedef struct mt_arena_block mt_arena_block;

typedef struct mt_arena {
    mt_device *device; /* NULL: host memory */
    size_t alignment;  /* bytes */
    mt_arena_block *first, *current;
    size_t used;  /* bytes of `current` handed out */
    size_t total; /* bytes of all blocks */
} mt_arena;

/* A place in the arena to go back to. */
typedef struct mt_arena_mark {
    mt_arena_block *block;
    size_t used;
} mt_arena_mark;

void mt_arena_init(mt_arena *arena, mt_device *device);
void mt_arena_destroy(mt_arena *arena);

/* `bytes` of memory, as aligned as the device's is (host memory to 64 bytes); its content is
 * unspecified. */
mt_status mt_arena_allocate(mt_arena *arena, size_t bytes, void **memory);

/* Lets the next requests, of so many bytes each, get memory one behind the other: of a size they
 * then lie at equal distances. */
mt_status mt_arena_gather(mt_arena *arena, int count, const size_t *bytes);

/* Bytes of the blocks that were never handed out. */
size_t mt_arena_untouched(const mt_arena *arena);

mt_arena_mark mt_arena_position(const mt_arena *arena);
void mt_arena_release(mt_arena *arena,
                      mt_arena_mark mark); /* everything handed out since is free */
void mt_arena_reset(mt_arena *arena);      /* everything is free */

#endif
