/* ESPnet's training configuration (conf/train.yaml): its decoder, and what it says of the text. */
#ifndef MT_COMMAND_ESPNET_CONFIG_H
#define MT_COMMAND_ESPNET_CONFIG_H

#include <mixtape/error.h>

#include "train/command/train_arguments.h"

/* Sets the options of the model from `decoder: rwkv` and `decoder_conf` in the file that is given,
 * ESPnet's defaults where they are silent, and what it says of the text (espnet_text_take), where
 * `init`, the weights that a run begins with, or NULL, does not. Other sections are passed over.
 * MT_ERROR_FORMAT, with the line, for another decoder, an unknown key, a value out of range or text
 * that Mixtape does not read. */
mt_status espnet_config_read(const train_arguments *given, const mt_weights *init,
                             run_config *config);

#endif
