/* What ESPnet's configuration says of the text: how it is split, and by which files. */
#ifndef MT_COMMAND_ESPNET_TEXT_H
#define MT_COMMAND_ESPNET_TEXT_H

#include <mixtape/error.h>

#include "train/command/train_arguments.h"
#include "train/command/yaml_text.h"

/* Takes token_list, a file or the tokens themselves, bpemodel and non_linguistic_symbols, as
 * token_type needs them, where neither the command line nor the model that a run begins with (its
 * weights, or NULL) has its own, and says so; paths are, as in ESPnet, relative to where the
 * command runs. Tasks other than of transcripts take nothing. MT_ERROR_FORMAT, with the line, for
 * what Mixtape does not do with text: cleaner, g2p, and types of tokens but bpe, char and word. */
mt_status espnet_text_take(yaml_document_t *document, const train_arguments *given,
                           const mt_weights *init, run_config *config);

#endif
