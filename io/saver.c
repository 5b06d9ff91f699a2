#include "io/saver.h"

#include "kernels/own_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct mt_saver {
    mt_chunks chunks;
    mt_new_file *file; /* at work, or NULL */
    uint64_t length;
    pthread_t thread;
    bool threaded;
    atomic_bool done;
    pid_t process;    /* that began it */
    mt_status status; /* of the last file, until it is asked for, */
    char error[1024]; /* and its message */
};

mt_status mt_saver_create(mt_saver **saver)
{
    *saver = calloc(1, sizeof **saver);
    return *saver != NULL ? MT_OK
                          : mt_fail(MT_ERROR_MEMORY, "no memory for %zu bytes", sizeof **saver);
}

static void *save(void *context)
{
    mt_saver *saver = context;
    mt_status status = mt_chunks_write(&saver->chunks, saver->file);
    if (status == MT_OK) {
        status = mt_file_end(saver->file, saver->length);
    }
    if (status != MT_OK) {
        snprintf(saver->error, sizeof saver->error, "%s", mt_error_message());
    }
    saver->status = status;
    atomic_store(&saver->done, true);
    return NULL;
}

void mt_saver_settle(mt_saver *saver)
{
    if (saver->file == NULL) {
        return;
    }
    if (saver->process != getpid()) {
        mt_file_leave(saver->file);
        saver->status = MT_OK;
    } else {
        if (saver->threaded) {
            pthread_join(saver->thread, NULL);
        }
        mt_file_discard(saver->file);
    }
    saver->file = NULL;
}

mt_chunks *mt_saver_chunks(mt_saver *saver)
{
    mt_saver_settle(saver);
    mt_chunks_empty(&saver->chunks);
    return &saver->chunks;
}

void mt_saver_release(mt_saver *saver)
{
    mt_saver_settle(saver);
    mt_chunks_free(&saver->chunks);
}

void mt_saver_begin(mt_saver *saver, mt_new_file *file, uint64_t length)
{
    saver->file = file;
    saver->length = length;
    saver->process = getpid();
    atomic_store(&saver->done, false);
    saver->threaded = mt_own_thread_begin(&saver->thread, save, saver);
    if (!saver->threaded) {
        save(saver);
    }
}

bool mt_saver_is_busy(const mt_saver *saver)
{
    return saver->file != NULL && saver->process == getpid() && !atomic_load(&saver->done);
}

mt_status mt_saver_wait(mt_saver *saver)
{
    mt_saver_settle(saver);
    mt_status status = saver->status;
    saver->status = MT_OK;
    return status == MT_OK ? MT_OK : mt_fail(status, "%s", saver->error);
}

void mt_saver_destroy(mt_saver *saver)
{
    if (saver != NULL) {
        mt_saver_settle(saver);
        mt_chunks_free(&saver->chunks);
        free(saver);
    }
}
