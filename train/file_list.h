/* Names of files and folders, as an option takes several of them: where they are kept, and which
 * files they stand for. */
#ifndef MT_TRAIN_FILE_LIST_H
#define MT_TRAIN_FILE_LIST_H

#include <mixtape/error.h>

#include <stdint.h>

typedef struct file_list {
    int64_t count;
    char **names;
} file_list;

/* Adds a copy of the name. MT_ERROR_MEMORY leaves the list as it was. */
mt_status file_list_add(file_list *list, const char *name);

/* Adds all of another list's. */
mt_status file_list_add_all(file_list *list, const file_list *other);

/* Puts a copy of another name in the place of the i-th. */
mt_status file_list_replace(file_list *list, int64_t i, const char *name);

void file_list_clear(file_list *list);

/* Adds the files that the names stand for: a folder for the regular files in it and in the folders
 * below, in the order of their names, without hidden ones; any other name for itself. MT_ERROR_IO
 * where a folder or what it links to cannot be read, MT_ERROR_INVALID where it has no file. */
mt_status file_list_walk(const file_list *names, file_list *files);

#endif
