/* Writes what the fuzzers of binary files begin with: seeds FOLDER. Texts have theirs in
 * corpus/. */
#include <mixtape/checkpoint.h>
#include <mixtape/device.h>
#include <mixtape/part.h>
#include <mixtape/stream.h>

#include "io/adapter_file.h"
#include "io/checkpoint_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/small_model.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *root;

/* A path in a fuzzer's folder of the seeds. */
static const char *seed_path(const char *fuzzer, const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", root, fuzzer);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", root, fuzzer, name);
    return path;
}

static mt_token_list *some_tokens(void)
{
    static const char *const tokens[SMALL_VOCABULARY] = {"<blank>", "<unk>", "ä", "b", "<sos/eos>"};
    mt_token_list *list;
    CLAIM(mt_token_list_create(SMALL_VOCABULARY, tokens, &list) == MT_OK);
    return list;
}

static mt_model *make_model(mt_device *device, const mt_model_config *config)
{
    mt_model *model;
    CLAIM(mt_model_create(device, MT_F32, config, 1, &model) == MT_OK);
    return model;
}

static void write_checkpoints(const mt_model *model)
{
    static const mt_train_state state = {.step = 3, .best_step = 2, .best_loss = 0.5};
    mt_token_list *tokens = some_tokens();
    mt_adam *adam;
    CLAIM(mt_adam_create((mt_parameters *)(uintptr_t)model->parameters, mt_adam_config_default(),
                         &adam) == MT_OK);
    CLAIM(mt_checkpoint_save(seed_path("checkpoint", "whole.h5"), model, adam, &state,
                             "task: copy\n", tokens) == MT_OK);
    CLAIM(mt_checkpoint_save(seed_path("checkpoint", "bare.h5"), model, NULL, &state, NULL, NULL) ==
          MT_OK);
    char kept[] = "1 'a' 1\n2 'b' 1\n";
    const mt_tokenizer_file tokenizer = {kept, sizeof kept - 1};
    const mt_checkpoint_parts parts = {.parameters = model->parameters,
                                       .config = &model->config,
                                       .state = &state,
                                       .tokenizer = &tokenizer};
    CLAIM(mt_checkpoint_write(seed_path("checkpoint", "tokenizer.h5"), &parts, NULL) == MT_OK);
    mt_adam_destroy(adam);
    mt_token_list_destroy(tokens);
}

/* Beside the model of bare.h5, which is in its place. */
static void write_adapter(mt_device *device, const mt_model_config *config, mt_adapter_kind kind)
{
    static const mt_train_state state = {.step = 3, .best_step = 2, .best_loss = 0.5};
    mt_adapter_config adapter = mt_adapter_config_default(kind);
    adapter.rank = 2;
    mt_adapter_origin origin = {.config = adapter, .of = mt_model_config_resolved(config)};
    mt_model *model = make_model(device, config);
    mt_weights *weights;
    mt_adam *adam;
    char name[64], *path = realpath(seed_path("checkpoint", "bare.h5"), NULL);
    CLAIM(path != NULL);
    CLAIM(mt_weights_open(path, &weights) == MT_OK);
    CLAIM(mt_weights_fingerprint(weights, &origin.weights) == MT_OK);
    origin.model = path;
    CLAIM(mt_model_adapt(model, &adapter, 1) == MT_OK);
    CLAIM(mt_adam_create(model->adapter->parameters, mt_adam_config_default(), &adam) == MT_OK);
    const mt_checkpoint_parts parts = {.parameters = model->adapter->parameters,
                                       .adam = adam,
                                       .state = &state,
                                       .run_config = "task: copy\n",
                                       .adapter = &origin};
    snprintf(name, sizeof name, "%s.h5", mt_adapter_kind_name((int)kind));
    CLAIM(mt_checkpoint_write(seed_path("checkpoint", name), &parts, NULL) == MT_OK);
    mt_adam_destroy(adam);
    mt_weights_close(weights);
    mt_model_destroy(model);
    free(path);
}

/* In every layout that can hold the model. */
static void write_exchange(const mt_model *model)
{
    mt_token_list *tokens = some_tokens();
    for (int i = 0; mt_layouts[i].name != NULL; i++) {
        char name[64];
        const mt_layout *layout = &mt_layouts[i];
        snprintf(name, sizeof name, "%s.h5", layout->name);
        if (mt_weights_save(seed_path("exchange", name), model, layout, tokens) == MT_OK) {
            snprintf(name, sizeof name, "%s.safetensors", layout->name);
            CLAIM(mt_weights_save(seed_path("safetensors", name), model, layout, NULL) == MT_OK);
        }
    }
    mt_token_list_destroy(tokens);
}

static void write_parts(const mt_model *model)
{
    CLAIM(mt_part_save(seed_path("part", "part.h5"), model, SMALL_PART) == MT_OK);
    CLAIM(mt_part_save(seed_path("part", "part.safetensors"), model, SMALL_PART) == MT_OK);
}

/* After a label, with what comes next, and at the beginning. */
static void write_states(mt_model *model)
{
    static const int32_t label = 2;
    float outputs[SMALL_VOCABULARY];
    mt_stream_end end = {outputs, 3}, begun = {NULL, 0};
    mt_stream *stream;
    CLAIM(mt_stream_create(model, 1, &stream) == MT_OK);
    CLAIM(mt_stream_save_file(stream, 0, &begun, seed_path("state", "begun.h5")) == MT_OK);
    CLAIM(mt_stream_feed(stream, 1, &label, 1, outputs) == MT_OK);
    CLAIM(mt_stream_save_file(stream, 0, &end, seed_path("state", "end.h5")) == MT_OK);
    mt_stream_destroy(stream);
}

/* How a dataset of another program may lie in its file. */
typedef enum storage { CONTIGUOUS, COMPACT, CHUNKED, DEFLATED, STORAGES } storage;
static const char *const storage_names[] = {"contiguous", "compact", "chunked", "deflated"};

static void write_dataset(hid_t file, const char *name, hid_t type, hid_t memory, int rank,
                          const hsize_t *shape, storage lies, const void *values)
{
    hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t links = H5Pcreate(H5P_LINK_CREATE), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    if (lies == COMPACT) {
        H5Pset_layout(creation, H5D_COMPACT);
    }
    if (lies == CHUNKED || lies == DEFLATED) {
        H5Pset_chunk(creation, rank, shape);
    }
    if (lies == DEFLATED) {
        H5Pset_deflate(creation, 6);
    }
    hid_t made =
        H5Dcreate2(file, name, type, space, links, rank > 0 ? creation : H5P_DEFAULT, H5P_DEFAULT);
    CLAIM(made >= 0 && H5Dwrite(made, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(made);
    H5Pclose(creation);
    H5Pclose(links);
    H5Sclose(space);
}

static hid_t create(const char *path, H5F_libver_t version)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, version, H5F_LIBVER_LATEST);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    CLAIM(file >= 0);
    return file;
}

/* The model's parameters as another program would write them with libhdf5. */
static void write_foreign(const mt_weights *weights, H5F_libver_t version, storage lies)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%d.h5", storage_names[lies], (int)version);
    hid_t file = create(seed_path("foreign", name), version);
    for (int i = 0; i < weights->parameters->count; i++) {
        const mt_parameter *parameter = weights->parameters->items[i];
        const mt_tensor *tensor = &parameter->tensor;
        hsize_t shape[MT_MAX_RANK];
        float *values = malloc((size_t)mt_tensor_count(tensor) * sizeof *values);
        for (int j = 0; j < tensor->rank; j++) {
            shape[j] = (hsize_t)tensor->shape[j];
        }
        CLAIM(values != NULL &&
              mt_weights_read(weights, parameter, 0, tensor->shape[0], values) == MT_OK);
        write_dataset(file, parameter->name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, tensor->rank, shape,
                      lies, values);
        free(values);
    }
    H5Fclose(file);
}

static void write_labels(H5F_libver_t version, storage lies)
{
    const int32_t labels[6] = {1, 2, 3, 4, 0, 1};
    const hsize_t shape[2] = {2, 3};
    char name[64];
    snprintf(name, sizeof name, "%s-%d.h5", storage_names[lies], (int)version);
    hid_t file = create(seed_path("labels", name), version);
    write_dataset(file, "labels", H5T_STD_I64LE, H5T_NATIVE_INT32, 2, shape, lies, labels);
    H5Fclose(file);
}

/* Ids of two documents in HDF5; their other files are in corpus/. */
static void write_ids(H5F_libver_t version, storage lies)
{
    const int32_t ids[6] = {5, 0, 7, 50276, 2, 1};
    const hsize_t shape[2] = {2, 3};
    char name[64];
    snprintf(name, sizeof name, "%s-%d.h5", storage_names[lies], (int)version);
    hid_t file = create(seed_path("token_ids", name), version);
    write_dataset(file, "ids", H5T_STD_U16LE, H5T_NATIVE_INT32, 2, shape, lies, ids);
    H5Fclose(file);
}

int main(int count, char **arguments)
{
    mt_device *device;
    mt_weights *weights;
    mt_model_config config = small_model();
    CLAIM(count == 2);
    root = arguments[1];
    mkdir(root, 0777);
    CLAIM(mt_device_open("cpu", &device) == MT_OK);
    mt_model *model = make_model(device, &config);
    write_checkpoints(model);
    write_adapter(device, &config, MT_ADAPT_STATE);
    write_adapter(device, &config, MT_ADAPT_LORA);
    config.bias = config.head_bias = false;
    mt_model *without_biases = make_model(device, &config);
    write_exchange(model);
    write_exchange(without_biases);
    write_parts(model);
    write_states(model);
    CLAIM(mt_weights_open(seed_path("checkpoint", "bare.h5"), &weights) == MT_OK);
    for (storage lies = CONTIGUOUS; lies < STORAGES; lies++) {
        write_foreign(weights, H5F_LIBVER_EARLIEST, lies);
        write_foreign(weights, H5F_LIBVER_V110, lies);
        write_labels(H5F_LIBVER_EARLIEST, lies);
        write_labels(H5F_LIBVER_V110, lies);
        write_ids(H5F_LIBVER_EARLIEST, lies);
        write_ids(H5F_LIBVER_V110, lies);
    }
    mt_weights_close(weights);
    mt_model_destroy(model);
    mt_model_destroy(without_biases);
    mt_device_close(device);
    return EXIT_SUCCESS;
}
