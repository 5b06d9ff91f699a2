#include "kernels/host_sums.h"

#include "kernels/device.h"
#include "kernels/own_thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1 << 20, MOST_SUMS = 64 };

/* A sum that was begun. */
typedef struct host_sum {
    mt_device *device; /* NULL: the values are in the host's memory */
    mt_dtype dtype;
    size_t n;
    char *values;
} host_sum;

struct mt_host_sums {
    const mt_transport *transport;
    size_t piece;       /* bytes: PIECE_BYTES, or a little more for whole parts of doubles */
    char *own, *others; /* (piece) each */
    bool is_broken;     /* the transport has failed: nothing is exchanged any more */
    mt_status status;   /* of the sums since the last end, */
    char error[512];    /* and the message of the first that failed */

    /* Sums made.. begun - 1 are yet to be made, in this order. */
    host_sum queue[MOST_SUMS];
    int begun, made;

    /* The thread that makes them, where it may; these guard the queue. */
    bool is_apart, has_thread, ends;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

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

static void keep(mt_host_sums *sums, mt_status status)
{
    if (status != MT_OK && sums->status == MT_OK) {
        sums->status = status;
        snprintf(sums->error, sizeof sums->error, "%s", mt_error_message());
    }
}

/* Keeps a failure of the transport. Returns whether it works. */
static bool has_worked(mt_host_sums *sums, const char *failure)
{
    if (failure != NULL) {
        keep(sums, mt_fail(MT_ERROR_DEVICE, "communicator: %s", failure));
        sums->is_broken = true;
    }
    return failure == NULL;
}

/* In the host's memory without the threads that a device copies with: backward has them. */
static mt_status fetch(const host_sum *sum, size_t bytes, void *own, const void *values)
{
    if (sum->device != NULL) {
        return sum->device->read_back(sum->device, own, values, bytes);
    }
    memcpy(own, values, bytes);
    return MT_OK;
}

static mt_status put_back(const host_sum *sum, size_t bytes, void *values, const void *own)
{
    if (sum->device != NULL) {
        return sum->device->write(sum->device, values, own, bytes);
    }
    memcpy(values, own, bytes);
    return MT_OK;
}

/* A rank whose device fails exchanges what it has, so that no other waits for it. */
static void sum_piece(mt_host_sums *sums, const host_sum *sum, size_t n, char *values)
{
    const mt_transport *transport = sums->transport;
    size_t size = mt_dtype_size(sum->dtype), ranks = (size_t)transport->size;
    size_t part = (n + ranks - 1) / ranks, bytes = part * size;
    keep(sums, fetch(sum, n * size, sums->own, values));
    if (!has_worked(sums,
                    transport->exchange(transport->context, bytes, sums->own, sums->others))) {
        return;
    }
    if (sum->dtype == MT_F64) {
        add_up_double(transport->size, part, (double *)(void *)sums->others);
    } else {
        add_up_float(transport->size, part, (float *)(void *)sums->others);
    }
    if (has_worked(sums, transport->gather(transport->context, bytes, sums->others, sums->own))) {
        keep(sums, put_back(sum, n * size, values, sums->own));
    }
}

static void make(mt_host_sums *sums, const host_sum *sum)
{
    size_t size = mt_dtype_size(sum->dtype), most = sums->piece / size;
    for (size_t at = 0; at < sum->n && !sums->is_broken; at += most) {
        size_t rest = sum->n - at;
        sum_piece(sums, sum, rest < most ? rest : most, sum->values + at * size);
    }
}

/* ---- by a thread ---- */

static void *work(void *context)
{
    mt_host_sums *sums = context;
    pthread_mutex_lock(&sums->lock);
    while (!sums->ends) {
        if (sums->made == sums->begun) {
            pthread_cond_wait(&sums->changed, &sums->lock);
            continue;
        }
        host_sum sum = sums->queue[sums->made];
        pthread_mutex_unlock(&sums->lock);
        make(sums, &sum);
        pthread_mutex_lock(&sums->lock);
        sums->made++;
        pthread_cond_broadcast(&sums->changed);
    }
    pthread_mutex_unlock(&sums->lock);
    return NULL;
}

/* Without a thread, sums are made when they are to end. */
static void begin_thread(mt_host_sums *sums)
{
    sums->has_thread = mt_own_thread_begin(&sums->thread, work, sums);
    sums->is_apart = sums->has_thread;
}

static void make_the_rest(mt_host_sums *sums)
{
    pthread_mutex_lock(&sums->lock);
    while (sums->made < sums->begun) {
        if (sums->has_thread) {
            pthread_cond_wait(&sums->changed, &sums->lock);
        } else {
            make(sums, &sums->queue[sums->made++]);
        }
    }
    sums->made = sums->begun = 0;
    pthread_mutex_unlock(&sums->lock);
}

mt_status mt_host_sums_begin(mt_host_sums *sums, mt_device *device, mt_dtype dtype, int64_t n,
                             void *values)
{
    void *stream;
    mt_status status = device->stream(device, &stream);
    bool on_host = status == MT_OK && stream == NULL;
    const host_sum sum = {on_host ? NULL : device, dtype, (size_t)n, values};
    keep(sums, status);
    if (sums->is_apart && !sums->has_thread && on_host) {
        begin_thread(sums);
    }
    if (sums->begun == MOST_SUMS || (sums->has_thread && !on_host)) {
        make_the_rest(sums);
    }
    if (sums->has_thread && !on_host) { /* a device that is this thread's */
        make(sums, &sum);
        return MT_OK;
    }
    pthread_mutex_lock(&sums->lock);
    sums->queue[sums->begun++] = sum;
    pthread_cond_broadcast(&sums->changed);
    pthread_mutex_unlock(&sums->lock);
    return MT_OK;
}

mt_status mt_host_sums_end(mt_host_sums *sums)
{
    make_the_rest(sums);
    mt_status status = sums->status;
    sums->status = MT_OK;
    return status == MT_OK ? MT_OK : mt_fail(status, "%s", sums->error);
}

/* ---- the whole ---- */

/* On one machine ranks exchange through memory that backward wants, too, with processors that it
 * has: nothing is gained beside it. From machine to machine it is the network that takes time. */
static bool suits_a_thread(const mt_transport *transport)
{
    const char *asked = getenv("MIXTAPE_SUMS_BESIDE");
    bool several_machines = transport->processes < transport->size;
    return transport->any_thread && (asked != NULL ? asked[0] == '1' : several_machines);
}

mt_status mt_host_sums_create(const mt_transport *transport, mt_host_sums **sums)
{
    size_t line = (size_t)transport->size * sizeof(double);
    mt_host_sums *made = calloc(1, sizeof *made);
    *sums = NULL;
    if (made != NULL) {
        made->transport = transport;
        made->is_apart = suits_a_thread(transport);
        made->piece = (PIECE_BYTES + line - 1) / line * line;
        made->own = calloc(1, made->piece); /* the last part of a piece may be longer than it is */
        made->others = calloc(1, made->piece);
        pthread_mutex_init(&made->lock, NULL);
        pthread_cond_init(&made->changed, NULL);
    }
    if (made == NULL || made->own == NULL || made->others == NULL) {
        mt_host_sums_destroy(made);
        return mt_fail(MT_ERROR_MEMORY, "communicator: no memory for pieces of %d bytes",
                       PIECE_BYTES);
    }
    *sums = made;
    return MT_OK;
}

void mt_host_sums_destroy(mt_host_sums *sums)
{
    if (sums == NULL) {
        return;
    }
    if (sums->has_thread) {
        pthread_mutex_lock(&sums->lock);
        sums->ends = true;
        pthread_cond_broadcast(&sums->changed);
        pthread_mutex_unlock(&sums->lock);
        pthread_join(sums->thread, NULL);
    }
    pthread_mutex_destroy(&sums->lock);
    pthread_cond_destroy(&sums->changed);
    free(sums->own);
    free(sums->others);
    free(sums);
}
