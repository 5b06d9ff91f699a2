#include "kernels/device.h"
#include "kernels/null.h"

#include <stdlib.h>
#include <string.h>

/* A CUDA device that can multiply matrices, which is when its cuBLAS is there. */
static mt_status open_auto(int index, mt_device **device)
{
    if (mt_cuda_open(index, device) == MT_OK) {
        if ((*device)->allow_tf32(*device, false) == MT_OK) {
            return MT_OK;
        }
        mt_device_close(*device);
    }
    return mt_cpu_open(0, device);
}

static const struct {
    const char *name;
    bool has_index; /* "name:I" chooses one of several */
    mt_status (*open)(int index, mt_device **device);
} kinds[] = {
    {"cpu", false, mt_cpu_open},
    {"cuda", true, mt_cuda_open},
    {"auto", false, open_auto},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

enum { NO_INDEX = -1 };

/* Splits "cuda:1" into its kind and its index, NO_INDEX if there is none. False if it is no
 * device's name. */
static bool parse_name(const char *name, int *kind, int *index)
{
    size_t length = strcspn(name, ":");
    *index = NO_INDEX;
    for (*kind = 0; *kind < KINDS; ++*kind) {
        if (strlen(kinds[*kind].name) == length && strncmp(name, kinds[*kind].name, length) == 0) {
            break;
        }
    }
    if (*kind == KINDS || name[length] == '\0') {
        return *kind < KINDS;
    }
    const char *digits = name + length + 1;
    size_t count = strspn(digits, "0123456789");
    bool valid = kinds[*kind].has_index && count >= 1 && count <= 4 && digits[count] == '\0';
    *index = valid ? (int)strtol(digits, NULL, 10) : NO_INDEX;
    return valid;
}

mt_status mt_device_open_at(const char *name, int place, mt_device **device)
{
    int kind, index;
    *device = NULL;
    if (!parse_name(name, &kind, &index)) {
        return mt_fail(MT_ERROR_INVALID, "device: '%s' is none of cpu, cuda, cuda:I, auto", name);
    }
    if (index == NO_INDEX) {
        int count = place > 0 ? mt_cuda_count() : 0;
        index = count > 0 ? place % count : 0;
    }
    mt_status status = kinds[kind].open(index, device);
    if (status == MT_OK && getenv("MIXTAPE_POISON") == NULL) {
        (*device)->poison = NULL;
    }
    return status;
}

mt_status mt_device_open(const char *name, mt_device **device)
{
    return mt_device_open_at(name, 0, device);
}

void mt_device_close(mt_device *device)
{
    if (device != NULL) {
        device->close(device);
    }
}

const char *mt_device_name(const mt_device *device)
{
    if (device == NULL) {
        return "";
    }
    return device->name;
}

mt_status mt_device_synchronize(mt_device *device)
{
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    return device->synchronize(device);
}

const char *mt_device_lacks_bf16(const mt_device *device)
{
    return device != NULL ? device->lacks_bf16(device) : NULL;
}

mt_status mt_device_allow_tf32(mt_device *device, bool allowed)
{
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    return device->allow_tf32(device, allowed);
}

mt_status mt_device_allocate(mt_device *device, size_t bytes, void **memory)
{
    *memory = NULL;
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    return device->allocate(device, bytes, memory);
}

void mt_device_release(mt_device *device, void *memory)
{
    if (device == NULL) {
        return;
    }
    device->release(device, memory);
}

mt_status mt_device_write(mt_device *device, void *device_memory, const void *host_memory,
                          size_t bytes)
{
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    return device->write(device, device_memory, host_memory, bytes);
}

mt_status mt_device_read(mt_device *device, void *host_memory, const void *device_memory,
                         size_t bytes)
{
    if (device == NULL) {
        return mt_fail_null(__func__);
    }
    return device->read_back(device, host_memory, device_memory, bytes);
}
