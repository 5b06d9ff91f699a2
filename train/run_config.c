#include "train/run_config.h"

mt_status run_config_copy(const run_config *config, run_config *copy)
{
    *copy = *config;
    copy->data = copy->valid_data = copy->nlsyms = copy->tokens = (file_list){0};
    mt_status status = file_list_add_all(&copy->data, &config->data);
    if (status == MT_OK) {
        status = file_list_add_all(&copy->valid_data, &config->valid_data);
    }
    if (status == MT_OK) {
        status = file_list_add_all(&copy->nlsyms, &config->nlsyms);
    }
    if (status == MT_OK) {
        status = file_list_add_all(&copy->tokens, &config->tokens);
    }
    if (status != MT_OK) {
        run_config_clear(copy);
    }
    return status;
}

void run_config_clear(run_config *config)
{
    file_list_clear(&config->data);
    file_list_clear(&config->valid_data);
    file_list_clear(&config->nlsyms);
    file_list_clear(&config->tokens);
}
