/* Folders of Hugging Face's, written. */
#include "io/file.h"
#include "io/hf_config.h"
#include "io/hf_folder.h"
#include "io/kept_tokenizer.h"
#include "io/new_folder.h"
#include "io/number_types.h"
#include "io/weights_file.h"

#include <limits.h>

#define CONFIG "config.json"

static const char *const names[] = {
    MT_HF_WEIGHTS, CONFIG, MT_TOKENIZER_JSON, MT_TOKENIZER_MODEL, MT_TOKENIZER_WORLD, NULL};

static mt_status write_tokenizer(const mt_new_folder *folder, const mt_tokenizer_file *tokenizer)
{
    char path[PATH_MAX];
    mt_status status = mt_folder_path(folder, mt_tokenizer_usual_name(tokenizer), path);
    return status == MT_OK ? mt_file_replace(path, tokenizer->bytes, tokenizer->size) : status;
}

static mt_status write_contents(const mt_new_folder *folder, const mt_hf_contents *contents)
{
    char path[PATH_MAX];
    const mt_number_type *type = mt_number_type_of(contents->stored, contents->dtype);
    mt_status status = mt_folder_path(folder, MT_HF_WEIGHTS, path);
    if (status == MT_OK) {
        status = mt_safetensors_write(path, contents->arrays, contents->stored, NULL);
    }
    if (status == MT_OK) {
        status = mt_folder_path(folder, CONFIG, path);
    }
    if (status == MT_OK) {
        status = mt_hf_config_write(path, contents->config, type->torch, contents->tokens);
    }
    return status == MT_OK && contents->tokenizer->bytes != NULL
               ? write_tokenizer(folder, contents->tokenizer)
               : status;
}

mt_status mt_hf_folder_write(const char *path, const mt_hf_contents *contents)
{
    mt_new_folder folder;
    mt_status status = mt_folder_begin(path, names, &folder);
    if (status != MT_OK) {
        return status;
    }
    status = write_contents(&folder, contents);
    status = status == MT_OK ? mt_folder_end(&folder)
                             : mt_fail(status, "%s: %s", path, mt_error_message());
    mt_folder_discard(&folder);
    return status;
}
