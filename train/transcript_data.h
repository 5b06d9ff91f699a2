/* The transcripts that a run is trained and validated on: read from the files that its options
 * name, cut into labels of a token list, compared with the model's, and sorted by length. */
#ifndef MT_TRAIN_TRANSCRIPT_DATA_H
#define MT_TRAIN_TRANSCRIPT_DATA_H

#include <mixtape/transcripts.h>

#include "train/task.h"

/* Transcripts of one split, sorted by length; they belong to the files they were read from. */
typedef struct sorted_transcripts {
    int64_t count;
    const mt_transcript **items;
} sorted_transcripts;

typedef struct transcript_data {
    mt_token_list *tokens;
    mt_transcripts *train_file;       /* NULL where there is nothing to train on */
    mt_transcripts *valid_file;       /* NULL: every tenth of train_file */
    char digests[2][DIGEST_MAX];      /* by task_split */
    sorted_transcripts splits[2];     /* by task_split */
    int64_t longest, labels, unknown; /* of both splits: how many labels, and how many <unk> */
} transcript_data;

/* The list of a file or, where none is named or it is gone, that of the model that the run begins
 * with or goes on from, `known`, or NULL; they must be the same, but that new tokens may stand
 * behind the last where the vocabulary may grow. MT_ERROR_INVALID where they are not, where most
 * labels are <unk>, and where nothing is left to validate on; else as mt_transcripts_load. On
 * failure there is nothing to free. */
mt_status transcript_data_load(const run_config *config, const mt_token_list *known, bool may_grow,
                               transcript_data *data);
void transcript_data_free(transcript_data *data);

/* The label with which transcripts begin. */
enum { BLANK = 0 };

#endif
