/* Token ids that another program's tokenizer made, in files of any length: what language models are
 * trained on. The files are told apart by what they hold: arrays of NumPy (.npy) and of HDF5, the
 * .bin of nanoGPT and of llm.c, and the .idx and .bin of Megatron and RWKV-LM. Internal.
 *
 * All files of a list make one row of ids, numbered from 0: its positions. The row is cut into
 * documents: those of an index, the rows of an array of several dimensions, or else a whole file.
 * Nothing is loaded: ids are taken from the files' memory maps where they are used. A map is asked
 * for its pages first, and what it does not have, of a file that was cut or a disk that fails, is
 * read, which tells why: an error, and SIGBUS only where that happens between the two. An index is
 * looked through once; it takes eight bytes of memory for each document. */
#ifndef MT_IO_TOKEN_IDS_H
#define MT_IO_TOKEN_IDS_H

#include <mixtape/error.h>

#include <stdbool.h>
#include <stdint.h>

/* The integers of a .bin that says nothing of them: MT_IDS_UNSAID takes them for uint16, but
 * refuses what looks like ids of 32 bits, and files of other names. */
typedef enum mt_ids_raw {
    MT_IDS_UNSAID,
    MT_IDS_UINT16,
    MT_IDS_UINT32,
    MT_IDS_INT32,
    MT_IDS_INT64
} mt_ids_raw;

/* "auto", "uint16", ...; NULL for what is none. */
const char *mt_ids_raw_name(int raw);

/* The most ids that a vocabulary may have. */
enum { MT_IDS_MOST = 1 << 24 };

typedef struct mt_token_ids mt_token_ids;

/* Opens files. A dataset of an HDF5 file is named as FILE:/PATH, and need not be where the file's
 * root has one of integers alone. An index may be named by itself, by its .bin or by what their
 * names begin with. MT_ERROR_IO, MT_ERROR_MEMORY, and MT_ERROR_FORMAT with file and figures for
 * what is damaged, cut, empty, or not token ids; MT_ERROR_INVALID for what is named twice. On
 * failure *ids is NULL. */
mt_status mt_token_ids_open(const char *const *paths, int64_t count, mt_ids_raw raw,
                            mt_token_ids **ids);
void mt_token_ids_close(mt_token_ids *ids); /* NULL is allowed */

/* Tells if a file's name ends as those of token ids do. An index beside its .bin is not told: it
 * comes with that. */
bool mt_token_ids_are_in(const char *path);

/* What FILE:/PATH, or the beginning of an index's names, is from the root on; the caller frees it.
 * NULL where there is no such file. */
char *mt_token_ids_absolute(const char *name);

int64_t mt_token_ids_count(const mt_token_ids *ids);     /* at least 1 */
int64_t mt_token_ids_documents(const mt_token_ids *ids); /* at least 1 */

/* The files that hold the ids, and an index is one, too: file i, or NULL after the last. */
const char *mt_token_ids_file(const mt_token_ids *ids, int64_t i);

/* Consecutive ids. */
typedef struct mt_ids_span {
    int64_t first, count;
    bool whole; /* a document with borders of its own; a file without any may be cut anywhere */
} mt_ids_span;

/* Document d, which may be empty; and the one that holds a position. */
mt_ids_span mt_token_ids_document(const mt_token_ids *ids, int64_t d);
int64_t mt_token_ids_find(const mt_token_ids *ids, int64_t position);

/* Reads `count` ids of one document from a position on. MT_ERROR_FORMAT with file, index and value
 * for one that is not in 0 .. vocabulary - 1; MT_ERROR_IO where a file has become shorter. */
mt_status mt_token_ids_read(mt_token_ids *ids, int64_t position, int64_t count, int64_t vocabulary,
                            int32_t *values);

/* The largest id, which is below MT_IDS_MOST, by reading all of them. Fails as reading does. */
mt_status mt_token_ids_largest(mt_token_ids *ids, int64_t *largest);

#endif
