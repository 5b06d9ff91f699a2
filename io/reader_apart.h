/* What a process and the child that reads a file for it say to each other: an mt_question, an
 * mt_reply. Internal. */
#ifndef MT_IO_READER_APART_H
#define MT_IO_READER_APART_H

#include "io/reader.h"

#include <limits.h>

typedef struct mt_reply {
    mt_status status;
    char error[PATH_MAX + 512];
    mt_answer answer;
} mt_reply;

/* Values go through memory that the two share, in pieces, by turns in the one half and the other:
 * the child says when a piece is there, and the program when it has taken one whose half is needed
 * again. */
enum { MT_SHARED_PIECE = 1 << 19, MT_SHARED_HALVES = 2 };

/* The child's status where HDF5 crashed or ended it for want of memory. */
enum { MT_CHILD_LACKS_MEMORY = 100 };

/* Move all of the bytes, however often a signal interrupts. False: the other end has ended. */
bool mt_line_send(int line, const void *bytes, size_t size);
bool mt_line_receive(int line, void *bytes, size_t size);

/* What the child does: it opens the file and says if that went well, then answers questions until
 * the line is closed. Behind a reply that is MT_OK come the values, names or texts. */
_Noreturn void mt_reader_serve(const char *path, int line, void *shared);

#endif
