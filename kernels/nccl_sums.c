#include "kernels/nccl_sums.h"

#include "kernels/communicator.h"
#include "kernels/device.h"
#include "kernels/own_thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_MS = 100, /* between two looks at the other ranks */
    POLL_US = 50,  /* between two at a call that is at work */
    CONNECT_SECONDS = 120,
    FINISH_SECONDS = 10
};

struct mt_nccl_sums {
    mt_nccl nccl;
    mt_communicator *communicator;
    mt_device *device;

    mt_own_watch watch;

    /* The lock guards the context, NULL once sums were ended, and the reason. */
    pthread_mutex_t lock;
    void *context;
    char reason[256]; /* "" while all is well */
};

static void sleep_for(long microseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = microseconds * 1000}, NULL);
}

static double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- failures ---- */

/* Ends what is at work. The reason is there before a waiting for the GPU comes to its end. */
static void give_up(mt_nccl_sums *sums, const char *reason)
{
    if (sums->reason[0] == '\0') {
        snprintf(sums->reason, sizeof sums->reason, "%s", reason);
    }
    if (sums->context != NULL) {
        sums->nccl.abort(sums->context);
        sums->context = NULL;
    }
}

static bool is_lost(const mt_nccl_sums *sums, char reason[256])
{
    const mt_communicator *communicator = sums->communicator;
    return communicator->look != NULL && communicator->look(communicator, 256, reason);
}

/* Looks once. Returns whether the last call is still at work. Ranks that have done with NCCL may
 * have ended: that is `finishing`. */
static bool look(mt_nccl_sums *sums, bool finishing)
{
    bool at_work = false;
    char reason[256];
    if (sums->context == NULL) {
        return false;
    }
    const char *failure = sums->nccl.state(sums->context, &at_work);
    if (!finishing && is_lost(sums, reason)) {
        give_up(sums, reason);
    } else if (failure != NULL) {
        snprintf(reason, sizeof reason, "NCCL: %s", failure);
        give_up(sums, reason);
    }
    return at_work && sums->context != NULL;
}

/* Waits for a call that was begun, `failure` if it could not be, for so many seconds at most. */
static void settle(mt_nccl_sums *sums, const char *failure, double seconds, bool finishing)
{
    const double until = clock_seconds() + seconds;
    char reason[256];
    if (failure != NULL) {
        snprintf(reason, sizeof reason, "NCCL: %s", failure);
        give_up(sums, reason);
    }
    while (look(sums, finishing)) {
        if (clock_seconds() > until) {
            snprintf(reason, sizeof reason, "NCCL: nothing within %g s", seconds);
            give_up(sums, reason);
        }
        sleep_for(POLL_US);
    }
}

static mt_status status_of(const mt_nccl_sums *sums)
{
    return sums->reason[0] == '\0' ? MT_OK
                                   : mt_fail(MT_ERROR_DEVICE, "communicator: %s", sums->reason);
}

static bool look_beside(void *context)
{
    mt_nccl_sums *sums = context;
    pthread_mutex_lock(&sums->lock);
    look(sums, false);
    bool goes_on = sums->reason[0] == '\0';
    pthread_mutex_unlock(&sums->lock);
    return goes_on;
}

/* ---- opening and closing ---- */

/* What a rank needs by itself. */
static mt_status prepare(mt_nccl_sums *sums)
{
    void *stream;
    const char *wanted = getenv("MIXTAPE_NCCL");
    if (wanted != NULL && strcmp(wanted, "0") == 0) {
        return mt_fail(MT_ERROR_DEVICE, "MIXTAPE_NCCL is 0");
    }
    if (sums->device->branch == NULL) {
        return mt_fail(MT_ERROR_DEVICE, "the device is %s", sums->device->name);
    }
    mt_status status = mt_nccl_load(&sums->nccl);
    if (status == MT_OK) {
        setenv("NCCL_ALGO", "Ring", 0); /* by NVLink's switches sums are not the same each time */
        status = sums->device->branch(sums->device, &stream); /* makes it */
    }
    return status == MT_OK ? sums->device->join(sums->device) : status;
}

static mt_status share_id(mt_nccl_sums *sums, unsigned char id[MT_NCCL_ID_BYTES])
{
    const char *failure = sums->communicator->rank == 0 ? sums->nccl.make_id(id) : NULL;
    mt_status status = mt_communicator_agree(
        sums->communicator,
        failure == NULL ? MT_OK : mt_fail(MT_ERROR_DEVICE, "NCCL: %s", failure));
    return status == MT_OK ? mt_communicator_broadcast(sums->communicator, MT_NCCL_ID_BYTES, id)
                           : status;
}

static mt_status connect(mt_nccl_sums *sums, const unsigned char id[MT_NCCL_ID_BYTES])
{
    const mt_communicator *communicator = sums->communicator;
    const char *failure =
        sums->nccl.open(communicator->rank, communicator->size, id, &sums->context);
    settle(sums, failure, CONNECT_SECONDS, false);
    if (sums->reason[0] != '\0') {
        return mt_fail(MT_ERROR_DEVICE, "%s", sums->reason);
    }
    return mt_own_watch_begin(&sums->watch, LOOK_MS, look_beside, sums)
               ? MT_OK
               : mt_fail(MT_ERROR_DEVICE, "no thread can be had");
}

static void destroy(mt_nccl_sums *sums)
{
    mt_own_watch_end(&sums->watch);
    if (sums->context != NULL) {
        sums->nccl.abort(sums->context);
    }
    pthread_mutex_destroy(&sums->lock);
    free(sums);
}

mt_status mt_nccl_sums_open(mt_communicator *communicator, mt_device *device, mt_nccl_sums **sums)
{
    unsigned char id[MT_NCCL_ID_BYTES] = {0};
    mt_nccl_sums *made = calloc(1, sizeof *made);
    mt_status status = made != NULL ? MT_OK : mt_fail(MT_ERROR_MEMORY, "no memory for NCCL");
    *sums = NULL;
    if (made != NULL) {
        made->communicator = communicator;
        made->device = device;
        pthread_mutex_init(&made->lock, NULL);
        status = prepare(made);
    }
    status = mt_communicator_agree(communicator, status);
    if (status == MT_OK && made != NULL) {
        status = share_id(made, id);
    }
    if (status == MT_OK && made != NULL) {
        status = mt_communicator_agree(communicator, connect(made, id));
    }
    if (status == MT_OK) {
        *sums = made;
    } else if (made != NULL) {
        destroy(made);
    }
    return status;
}

void mt_nccl_sums_leave_device(mt_nccl_sums *sums)
{
    sums->device = NULL;
}

/* NCCL ends once all ranks have done with it. A rank whose sums were ended asks none of the others:
 * these find out by the end of its connections, where they still wait for a sum too. */
mt_status mt_nccl_sums_close(mt_nccl_sums *sums)
{
    if (sums == NULL) {
        return MT_OK;
    }
    mt_own_watch_end(&sums->watch);
    mt_status status = sums->device != NULL ? sums->device->synchronize(sums->device) : MT_OK;
    mt_status ended = status_of(sums);
    status = ended == MT_OK ? mt_communicator_agree(sums->communicator, status) : ended;
    if (status == MT_OK && sums->context != NULL) {
        settle(sums, sums->nccl.finish(sums->context), FINISH_SECONDS, true);
    }
    if (status == MT_OK && sums->context != NULL) {
        sums->nccl.close(sums->context);
        sums->context = NULL;
    }
    destroy(sums);
    return status;
}

/* ---- sums ---- */

bool mt_nccl_sums_are_of(const mt_nccl_sums *sums, const mt_device *device)
{
    return sums != NULL && sums->device == device;
}

int mt_nccl_sums_version(const mt_nccl_sums *sums)
{
    return sums->nccl.version;
}

/* Between the two a call of NCCL is begun on the stream, unless there is none to be had: the first
 * tells. */
static bool enter(mt_nccl_sums *sums, void **stream)
{
    mt_status status = sums->device->branch(sums->device, stream);
    pthread_mutex_lock(&sums->lock);
    if (status != MT_OK) { /* the others wait for a call that does not come */
        give_up(sums, mt_error_message());
    }
    return sums->context != NULL;
}

static mt_status leave(mt_nccl_sums *sums, const char *failure)
{
    if (sums->context != NULL) {
        settle(sums, failure, CONNECT_SECONDS, false);
    }
    mt_status status = status_of(sums);
    pthread_mutex_unlock(&sums->lock);
    return status;
}

mt_status mt_nccl_sums_begin(mt_nccl_sums *sums, mt_dtype dtype, int64_t n, void *values)
{
    void *stream;
    const char *failure = NULL;
    if (enter(sums, &stream) && n > 0) {
        failure = sums->nccl.sum(sums->context, dtype == MT_F64, (size_t)n, values, stream);
    }
    return leave(sums, failure);
}

mt_status mt_nccl_sums_begin_gather(mt_nccl_sums *sums, size_t part, void *memory)
{
    void *stream;
    const char *failure = NULL;
    if (enter(sums, &stream) && part > 0) {
        failure = sums->nccl.gather(sums->context, part, memory, stream);
    }
    return leave(sums, failure);
}

mt_status mt_nccl_sums_begin_broadcast(mt_nccl_sums *sums, int root, size_t bytes, void *memory)
{
    void *stream;
    const char *failure = NULL;
    if (enter(sums, &stream) && bytes > 0) {
        failure = sums->nccl.broadcast(sums->context, root, bytes, memory, stream);
    }
    return leave(sums, failure);
}

mt_status mt_nccl_sums_end(mt_nccl_sums *sums)
{
    mt_status status = sums->device->join(sums->device), found = mt_nccl_sums_check(sums);
    return status != MT_OK ? status : found;
}

mt_status mt_nccl_sums_check(mt_nccl_sums *sums)
{
    if (sums == NULL) {
        return MT_OK;
    }
    pthread_mutex_lock(&sums->lock);
    mt_status status = status_of(sums);
    pthread_mutex_unlock(&sums->lock);
    return status;
}
