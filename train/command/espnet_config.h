/* ESPnet's training configuration (conf/train.yaml), of which the decoder is read. */
#ifndef MT_COMMAND_ESPNET_CONFIG_H
#define MT_COMMAND_ESPNET_CONFIG_H

#include <mixtape/error.h>

#include "train/command/train_arguments.h"

/* Sets the options of the model from `decoder: rwkv` and `decoder_conf` in the file that is given,
 * ESPnet's defaults where they are silent. Other sections are passed over, which is said of those
 * that tell how text is read, unless options do; rescale_every too, which concerns inference in
 * half precision. MT_ERROR_FORMAT, with the line, for another decoder, an unknown key, a value out
 * of range or text that Mixtape does not read. */
mt_status espnet_config_read(const train_arguments *given, run_config *config);

#endif
