/* The root of checkpoints and exchange files: format, version and token list. Internal. */
#ifndef MT_IO_MODEL_FILE_H
#define MT_IO_MODEL_FILE_H

#include "archive.h"

typedef enum mt_model_file {
    MT_CHECKPOINT_FILE,
    MT_EXCHANGE_FILE,
    MT_FOREIGN_FILE /* another program's */
} mt_model_file;

/* Begins a file with the root's format, version and tokens (NULL: none). */
mt_status mt_model_file_create(const char *path, mt_model_file kind, const mt_token_list *tokens,
                               mt_archive **archive);

/* Puts the file in place if nothing failed so far, and closes the archive in any case. */
mt_status mt_model_file_finish(mt_archive *archive, mt_status status);

/* Opens a file and says which it is. MT_ERROR_FORMAT for a format or version of ours that is not
 * known here. */
mt_status mt_model_file_open(const char *path, mt_model_file *kind, mt_archive **archive);

/* The root's token list, which must be as long as the vocabulary; NULL where there is none. */
mt_status mt_model_file_read_tokens(mt_archive *archive, int64_t vocab_size,
                                    mt_token_list **tokens);

/* Refuses whatever the group holds beside these groups; `names` ends with NULL. */
mt_status mt_model_file_expect_groups(mt_archive *archive, const char *group,
                                      const char *const *names);

#endif
