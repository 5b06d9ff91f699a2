/* Files of weights, opened: which container one is. */
#include "io/weights_file.h"

#include "io/file.h"
#include "io/hf_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A .safetensors file begins with the length of a JSON object; where neither that nor HDF5's
 * signature is found, the name tells what the file was to be. */
static mt_status find_container(const char *path, bool *is_safetensors)
{
    static const char signature[] = {'\211', 'H', 'D', 'F', '\r', '\n', '\032', '\n'};
    char bytes[sizeof signature + 1] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    ssize_t got = read(file, bytes, sizeof bytes);
    close(file);
    bool is_hdf5 = got == sizeof bytes && memcmp(bytes, signature, sizeof signature) == 0;
    bool begins_object = got == sizeof bytes && bytes[sizeof signature] == '{';
    *is_safetensors = !is_hdf5 && (begins_object || mt_is_safetensors(path));
    return MT_OK;
}

static mt_status open_container(const char *path, mt_weights_file *file)
{
    bool is_safetensors = false;
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return mt_hf_folder_source(path, &file->source);
    }
    mt_status status = find_container(path, &is_safetensors);
    if (status != MT_OK) {
        return status;
    }
    return is_safetensors ? mt_safetensors_source(path, &file->source)
                          : mt_archive_open(path, &file->archive);
}

mt_status mt_weights_file_open(const char *path, mt_weights_file *file)
{
    *file = (mt_weights_file){.path = strdup(path)};
    if (file->path == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", path);
    }
    mt_status status = open_container(path, file);
    if (status != MT_OK) {
        mt_weights_file_close(file);
    }
    return status;
}

void mt_weights_file_close(mt_weights_file *file)
{
    mt_source_close(file->source);
    mt_archive_discard(file->archive);
    free(file->path);
    *file = (mt_weights_file){.path = NULL};
}
