/* All files of token ids that were named, as one row. Internal to token_ids.c and
 * token_ids_read.c. */
#ifndef MT_IO_TOKEN_IDS_LIST_H
#define MT_IO_TOKEN_IDS_LIST_H

#include "io/token_ids_file.h"

/* As many ids are read at once, and as many files are open: folders may have thousands. */
enum { MT_IDS_PIECE = 1 << 18, MT_IDS_OPEN = 64 };

struct mt_token_ids {
    int64_t files, count, documents;
    mt_ids_file *file;
    int64_t *first_id, *first_document; /* of each file */

    int64_t open[MT_IDS_OPEN]; /* files; negative: none */
    int next;                  /* of them, to be closed for another */

    unsigned char *buffer; /* for the bytes of a piece that is not mapped, */
    int32_t *values;       /* and for ids that nobody else keeps */
};

#endif
