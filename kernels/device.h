/* A device from the inside: memory, copies, and a table of kernels for each type. The CPU and
 * CUDA each fill one in; autograd and everything above it call through it and never ask which
 * device they have. Internal: a program sees a device as a name (mixtape/device.h).
 *
 * Work is issued in order; on a device that is not the host it may run behind, and read_back and
 * synchronize are the calls that wait. */
#ifndef MT_KERNELS_DEVICE_H
#define MT_KERNELS_DEVICE_H

#include <mixtape/device.h>
#include <mixtape/extend.h>

#if defined(__FAST_MATH__) || __FINITE_MATH_ONLY__ || defined(__ASSOCIATIVE_MATH__) ||             \
    defined(__RECIPROCAL_MATH__)
#error "-ffast-math, -Ofast and their like make gradients wrong: NaN and infinity must be kept"
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_recording mt_recording; /* the device's own */

/* Takes the time of one kernel, in seconds. */
typedef mt_status mt_trace_row(void *context, const char *kernel, double seconds);

enum { MT_READ_SLOTS = 64, MT_READ_BYTES = 64 };

/* Tables of kernels: each real type's, and MT_F16's, which has the rows MT_KERNEL_F16 of
 * mixtape/kernels/list.h and NULL in the place of the others. */
enum { MT_KERNEL_TABLES = MT_REAL_DTYPES + 1 };

/* Memory of twice a large page and more is made of whole ones, whatever part of the last is asked
 * for. */
enum { MT_LARGE_PAGE = 2 << 20 };

static inline size_t mt_whole_pages(size_t bytes)
{
    const size_t page = MT_LARGE_PAGE;
    return bytes >= 2 * page && bytes < SIZE_MAX - page ? (bytes + page - 1) / page * page : bytes;
}

struct mt_device {
    const char *name;                            /* "cpu", "cuda:0" */
    const mt_kernels *kernels[MT_KERNEL_TABLES]; /* indexed by mt_dtype */

    /* Bytes that memory is aligned to, and that tapes align each array to: 64, a line of a CPU's
     * cache, or more. */
    size_t alignment;

    /* Tells if several products of one shape are made sooner in one call (mt_matmul_args.batch)
     * than one after the other, when caches still hold what they share. */
    bool joins_products;

    /* Tells if its memory is the host's, which reads there what is done when a call returns. */
    bool is_host;

    /* Memory; its content is unspecified. MT_ERROR_MEMORY with the size asked for. */
    mt_status (*allocate)(mt_device *, size_t bytes, void **memory);
    void (*release)(mt_device *, void *memory); /* NULL is allowed */
    mt_status (*write)(mt_device *, void *device_memory, const void *host_memory, size_t bytes);
    mt_status (*read_back)(mt_device *, void *host_memory, const void *device_memory, size_t bytes);
    mt_status (*copy)(mt_device *, void *to, const void *from, size_t bytes);
    mt_status (*zero)(mt_device *, void *memory, size_t bytes);
    mt_status (*synchronize)(mt_device *);

    /* Reading without waiting: read_later enqueues a copy of at most MT_READ_BYTES into slot 0 ..
     * MT_READ_SLOTS-1, and read_arrived waits for that copy alone and hands it out. */
    mt_status (*read_later)(mt_device *, int slot, const void *device_memory, size_t bytes);
    mt_status (*read_arrived)(mt_device *, int slot, void *host_memory, size_t bytes);

    /* Recording: between record and recorded, work is noted instead of done; replay does all of it
     * with one call. It works on the same addresses, so whatever is to differ from replay to replay
     * is read from device memory. Nothing may be allocated, written or read back in between. A
     * recording in which something failed is ended by recorded with NULL, which keeps the error's
     * message. forget waits for work that may use the recording. All four are NULL on a device that
     * would gain nothing. */
    mt_status (*record)(mt_device *);
    mt_status (*recorded)(mt_device *, mt_recording **recording);
    mt_status (*replay)(mt_device *, mt_recording *recording);
    void (*forget)(mt_device *, mt_recording *recording); /* NULL is allowed */

    /* Tracing: between trace and traced, whatever is put on the device (a kernel, a matrix product,
     * a copy) is timed by the device's own clock. traced waits, and hands the times to `row` in
     * order, under names that live as long as the program; it ends with the first status that is
     * not MT_OK. A trace in which something failed is ended by traced with NULL, which keeps the
     * error's message. trace puts a pause of some milliseconds on the device first: what comes
     * after it queues up, and no time of the host's is counted. Nothing may be recorded or replayed
     * in between. Both are NULL on a device that does not time its kernels. */
    mt_status (*trace)(mt_device *);
    mt_status (*traced)(mt_device *, mt_trace_row *row, void *context);

    /* The stream that work goes to (a cudaStream_t), on whose GPU the calling thread then is; NULL
     * on the host. */
    mt_status (*stream)(mt_device *, void **stream);

    /* From use_stream to use_own_stream, work goes to a stream of the caller's (a cudaStream_t).
     * Neither waits for anything. In between only WKV with a workspace, the transducer loss and
     * `synchronize` may be called: everything else counts on one order of all work. */
    void (*use_stream)(mt_device *, void *stream);
    void (*use_own_stream)(mt_device *);

    /* A second stream of the device's (a cudaStream_t), for work beside the first: after `branch`,
     * what is put on it comes after all that was put on the device before; after `join`, what is
     * put on the device comes after all that was put on it. Neither waits for anything. Memory that
     * it works on is kept until after a join. Both are NULL on the host. */
    mt_status (*branch)(mt_device *, void **stream);
    mt_status (*join)(mt_device *);

    /* NULL where products of MT_BF16 are done as such, else why they are not. */
    const char *(*lacks_bf16)(const mt_device *);

    /* Allows matrix products of MT_F32 to round their factors to TF32, on a device that has it, or
     * forbids it, as it is at first. */
    mt_status (*allow_tf32)(mt_device *, bool allowed);

    /* Sets every bit of memory that is to be written whole, which makes NaN of its reals; traced
     * nowhere. mt_device_open leaves it NULL unless MIXTAPE_POISON asks for it. */
    mt_status (*poison)(mt_device *, void *memory, size_t bytes);

    void (*close)(mt_device *);
};

/* The kinds of device that mt_device_open knows. */
mt_status mt_cpu_open(int index, mt_device **device);
mt_status mt_cuda_open(int index, mt_device **device);

/* The CUDA devices that mt_cuda_open can open, 0 where it can open none. */
int mt_cuda_count(void);

/* mt_device_open, for one of several processes on a machine, by its place among them from 0 on:
 * "cuda" and "auto" are a CUDA device of its own, or as few as can be have the same. */
mt_status mt_device_open_at(const char *name, int place, mt_device **device);

/* Poisons memory that is handed out to be written, on a device that was asked to. */
static inline mt_status mt_poison(mt_device *device, void *memory, size_t bytes)
{
    return device->poison != NULL && bytes > 0 ? device->poison(device, memory, bytes) : MT_OK;
}

#ifdef __cplusplus
}
#endif

#endif
