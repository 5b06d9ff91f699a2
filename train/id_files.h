/* Token ids as options name their files. */
#ifndef MT_TRAIN_ID_FILES_H
#define MT_TRAIN_ID_FILES_H

#include "io/token_ids.h"
#include "train/file_list.h"

/* Opens the files that the names stand for, of folders those that are named as token ids are.
 * MT_ERROR_INVALID for a folder without any, and for standard input, which has no places to read
 * at; else as mt_token_ids_open. On failure *ids is NULL. */
mt_status id_files_open(const file_list *names, mt_ids_raw raw, mt_token_ids **ids);

#endif
