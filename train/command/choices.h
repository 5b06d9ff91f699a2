/* How a model's symbols are chosen, and which never are. */
#ifndef MT_COMMAND_CHOICES_H
#define MT_COMMAND_CHOICES_H

#include <mixtape/sampling.h>

#include "train/command/shown_text.h"
#include "train/file_list.h"

typedef struct choices_asked {
    mt_sampling sampling;
    file_list forbidden; /* tokens or numbers */
    bool blank;          /* <blank> may be chosen */
} choices_asked;

/* A sampler of the model's symbols that chooses as asked, of text alone, and no <blank> unless that
 * is asked for. MT_ERROR_INVALID, naming the option, for a symbol that is none, or the one that is
 * to end the text. The caller destroys the sampler, which is NULL after a failure. */
mt_status choices_open(const text_symbols *symbols, const text_stop *stop,
                       const choices_asked *asked, uint64_t seed, mt_sampler **sampler);

#endif
