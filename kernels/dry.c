#include "kernels/dry.h"

#include "kernels/matmul_steps.h"

#include <stdlib.h>
#include <string.h>

/* Memory that was handed out; the list has a few dozen. */
typedef struct extent extent;
struct extent {
    extent *next;
    uintptr_t address;
    size_t bytes;
};

typedef struct dry_device {
    mt_device base; /* first: a device pointer is a dry_device pointer */
    mt_device *like;
    mt_kernels kernels[MT_REAL_DTYPES];
    extent *extents;
    uintptr_t end; /* of the addresses handed out */
    size_t held, most;
    size_t workspace; /* of what is held, the device's own for widened factors */
} dry_device;

/* ---- memory ---- */

static const uintptr_t first_address = (uintptr_t)1 << 20; /* NULL is none, nor what is near it */

static void hold(dry_device *dry, size_t bytes)
{
    dry->held += bytes;
    dry->most = dry->held > dry->most ? dry->held : dry->most;
}

static mt_status allocate(mt_device *device, size_t bytes, void **memory)
{
    dry_device *dry = (dry_device *)device;
    extent *made = malloc(sizeof *made);
    size_t alignment = device->alignment;
    size_t rounded = (mt_whole_pages(bytes) / alignment + 1) * alignment;
    *memory = NULL;
    if (made == NULL || bytes > SIZE_MAX / 2 || rounded > UINTPTR_MAX - dry->end) {
        free(made);
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", device->name, bytes);
    }
    bytes = mt_whole_pages(bytes);
    *made = (extent){.next = dry->extents, .address = dry->end, .bytes = bytes};
    dry->extents = made;
    dry->end += rounded;
    hold(dry, bytes);
    *memory = (void *)made->address;
    return MT_OK;
}

static void release(mt_device *device, void *memory)
{
    dry_device *dry = (dry_device *)device;
    extent **at = &dry->extents;
    while (*at != NULL && (*at)->address != (uintptr_t)memory) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        extent *found = *at;
        dry->held -= found->bytes;
        *at = found->next;
        free(found);
    }
}

size_t mt_dry_most(const mt_device *device)
{
    return ((const dry_device *)device)->most;
}

/* ---- work, which is not done ---- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

static mt_status put(mt_device *device, void *to, const void *from, size_t bytes)
{
    return MT_OK;
}

static mt_status read_back(mt_device *device, void *host_memory, const void *from, size_t bytes)
{
    memset(host_memory, 0, bytes);
    return MT_OK;
}

static mt_status zero(mt_device *device, void *memory, size_t bytes)
{
    return MT_OK;
}

static mt_status synchronize(mt_device *device)
{
    return MT_OK;
}

static mt_status read_later(mt_device *device, int slot, const void *from, size_t bytes)
{
    return MT_OK;
}

static mt_status read_arrived(mt_device *device, int slot, void *host_memory, size_t bytes)
{
    memset(host_memory, 0, bytes);
    return MT_OK;
}

static mt_status stream(mt_device *device, void **stream)
{
    *stream = NULL;
    return MT_OK;
}

static void use_stream(mt_device *device, void *stream)
{
}

static void use_own_stream(mt_device *device)
{
}

static mt_status allow_tf32(mt_device *device, bool allowed)
{
    return MT_OK;
}

/* A size that is none is 0, as MT_OK is. */
#define MT_KERNEL(result, name, parameters)                                                        \
    static result no_##name parameters                                                             \
    {                                                                                              \
        return (result)0;                                                                          \
    }
#include <mixtape/kernels/list.h>

#pragma GCC diagnostic pop

static const mt_kernels no_kernels = {
#define MT_KERNEL(result, name, parameters) .name = no_##name,
#include <mixtape/kernels/list.h>
};

/* Sizes that others allocate are those of the device whose place this one takes. */
static size_t saved_size(mt_device *device, mt_dtype dtype, int64_t B, int64_t T, int64_t C)
{
    mt_device *like = ((dry_device *)device)->like;
    return like->kernels[dtype]->wkv_saved_size(like, B, T, C);
}

static size_t saved_size_f32(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    return saved_size(device, MT_F32, B, T, C);
}

static size_t saved_size_f64(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    return saved_size(device, MT_F64, B, T, C);
}

static size_t saved_size_bf16(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    return saved_size(device, MT_BF16, B, T, C);
}

static const char *lacks_bf16(const mt_device *device)
{
    return mt_device_lacks_bf16(((const dry_device *)device)->like);
}

static mt_status matmul_bf16(mt_device *device, const mt_matmul_args *given)
{
    dry_device *dry = (dry_device *)device;
    const mt_matmul_args args = mt_matmul_spelled_out(given);
    size_t widened = (size_t)mt_matmul_widened(&args) * sizeof(float);
    bool widens = strcmp(device->name, "cpu") == 0 && lacks_bf16(device) != NULL;
    if (widens && widened > dry->workspace) {
        hold(dry, widened - dry->workspace);
        dry->workspace = widened;
    }
    return MT_OK;
}

/* ---- its life ---- */

static void close_device(mt_device *device)
{
    dry_device *dry = (dry_device *)device;
    while (dry->extents != NULL) {
        release(device, (void *)dry->extents->address);
    }
    free(dry);
}

mt_status mt_dry_open(mt_device *like, mt_device **device)
{
    dry_device *dry = calloc(1, sizeof *dry);
    *device = NULL;
    if (dry == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", like->name, sizeof *dry);
    }
    dry->like = like;
    dry->end = first_address;
    dry->kernels[MT_F32] = dry->kernels[MT_F64] = dry->kernels[MT_BF16] = no_kernels;
    dry->kernels[MT_F32].wkv_saved_size = saved_size_f32;
    dry->kernels[MT_F64].wkv_saved_size = saved_size_f64;
    dry->kernels[MT_BF16].wkv_saved_size = saved_size_bf16;
    dry->kernels[MT_BF16].matmul = matmul_bf16;
    dry->base = (mt_device){
        .name = like->name,
        .kernels = {[MT_F32] = &dry->kernels[MT_F32],
                    [MT_F64] = &dry->kernels[MT_F64],
                    [MT_BF16] = &dry->kernels[MT_BF16]},
        .alignment = like->alignment,
        .joins_products = like->joins_products,
        .allocate = allocate,
        .release = release,
        .write = put,
        .read_back = read_back,
        .copy = put,
        .zero = zero,
        .synchronize = synchronize,
        .read_later = read_later,
        .read_arrived = read_arrived,
        .stream = stream,
        .use_stream = use_stream,
        .use_own_stream = use_own_stream,
        .lacks_bf16 = lacks_bf16,
        .allow_tf32 = allow_tf32,
        .close = close_device,
    };
    *device = &dry->base;
    return MT_OK;
}
