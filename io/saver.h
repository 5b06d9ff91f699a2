/* Writes files beside what the program does: what they are to hold is laid out in memory, and a
 * thread of its own brings it to the disk, as safely as io/file.h does. The thread calls no HDF5,
 * whose library serves one thread alone. Internal. */
#ifndef MT_IO_SAVER_H
#define MT_IO_SAVER_H

#include "io/chunks.h"

typedef struct mt_saver mt_saver;

/* MT_ERROR_MEMORY. It holds as much memory as the largest file that it wrote. */
mt_status mt_saver_create(mt_saver **saver);

/* Waits for the file at work. NULL is allowed. */
void mt_saver_destroy(mt_saver *saver);

/* Waits for the file at work; how it ended is still to be asked. */
void mt_saver_settle(mt_saver *saver);

/* Waits for the file at work, and returns its memory, empty, for another. */
mt_chunks *mt_saver_chunks(mt_saver *saver);

/* Gives back its memory, for a program that has no other: waits for the file at work. */
void mt_saver_release(mt_saver *saver);

/* Takes over a file of so many bytes, writes the chunks to it, and puts it in place. Without a
 * thread to be had that is done before it returns. */
void mt_saver_begin(mt_saver *saver, mt_new_file *file, uint64_t length);

/* Tells if a file is still at work. */
bool mt_saver_is_busy(const mt_saver *saver);

/* Waits for the file at work, and returns how the last one ended: a failure once. A child of fork
 * has no file at work: its parent has it. */
mt_status mt_saver_wait(mt_saver *saver);

#endif
