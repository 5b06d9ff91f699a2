/* Stands in for NCCL: ranks are processes of one machine, which add up in memory that they share,
 * in the order of their ranks. What they do together is work of a stream of CUDA-on-CPU's, and as
 * with NCCL it waits there for the other ranks, for ever where one does not come, unless it is
 * aborted.
 *
 * NCCL_FAILS="CALL RANK N" of the environment has a rank's N-th call fail, from 1 on: `init`,
 * `sum`, `gather`, `broadcast`, `async` (after the N-th sum, which never ends then), `die` (the
 * process ends in it);
 * `slow` has it finish late. Calls that begin something are at work for some questions, as without
 * blocking. Who aborts what finishes ends with status 4: it had nothing to fear. */
#include <cuda_runtime.h>
#include <nccl.h>

#include <atomic>
#include <fcntl.h>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

namespace
{

constexpr int MOST_RANKS = 4, QUESTIONS = 3, MANY_QUESTIONS = 5000;
constexpr size_t PIECE = 1 << 16; /* bytes */

struct shared {
    std::atomic<long> arrived; /* of all ranks, at all barriers */
    alignas(64) char pieces[MOST_RANKS][PIECE];
};

struct failure {
    char call[16] = "";
    int rank = -1, at = 0;

    failure()
    {
        const char *text = getenv("NCCL_FAILS");
        if (text != nullptr && sscanf(text, "%15s %d %d", call, &rank, &at) != 3) {
            at = 0;
        }
    }
};

/* Tells if this is the call that is to fail. */
bool fails(const char *call, int rank, int count)
{
    static const failure asked;
    return rank == asked.rank && count == asked.at && strcmp(call, asked.call) == 0;
}

} // namespace

struct ncclComm {
    int rank, size;
    shared *memory;
    std::atomic<bool> aborted, broken;
    std::atomic<int> questions; /* to which the answer is that it is at work */
    std::atomic<int> running;   /* calls whose work is not yet done */
    long barriers;              /* that this rank has been at */
    int sums, gathers, broadcasts;
    bool finishes;
};

namespace
{

std::mutex leaving;

void leave(ncclComm *comm)
{
    munmap(comm->memory, sizeof(shared));
    delete comm;
}

/* False once it is aborted. */
bool meet(ncclComm *comm)
{
    comm->barriers++;
    comm->memory->arrived++;
    while (comm->memory->arrived < comm->barriers * comm->size) {
        if (comm->aborted) {
            return false;
        }
        usleep(20);
    }
    return true;
}

template <typename real> void add_up(ncclComm *comm, real *values, size_t count)
{
    size_t most = PIECE / sizeof(real);
    for (size_t at = 0; at < count; at += most) {
        size_t n = count - at < most ? count - at : most;
        memcpy(comm->memory->pieces[comm->rank], values + at, n * sizeof(real));
        if (!meet(comm)) {
            return;
        }
        for (size_t i = 0; i < n; i++) {
            real sum = reinterpret_cast<const real *>(comm->memory->pieces[0])[i];
            for (int rank = 1; rank < comm->size; rank++) {
                sum += reinterpret_cast<const real *>(comm->memory->pieces[rank])[i];
            }
            values[at + i] = sum;
        }
        if (!meet(comm)) {
            return;
        }
    }
}

/* Rank `first + i`'s bytes, of i = 0 .. ranks - 1, go to all, at to[i]. */
void give(ncclComm *comm, int first, int ranks, const char *own, char *const *to, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PIECE) {
        size_t n = bytes - at < PIECE ? bytes - at : PIECE;
        if (comm->rank >= first && comm->rank < first + ranks) {
            memcpy(comm->memory->pieces[comm->rank], own + at, n);
        }
        if (!meet(comm)) {
            return;
        }
        for (int i = 0; i < ranks; i++) {
            memcpy(to[i] + at, comm->memory->pieces[first + i], n);
        }
        if (!meet(comm)) {
            return;
        }
    }
}

/* Behind the work of a stream; an aborted one may leave anything in memory. */
void finish(ncclComm *comm, void *memory, size_t bytes)
{
    if (comm->aborted) {
        memset(memory, 0x77, bytes);
    }
    std::lock_guard<std::mutex> guard(leaving);
    if (--comm->running == 0 && comm->aborted) {
        leave(comm);
    }
}

void sum(ncclComm *comm, void *values, size_t count, ncclDataType_t type, int number)
{
    if (fails("die", comm->rank, number)) {
        _exit(3);
    }
    if (fails("async", comm->rank, number)) {
        comm->broken = true;
        while (!comm->aborted) {
            usleep(100);
        }
    } else if (type == ncclFloat64) {
        add_up(comm, static_cast<double *>(values), count);
    } else {
        add_up(comm, static_cast<float *>(values), count);
    }
    finish(comm, values, count * (type == ncclFloat64 ? 8 : 4));
}

void gather(ncclComm *comm, char *memory, size_t part)
{
    char *to[MOST_RANKS];
    for (int rank = 0; rank < comm->size; rank++) {
        to[rank] = memory + rank * part;
    }
    give(comm, 0, comm->size, to[comm->rank], to, part);
    finish(comm, memory, comm->size * part);
}

void broadcast(ncclComm *comm, char *memory, size_t bytes, int root)
{
    give(comm, root, 1, memory, &memory, bytes);
    finish(comm, memory, bytes);
}

/* Puts work on a stream. */
template <typename work>
ncclResult_t begin(ncclComm *comm, cudaStream_t stream, bool fails, work &&what)
{
    if (fails) {
        return ncclInternalError;
    }
    comm->questions = QUESTIONS;
    comm->running++;
    cuda_on_cpu::enqueue(stream, what);
    return ncclInProgress;
}

} // namespace

ncclResult_t ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/mixtape-nccl-%d-%ld", getpid(), random());
    int file = shm_open(id->internal, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0 || ftruncate(file, sizeof(shared)) != 0) {
        return ncclSystemError;
    }
    close(file);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    static int calls;
    if (config->blocking != 0 || ranks > MOST_RANKS) {
        return ncclInvalidUsage;
    }
    int file = shm_open(id.internal, O_RDWR, 0600);
    void *memory = file < 0
                       ? MAP_FAILED
                       : mmap(nullptr, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) {
        return ncclSystemError;
    }
    close(file);
    *comm = new ncclComm{};
    (*comm)->rank = rank;
    (*comm)->size = ranks;
    (*comm)->memory = static_cast<shared *>(memory);
    (*comm)->questions = QUESTIONS;
    bool whole = ++(*comm)->memory->arrived == ranks; /* the first barrier, which none waits at */
    (*comm)->barriers = 1;
    if (whole) {
        shm_unlink(id.internal);
    }
    return fails("init", rank, ++calls) ? ncclSystemError : ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
    *error = comm->broken ? ncclRemoteError : comm->questions-- > 0 ? ncclInProgress : ncclSuccess;
    return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream)
{
    int number = ++comm->sums;
    if (from != to || operation != ncclSum) {
        return ncclInvalidArgument;
    }
    return begin(comm, stream, fails("sum", comm->rank, number),
                 [=] { sum(comm, to, count, type, number); });
}

ncclResult_t ncclAllGather(const void *from, void *to, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    char *memory = static_cast<char *>(to);
    if (from != memory + comm->rank * count || type != ncclUint8) {
        return ncclInvalidArgument;
    }
    return begin(comm, stream, fails("gather", comm->rank, ++comm->gathers),
                 [=] { gather(comm, memory, count); });
}

ncclResult_t ncclBroadcast(const void *from, void *to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream)
{
    if (from != to || type != ncclUint8 || root < 0 || root >= comm->size) {
        return ncclInvalidArgument;
    }
    return begin(comm, stream, fails("broadcast", comm->rank, ++comm->broadcasts),
                 [=] { broadcast(comm, static_cast<char *>(to), count, root); });
}

ncclResult_t ncclCommUserRank(ncclComm_t comm, int *rank)
{
    *rank = comm->rank;
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    if (comm->running != 0) {
        return ncclInvalidUsage;
    }
    comm->questions = fails("slow", comm->rank, 1) ? MANY_QUESTIONS : QUESTIONS;
    comm->finishes = true;
    return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    leave(comm);
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    if (comm->finishes) {
        _exit(4);
    }
    std::lock_guard<std::mutex> guard(leaving); /* what is at work looks at it */
    comm->aborted = true;
    if (comm->running == 0) {
        leave(comm);
    }
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    return result == ncclSystemError     ? "unhandled system error"
           : result == ncclInternalError ? "internal error"
           : result == ncclRemoteError   ? "remote process exited or there was a network error"
                                         : "invalid usage";
}
