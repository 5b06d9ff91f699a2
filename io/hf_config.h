/* What Hugging Face's config.json tells of a model of RWKV-4. Internal. */
#ifndef MT_IO_HF_CONFIG_H
#define MT_IO_HF_CONFIG_H

#include <mixtape/model.h>
#include <mixtape/token_list.h>

#include <stdbool.h>

typedef struct mt_hf_config {
    bool tied;  /* the head is the embedding */
    double eps; /* of the norms; 0: not told */
    bool tells_rescale_every;
    mt_model_config sizes; /* and rescale_every; 0 where they are not told */
} mt_hf_config;

/* Reads the configuration in a folder, or beside a file of weights, if there is one. That of
 * another type of model is no error beside a file, with which it need have nothing to do, and tells
 * nothing; in a folder it is MT_ERROR_FORMAT, with the type. So is a file that is no
 * configuration. */
mt_status mt_hf_config_read(const char *weights, mt_hf_config *config);

/* MT_ERROR_FORMAT, with both, for a size that is not told as the weights have it. */
mt_status mt_hf_config_check(const char *weights, const mt_hf_config *config,
                             const mt_model_config *found);

/* Writes the configuration of a model without biases, with a head or without, whose numbers have
 * this type of PyTorch's. Of the tokens, or NULL, the one that ends a text is told. */
mt_status mt_hf_config_write(const char *path, const mt_model_config *config, const char *torch,
                             const mt_token_list *tokens);

#endif
