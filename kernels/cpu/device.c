/* The CPU device: memory is the host's, work is done when a call returns. */
#include "kernels/device.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/device.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/team.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct cpu_device {
    mt_device base; /* first: a device pointer is a cpu_device pointer */
    void *workspace;
    size_t workspace_size;
    unsigned char read_slots[MT_READ_SLOTS][MT_READ_BYTES];
} cpu_device;

enum { ALIGNMENT = 64 }; /* a line of the cache */

/* Large arrays lie on large pages where the system gives them when asked: fewer of them to look up,
 * which a training step gains several per cent by. */
static mt_status cpu_allocate(mt_device *device, size_t bytes, void **memory)
{
    bool large = bytes >= 2 * (size_t)MT_LARGE_PAGE;
    size_t alignment = large ? (size_t)MT_LARGE_PAGE : (size_t)ALIGNMENT;
    (void)device;
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    *memory = rounded >= bytes && rounded < PTRDIFF_MAX
                  ? aligned_alloc(alignment, rounded > 0 ? rounded : alignment)
                  : NULL;
    if (large && *memory != NULL) {
        madvise(*memory, rounded, MADV_HUGEPAGE);
    }
    return *memory != NULL ? MT_OK
                           : mt_fail(MT_ERROR_MEMORY, "cpu: no memory for %zu bytes", bytes);
}

static void cpu_release(mt_device *device, void *memory)
{
    (void)device;
    free(memory);
}

typedef struct bytes_to_copy {
    char *to;
    const char *from;
    size_t bytes;
} bytes_to_copy;

enum { COPIED_PART = 1 << 17 }; /* bytes */

static void copy_parts(const void *loop, int64_t first, int64_t end)
{
    const bytes_to_copy *of = loop;
    size_t begin = (size_t)first * COPIED_PART, stop = (size_t)end * COPIED_PART;
    memcpy(of->to + begin, of->from + begin, (stop < of->bytes ? stop : of->bytes) - begin);
}

static mt_status cpu_copy(mt_device *device, void *to, const void *from, size_t bytes)
{
    bytes_to_copy loop = {to, from, bytes};
    int64_t parts = (int64_t)((bytes + COPIED_PART - 1) / COPIED_PART);
    (void)device;
    mt_team_run(parts > 2 ? mt_cpu_threads() : 1, parts, copy_parts, &loop);
    return MT_OK;
}

static mt_status cpu_zero(mt_device *device, void *memory, size_t bytes)
{
    (void)device;
    memset(memory, 0, bytes);
    return MT_OK;
}

static mt_status cpu_poison(mt_device *device, void *memory, size_t bytes)
{
    (void)device;
    memset(memory, 0xFF, bytes);
    return MT_OK;
}

static mt_status cpu_synchronize(mt_device *device)
{
    (void)device;
    return MT_OK;
}

static mt_status cpu_read_later(mt_device *device, int slot, const void *device_memory,
                                size_t bytes)
{
    memcpy(((cpu_device *)device)->read_slots[slot], device_memory, bytes);
    return MT_OK;
}

static mt_status cpu_read_arrived(mt_device *device, int slot, void *host_memory, size_t bytes)
{
    memcpy(host_memory, ((cpu_device *)device)->read_slots[slot], bytes);
    return MT_OK;
}

static mt_status cpu_stream(mt_device *device, void **stream)
{
    (void)device;
    *stream = NULL;
    return MT_OK;
}

static void cpu_use_stream(mt_device *device, void *stream)
{
    (void)device;
    (void)stream;
}

static void cpu_use_own_stream(mt_device *device)
{
    (void)device;
}

static mt_status cpu_allow_tf32(mt_device *device, bool allowed)
{
    (void)device;
    (void)allowed;
    return MT_OK;
}

static const char *cpu_lacks_bf16(const mt_device *device)
{
    (void)device;
    return strcmp(mt_cpu_isa(), "avx512") == 0 ? mt_onednn_lacks()
                                               : "the processor's kernels are not those of avx512";
}

static void cpu_close(mt_device *device)
{
    cpu_device *cpu = (cpu_device *)device;
    free(cpu->workspace);
    free(cpu);
    mt_blas_leave();
}

mt_status mt_cpu_workspace(mt_device *device, size_t bytes, void **memory)
{
    cpu_device *cpu = (cpu_device *)device;
    if (bytes > cpu->workspace_size) {
        free(cpu->workspace);
        cpu->workspace_size = 0;
        mt_status status = cpu_allocate(device, bytes, &cpu->workspace);
        if (status != MT_OK) {
            return status;
        }
        cpu->workspace_size = bytes;
    }
    *memory = cpu->workspace;
    return mt_poison(device, *memory, bytes);
}

mt_status mt_cpu_open(int index, mt_device **device)
{
    const mt_cpu_isa_build *build;
    (void)index;
    mt_status status = mt_cpu_choose_isa(&build);
    if (status != MT_OK) {
        return status;
    }
    cpu_device *cpu = calloc(1, sizeof *cpu);
    if (cpu == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "cpu: no memory for %zu bytes", sizeof *cpu);
    }
    status = mt_blas_join();
    if (status != MT_OK) {
        free(cpu);
        return status;
    }
    cpu->base = (mt_device){
        .name = "cpu",
        .alignment = ALIGNMENT,
        .is_host = true,
        .allocate = cpu_allocate,
        .release = cpu_release,
        .write = cpu_copy,
        .read_back = cpu_copy,
        .copy = cpu_copy,
        .zero = cpu_zero,
        .synchronize = cpu_synchronize,
        .read_later = cpu_read_later,
        .read_arrived = cpu_read_arrived,
        .stream = cpu_stream,
        .use_stream = cpu_use_stream,
        .use_own_stream = cpu_use_own_stream,
        .lacks_bf16 = cpu_lacks_bf16,
        .allow_tf32 = cpu_allow_tf32,
        .poison = cpu_poison,
        .close = cpu_close,
    };
    memcpy(cpu->base.kernels, build->kernels, sizeof cpu->base.kernels);
    *device = &cpu->base;
    return MT_OK;
}
