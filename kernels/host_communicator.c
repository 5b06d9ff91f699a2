/* A communicator through the host's memory, by a transport. */
#include "kernels/communicator.h"
#include "kernels/host_sums.h"

#include <stdlib.h>

typedef struct host_communicator {
    mt_communicator base;
    mt_transport transport;
    mt_host_sums *sums;
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

static mt_status begin_sum(mt_communicator *communicator, mt_device *device, mt_dtype dtype,
                           int64_t n, void *values)
{
    return mt_host_sums_begin(of(communicator)->sums, device, dtype, n, values);
}

static mt_status end_sums(mt_communicator *communicator, mt_device *device)
{
    (void)device;
    return mt_host_sums_end(of(communicator)->sums);
}

static bool look(const mt_communicator *communicator, size_t size, char *words)
{
    const mt_transport *transport =
        &((const host_communicator *)(const void *)communicator)->transport;
    return transport->look != NULL && transport->look(transport->context, size, words);
}

static bool is_to_tell(mt_communicator *communicator)
{
    const mt_transport *transport = &of(communicator)->transport;
    return transport->is_to_tell == NULL || transport->is_to_tell(transport->context);
}

static void end_all(mt_communicator *communicator, int exit_status)
{
    const mt_transport *transport = &of(communicator)->transport;
    transport->end_all(transport->context, exit_status);
}

static void close_host(mt_communicator *communicator)
{
    host_communicator *made = of(communicator);
    mt_host_sums_destroy(made->sums);
    made->transport.close(made->transport.context);
    free(made->base.votes);
    free(made);
}

mt_status mt_host_communicator(const mt_transport *transport, mt_communicator **communicator)
{
    mt_status status = MT_ERROR_MEMORY;
    host_communicator *made = calloc(1, sizeof *made);
    int *votes = calloc((size_t)transport->size, sizeof *votes);
    *communicator = NULL;
    if (made == NULL || votes == NULL) {
        mt_fail(status, "communicator: no memory for %d ranks", transport->size);
    } else {
        *made = (host_communicator){.base = {.rank = transport->rank,
                                             .size = transport->size,
                                             .place = transport->place,
                                             .gather = gather,
                                             .broadcast = broadcast,
                                             .begin_sum = begin_sum,
                                             .end_sums = end_sums,
                                             .look = look,
                                             .is_to_tell = is_to_tell,
                                             .end_all = end_all,
                                             .close = close_host,
                                             .votes = votes},
                                    .transport = *transport};
        status = mt_host_sums_create(&made->transport, &made->sums);
    }
    if (status != MT_OK) {
        free(made);
        free(votes);
        transport->close(transport->context);
        return status;
    }
    *communicator = &made->base;
    return MT_OK;
}
