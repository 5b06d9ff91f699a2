/* ESPnet's training configuration (conf/train.yaml), of which the decoder is read. */
#ifndef MT_COMMAND_ESPNET_CONFIG_H
#define MT_COMMAND_ESPNET_CONFIG_H

#include <mixtape/error.h>

#include "train/run_config.h"

/* Sets the options of the model from `decoder: rwkv` and `decoder_conf` in the file, ESPnet's
 * defaults where they are silent. Other sections are passed over; rescale_every too, which concerns
 * inference in half precision. MT_ERROR_FORMAT, with the line, for another decoder, an unknown key
 * or a value out of range. */
mt_status espnet_config_read(const char *path, run_config *config);

#endif
