/* NCCL as kernels/nccl.h has it: libmixtape_nccl.so. By hand:
 *
 *     cc -std=c11 -O2 -shared -fPIC -I . -I NCCL/include -I CUDA/include \
 *         -o libmixtape_nccl.so kernels/nccl/library.c NCCL/lib/libnccl.so.2 */
#include "kernels/nccl.h"

#include <nccl.h>
#include <string.h>

_Static_assert(NCCL_VERSION_CODE >= 21400, "calls have to return while others are waited for");
_Static_assert(sizeof(ncclUniqueId) == MT_NCCL_ID_BYTES, "the size of an id");

static const char *result(ncclResult_t found)
{
    return found == ncclSuccess || found == ncclInProgress ? NULL : ncclGetErrorString(found);
}

static const char *make_id(unsigned char id[MT_NCCL_ID_BYTES])
{
    ncclUniqueId made;
    const char *failure = result(ncclGetUniqueId(&made));
    memcpy(id, &made, sizeof made);
    return failure;
}

static const char *open_context(int rank, int size, const unsigned char id[MT_NCCL_ID_BYTES],
                                void **context)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId made;
    ncclComm_t comm = NULL;
    config.blocking = 0;
    memcpy(&made, id, sizeof made);
    const char *failure = result(ncclCommInitRankConfig(&comm, size, made, rank, &config));
    *context = comm;
    return failure;
}

static const char *state(void *context, bool *at_work)
{
    ncclResult_t found = ncclSuccess;
    const char *failure = result(ncclCommGetAsyncError(context, &found));
    *at_work = failure == NULL && found == ncclInProgress;
    return failure != NULL ? failure : result(found);
}

static const char *sum(void *context, bool is_double, size_t n, void *values, void *stream)
{
    return result(ncclAllReduce(values, values, n, is_double ? ncclFloat64 : ncclFloat32, ncclSum,
                                context, stream));
}

static const char *gather(void *context, size_t part, void *memory, void *stream)
{
    int rank;
    const char *failure = result(ncclCommUserRank(context, &rank));
    return failure != NULL ? failure
                           : result(ncclAllGather((char *)memory + (size_t)rank * part, memory,
                                                  part, ncclUint8, context, stream));
}

static const char *broadcast(void *context, int root, size_t bytes, void *memory, void *stream)
{
    return result(ncclBroadcast(memory, memory, bytes, ncclUint8, root, context, stream));
}

static const char *finish(void *context)
{
    return result(ncclCommFinalize(context));
}

static void close_context(void *context)
{
    ncclCommDestroy(context);
}

static void abort_context(void *context)
{
    ncclCommAbort(context);
}

__attribute__((visibility("default"))) mt_open_nccl MT_NCCL_LIBRARY;

const char *MT_NCCL_LIBRARY(mt_nccl *nccl)
{
    *nccl = (mt_nccl){.make_id = make_id,
                      .open = open_context,
                      .state = state,
                      .sum = sum,
                      .gather = gather,
                      .broadcast = broadcast,
                      .finish = finish,
                      .close = close_context,
                      .abort = abort_context};
    return result(ncclGetVersion(&nccl->version));
}
