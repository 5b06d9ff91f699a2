/* Chunks of arrays on their way into an HDF5 file. HDF5 gives each its place in the file, and they
 * are written there past it, with the checksum that its filter would have added: at once, or when
 * HDF5 has long closed the file. Internal. */
#ifndef MT_IO_CHUNKS_H
#define MT_IO_CHUNKS_H

#include "io/file.h"
#include "io/fletcher32.h"

typedef struct mt_chunk {
    void *memory;     /* of `room` bytes and a block, in which lie */
    char *bytes;      /* these, */
    size_t size;      /* with the checksum behind the values, */
    mt_chunk_sum sum; /* of which this is the one */
    size_t room;
    bool placed;
    uint64_t at; /* in the file, once it is placed */
} mt_chunk;

/* Of `made` chunks those behind `count` have memory for chunks to come. */
typedef struct mt_chunks {
    mt_chunk **items;
    size_t count, made, room;
} mt_chunks;

/* Memory for a chunk of so many bytes of values, aligned for any of them, and to blocks of a file
 * (MT_FILE_BLOCK); NULL: there is none. */
void *mt_chunks_add(mt_chunks *chunks, size_t size);

/* The chunk that was added last, which stays where it is. */
mt_chunk *mt_chunks_last(const mt_chunks *chunks);

/* Gives the last chunk its place in the file, if these are its bytes. */
bool mt_chunks_place(mt_chunks *chunks, const void *bytes, uint64_t at);

/* Writes all of them, with the values that they hold now, of which those are summed that have not
 * been; MT_ERROR_IO. The last one alone, behind: its memory is in use until the next call for the
 * file. */
mt_status mt_chunks_write(mt_chunks *chunks, mt_new_file *file);
mt_status mt_chunks_write_last_behind(mt_chunks *chunks, mt_new_file *file);

/* Takes the last one back; all of them, and keeps the memory; that too. */
void mt_chunks_drop(mt_chunks *chunks);
void mt_chunks_empty(mt_chunks *chunks);
void mt_chunks_free(mt_chunks *chunks);

#endif
