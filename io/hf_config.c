#include "io/foreign_names.h"

#include "io/file.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_BYTES = 1 << 20 };

static mt_status read_fields(const char *path, const json_t *fields, mt_hf_config *config)
{
    const char *type = json_string_value(json_object_get(fields, "model_type"));
    const json_t *eps = json_object_get(fields, "layer_norm_epsilon");
    const json_t *tied = json_object_get(fields, "tie_word_embeddings");
    if (type == NULL || strcmp(type, "rwkv") != 0) {
        return MT_OK; /* another model's, which has nothing to do with the file */
    }
    if (eps != NULL && !(json_number_value(eps) > 0.0)) {
        return mt_fail(MT_ERROR_FORMAT, "%s: layer_norm_epsilon is no number above 0", path);
    }
    if (tied != NULL && !json_is_boolean(tied)) {
        return mt_fail(MT_ERROR_FORMAT, "%s: tie_word_embeddings is neither true nor false", path);
    }
    config->eps = eps != NULL ? json_number_value(eps) : config->eps;
    config->tied = tied != NULL ? json_is_true(tied) : config->tied;
    return MT_OK;
}

static mt_status parse(const char *path, const char *text, size_t size, mt_hf_config *config)
{
    json_error_t error;
    json_t *fields = json_loadb(text, size, 0, &error);
    mt_status status;
    if (json_is_object(fields)) {
        status = read_fields(path, fields, config);
    } else if (json_error_code(&error) == json_error_out_of_memory) {
        status = mt_fail(MT_ERROR_MEMORY, "%s: no memory to read it", path);
    } else {
        status = mt_fail(MT_ERROR_FORMAT, "%s: no JSON object: %s", path, error.text);
    }
    json_decref(fields);
    return status;
}

mt_status mt_hf_config_read(const char *weights_path, mt_hf_config *config)
{
    const char *name = strrchr(weights_path, '/');
    int folder = name != NULL ? (int)(name + 1 - weights_path) : 0;
    char path[PATH_MAX], *text;
    struct stat info;
    size_t size;
    snprintf(path, sizeof path, "%.*sconfig.json", folder, weights_path);
    if (stat(path, &info) != 0) {
        return MT_OK;
    }
    if (info.st_size > MOST_BYTES) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %lld bytes, of which there are at most %d", path,
                       (long long)info.st_size, MOST_BYTES);
    }
    mt_status status = mt_file_read(path, &text, &size);
    if (status == MT_OK) {
        status = parse(path, text, size, config);
        free(text);
    }
    return status;
}
