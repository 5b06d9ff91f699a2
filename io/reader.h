/* A reader of one HDF5 file: it is asked a question at a time, and answers. A question and an
 * answer hold no pointers but to the caller's own memory, so the reader may live in this process or
 * in a child of it: what libhdf5 makes of a hostile file then happens to the child alone.
 * Internal: io/archive.h is what the rest of io/ reads files by. */
#ifndef MT_IO_READER_H
#define MT_IO_READER_H

#include <mixtape/error.h>
#include <mixtape/tensor.h>

#include <stdbool.h>
#include <stdint.h>

enum {
    MT_GROUP_MAX = 64,   /* bytes of a group's path, */
    MT_OBJECT_MAX = 512, /* of a name in it, */
    MT_PATH_IN_FILE = MT_GROUP_MAX + MT_OBJECT_MAX
};

typedef struct mt_question {
    enum {
        MT_ASK_NAMES,         /* the names of a group's objects */
        MT_ASK_HAS_OBJECT,    /* has the group an object of this name? */
        MT_ASK_HAS_ATTRIBUTE, /* or an attribute? */
        MT_ASK_SHAPE,         /* the type and shape of an array, of which the file has all values */
        MT_ASK_ROWS,          /* rows of an array, as values of `dtype` */
        MT_ASK_INT,           /* the value of an attribute that is an integer, */
        MT_ASK_REAL,          /* a float, */
        MT_ASK_TEXTS,         /* texts: one (rank 0), or a list (rank 1) */
        MT_ASKED
    } asked;
    char group[MT_GROUP_MAX], name[MT_OBJECT_MAX];
    mt_dtype dtype;
    int rank;
    int64_t first, rows;
    int64_t first_column, columns; /* of each row; none: all of an array of any rank */
    size_t bytes;                  /* of all that, */
    size_t room;                   /* how many there are at `values`, if more, */
    void *values;                  /* and where it goes */
} mt_question;

typedef struct mt_answer {
    int64_t whole; /* an integer; 0 or 1 of what the file has */
    double real;
    mt_dtype dtype;
    int rank; /* of an array */
    int64_t shape[MT_MAX_RANK];
    int64_t texts, text_bytes; /* how many there are, and the length of each */
    char *found;               /* names, each with a zero byte behind it, or texts; */
    size_t found_bytes;        /* the caller frees them */
} mt_answer;

/* Tells if what was said of an array can be: a child that reads a hostile file may say anything.
 * No product of the shape with an element's size overflows. */
bool mt_answer_is_array(const mt_answer *answer);

typedef struct mt_reader mt_reader;
struct mt_reader {
    /* MT_ERROR_FORMAT, with what HDF5 says of it, for what is missing, damaged or unwanted;
     * MT_ERROR_IO, MT_ERROR_MEMORY. Nothing is to be freed after a failure. */
    mt_status (*answer)(mt_reader *reader, const mt_question *question, mt_answer *answer);
    void (*close)(mt_reader *reader);
};

/* Opens a file in this process. MT_ERROR_IO where that is not possible or it is no regular file,
 * MT_ERROR_FORMAT where it is not HDF5, MT_ERROR_MEMORY. */
mt_status mt_reader_open_here(const char *path, mt_reader **reader);

/* Opens it in this process or, where mt_weights_read_apart (mixtape/weights.h) has chosen so, in a
 * child of it. A child that crashes, or computes for longer than a file of its length can be worth,
 * is MT_ERROR_FORMAT; one that takes more memory than that is MT_ERROR_MEMORY. */
mt_status mt_reader_open(const char *path, mt_reader **reader);

#endif
