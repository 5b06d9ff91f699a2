/* RWKV's World tokenizer: a list of pieces, of which always the longest that fits comes next.
 *
 * A line of rwkv_vocab_v20230424.txt is an id from 1 on, a piece as Python writes it ('text' or
 * b'bytes'), and how many bytes the piece has. Internal. */
#ifndef MT_IO_WORLD_H
#define MT_IO_WORLD_H

#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_world mt_world;

/* Tells if bytes begin as such a list does. */
bool mt_world_is_list(const char *bytes, size_t size);

/* Reads a list; `name` is for messages. MT_ERROR_FORMAT, with the line, for one that is not as
 * above, and for an id or a piece that is there before. The caller destroys what it gets. */
mt_status mt_world_read(const char *name, const char *bytes, size_t size, mt_world **world);
void mt_world_destroy(mt_world *world); /* NULL is allowed */

int64_t mt_world_size(const mt_world *world); /* all ids are below it */

/* The id of a piece, or -1; and the piece of an id, NULL where there is none. */
int32_t mt_world_find(const mt_world *world, const char *bytes, size_t length);
const char *mt_world_piece(const mt_world *world, int32_t id, size_t *length);

/* The ids of a text, which the caller frees. MT_ERROR_INVALID, with its place, for a byte that no
 * piece begins with. */
mt_status mt_world_encode(const mt_world *world, const char *text, size_t length, int32_t **ids,
                          int64_t *count);

#ifdef __cplusplus
}
#endif

#endif
