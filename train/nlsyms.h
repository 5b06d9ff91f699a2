/* Files of non-linguistic symbols, as ESPnet's --nlsyms_txt names them: one a line. */
#ifndef MT_TRAIN_NLSYMS_H
#define MT_TRAIN_NLSYMS_H

#include "train/file_list.h"

/* Adds the file's symbols to a list. MT_ERROR_FORMAT where it is no text, or has none. */
mt_status nlsyms_load(const char *path, file_list *symbols);

#endif
