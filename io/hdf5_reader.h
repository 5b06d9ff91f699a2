/* The HDF5 file behind a reader, and what answers the questions about its arrays (hdf5_arrays.c)
 * and attributes (hdf5_attributes.c). Internal. */
#ifndef MT_IO_HDF5_READER_H
#define MT_IO_HDF5_READER_H

#include "io/hdf5_library.h"
#include "io/reader.h"

#include <limits.h>

typedef struct mt_hdf5_reader {
    mt_reader base;
    hid_t file;
    int64_t size; /* bytes */
    char path[PATH_MAX];

    /* The dataset whose rows were read last, or negative. It stays open, as HDF5 forgets the chunks
     * of one that is closed. */
    hid_t kept;
    char kept_path[MT_PATH_IN_FILE];
    hsize_t checked[MT_MAX_RANK]; /* the place of its chunk that was looked at last */
    bool has_checked;
} mt_hdf5_reader;

/* Keeps the dataset of a question open, and room for one of its chunks where that is packed, so
 * that pieces of a chunk do not unpack it anew. Whoever reads it tells what is wrong with it. */
void mt_hdf5_keep(mt_hdf5_reader *reader, const mt_question *question);

/* Fails unless each chunk of the dataset that is kept that the question's rows are in is there, and
 * is as long, or unpacks to as much, as a chunk is. */
mt_status mt_hdf5_check_chunks(mt_hdf5_reader *reader, const mt_question *question);

/* Reads the rows of a question where they are one chunk of the dataset that is kept, of the type
 * that is asked for and packed by nothing, and its checksum is right. Otherwise HDF5 reads them, or
 * tells why they cannot be read. */
bool mt_hdf5_read_chunk(const mt_hdf5_reader *reader, const mt_question *question);

/* Every step of a path must be a hard link, if it is there: whoever opens it tells of what is
 * not. */
mt_status mt_hdf5_follow(const mt_hdf5_reader *reader, const char *path);

/* Tell if a type is a standard one: IEEE's floats, and bfloat16; integers of 8 to 64 bits. */
bool mt_hdf5_is_real(hid_t type);
bool mt_hdf5_is_integer(hid_t type);

/* Answers to questions, as MT_ASK_SHAPE, ... ask them. */
typedef mt_status mt_hdf5_answer(const mt_hdf5_reader *reader, const mt_question *question,
                                 mt_answer *answer);
mt_hdf5_answer mt_hdf5_answer_shape, mt_hdf5_answer_rows, mt_hdf5_answer_has_attribute,
    mt_hdf5_answer_int, mt_hdf5_answer_real, mt_hdf5_answer_texts;

#endif
