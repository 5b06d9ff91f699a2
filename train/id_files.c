#include "train/id_files.h"

#include <string.h>

/* Adds the files that one name stands for. */
static mt_status add_files(char *name, file_list *files)
{
    file_list found = {0};
    mt_status status = file_list_walk(&(file_list){1, &name}, &found);
    bool is_itself = found.count == 1 && strcmp(found.names[0], name) == 0;
    int64_t before = files->count;
    for (int64_t i = 0; i < found.count && status == MT_OK; i++) {
        if (is_itself || mt_token_ids_are_in(found.names[i])) {
            status = file_list_add(files, found.names[i]);
        }
    }
    file_list_clear(&found);
    return status == MT_OK && files->count == before
               ? mt_fail(MT_ERROR_INVALID,
                         "%s: no .npy, .bin, .idx, .h5 or .hdf5 in that folder (of texts `mixtape "
                         "tokenize` makes ids, of other files in Python numpy.save)",
                         name)
               : status;
}

mt_status id_files_open(const file_list *names, mt_ids_raw raw, mt_token_ids **ids)
{
    file_list files = {0};
    mt_status status = MT_OK;
    *ids = NULL;
    for (int64_t i = 0; i < names->count && status == MT_OK; i++) {
        status = strcmp(names->names[i], "-") != 0
                     ? add_files(names->names[i], &files)
                     : mt_fail(MT_ERROR_INVALID,
                               "-: token ids are read at random places, which standard input has "
                               "not: name a file");
    }
    if (status == MT_OK) {
        status = mt_token_ids_open((const char *const *)files.names, files.count, raw, ids);
    }
    file_list_clear(&files);
    return status;
}
