/* A communicator through the host's memory. A sum is made piece by piece: each rank gets its part
 * of a piece from all ranks, adds them in the order of ranks, and gives the sum to all. So every
 * rank sends and gets twice the array's bytes, less what stays, whatever their number; each element
 * is added once, in one place, so that all have the same bits. */
#include "kernels/communicator.h"

#include "kernels/device.h"

#include <stdlib.h>

enum { PIECE_BYTES = 1 << 20 };

typedef struct host_communicator {
    mt_communicator base;
    mt_transport transport;
    size_t piece;       /* bytes: PIECE_BYTES, or a little more for whole parts of doubles */
    char *own, *others; /* (piece) each */
} host_communicator;

static host_communicator *of(mt_communicator *communicator)
{
    return (host_communicator *)(void *)communicator;
}

static mt_status status_of(const char *failure)
{
    return failure == NULL ? MT_OK : mt_fail(MT_ERROR_DEVICE, "communicator: %s", failure);
}

static mt_status gather(mt_communicator *communicator, size_t bytes, const void *own, void *all)
{
    const mt_transport *transport = &of(communicator)->transport;
    return status_of(transport->gather(transport->context, bytes, own, all));
}

static mt_status broadcast(mt_communicator *communicator, int root, size_t bytes, void *memory)
{
    const mt_transport *transport = &of(communicator)->transport;
    return status_of(transport->broadcast(transport->context, root, bytes, memory));
}

/* Adds the later ones of `count` arrays, which follow one another, to the first. */
#define ADD_UP(type)                                                                               \
    static void add_up_##type(int count, size_t n, type *arrays)                                   \
    {                                                                                              \
        for (int rank = 1; rank < count; rank++) {                                                 \
            const type *next = arrays + (size_t)rank * n;                                          \
            for (size_t i = 0; i < n; i++) {                                                       \
                arrays[i] += next[i];                                                              \
            }                                                                                      \
        }                                                                                          \
    }
ADD_UP(float)
ADD_UP(double)

static mt_status sum_piece(host_communicator *made, mt_device *device, mt_dtype dtype, size_t n,
                           void *values)
{
    const mt_transport *transport = &made->transport;
    size_t size = mt_dtype_size(dtype), ranks = (size_t)transport->size;
    size_t part = (n + ranks - 1) / ranks, bytes = part * size;
    mt_status status = device->read_back(device, made->own, values, n * size);
    if (status == MT_OK) {
        status = status_of(transport->exchange(transport->context, bytes, made->own, made->others));
    }
    if (status != MT_OK) {
        return status;
    }
    if (dtype == MT_F64) {
        add_up_double(transport->size, part, (double *)(void *)made->others);
    } else {
        add_up_float(transport->size, part, (float *)(void *)made->others);
    }
    status = status_of(transport->gather(transport->context, bytes, made->others, made->own));
    return status == MT_OK ? device->write(device, values, made->own, n * size) : status;
}

static mt_status sum(mt_communicator *communicator, mt_device *device, mt_dtype dtype, int64_t n,
                     void *values)
{
    host_communicator *made = of(communicator);
    size_t size = mt_dtype_size(dtype), most = made->piece / size;
    mt_status status = MT_OK;
    for (size_t at = 0; at < (size_t)n && status == MT_OK; at += most) {
        size_t rest = (size_t)n - at;
        status =
            sum_piece(made, device, dtype, rest < most ? rest : most, (char *)values + at * size);
    }
    return status;
}

static void end_all(mt_communicator *communicator, int exit_status)
{
    const mt_transport *transport = &of(communicator)->transport;
    transport->end_all(transport->context, exit_status);
}

static void close_host(mt_communicator *communicator)
{
    host_communicator *made = of(communicator);
    made->transport.close(made->transport.context);
    free(made->base.votes);
    free(made->own);
    free(made->others);
    free(made);
}

mt_status mt_host_communicator(const mt_transport *transport, mt_communicator **communicator)
{
    size_t ranks = (size_t)transport->size, line = ranks * sizeof(double);
    host_communicator *made = calloc(1, sizeof *made);
    *communicator = NULL;
    if (made != NULL) {
        *made = (host_communicator){.base = {.rank = transport->rank,
                                             .size = transport->size,
                                             .gather = gather,
                                             .broadcast = broadcast,
                                             .sum = sum,
                                             .end_all = end_all,
                                             .close = close_host,
                                             .votes = calloc(ranks, sizeof *made->base.votes)},
                                    .transport = *transport,
                                    .piece = (PIECE_BYTES + line - 1) / line * line};
        made->own = calloc(1, made->piece); /* the last part of a piece may be longer than it is */
        made->others = calloc(1, made->piece);
    }
    if (made == NULL || made->base.votes == NULL || made->own == NULL || made->others == NULL) {
        mt_status status =
            mt_fail(MT_ERROR_MEMORY, "communicator: no memory for pieces of %d bytes", PIECE_BYTES);
        if (made != NULL) {
            free(made->base.votes);
            free(made->own);
            free(made->others);
            free(made);
        }
        transport->close(transport->context);
        return status;
    }
    *communicator = &made->base;
    return MT_OK;
}
