/* A new file from the inside, for file_replace.c (its target, and its end) and file_put.c (what is
 * put into it). Internal. */
#ifndef MT_IO_NEW_FILE_H
#define MT_IO_NEW_FILE_H

#include "io/beside.h"
#include "io/file.h"

#include <limits.h>
#include <pthread.h>
#include <sys/types.h>

/* A file that is to be replaced. */
typedef struct mt_replaced_file {
    mt_place place;
    bool exists;
    mode_t mode; /* of what is there */
} mt_replaced_file;

/* A piece that a thread writes. */
typedef struct mt_behind {
    uint64_t at;
    const void *bytes;
    size_t size;
    pthread_t thread;
    bool is_at_work;
    mt_status status;           /* the first failure, */
    char error[PATH_MAX + 256]; /* and its message */
} mt_behind;

/* Bytes that were appended, and wait for a block of them to be full: one is filled while the other
 * is written. */
typedef struct mt_gathered {
    char *blocks[2]; /* the first is the allocation of both, NULL before the first byte */
    int filling;
    size_t filled;
    uint64_t at; /* of the block in the file */
} mt_gathered;

struct mt_new_file {
    mt_replaced_file target;
    char beside[PATH_MAX];
    int file; /* negative once it is closed */
    mt_behind behind;
    mt_gathered gathered;
};

/* Waits until all that was put or appended has been written. */
mt_status mt_file_settle(mt_new_file *file);

/* Waits for the thread, and frees what was gathered. */
void mt_file_forget_pieces(mt_new_file *file);

#endif
