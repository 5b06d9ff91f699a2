#include "kernels/cpu/blas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

/* Of OpenBLAS, in its binaries but not in its headers, and perhaps not in all of its builds. */
void *blas_memory_alloc(int unused) __attribute__((weak));
void blas_memory_free(void *buffer) __attribute__((weak));

/* OpenBLAS says on standard error that it has no place for more: Debian's build has 128. */
enum { MOST_BUFFERS = 120 };

/* OpenMP's number of threads for the calling thread, where OpenBLAS is a build that goes by it: the
 * library is OpenBLAS's choice, not ours, and is looked for when the first device is opened. */
static int (*get_openmp_threads)(void);
static void (*set_openmp_threads)(int threads);

int mt_blas_alone(void)
{
    int before = 0;
    if (get_openmp_threads != NULL && set_openmp_threads != NULL) {
        before = get_openmp_threads();
        set_openmp_threads(1);
    }
    return before;
}

void mt_blas_restore(int before)
{
    if (before > 0) {
        set_openmp_threads(before);
    }
}

bool mt_blas_is_on_openmp(void)
{
    enum { ON_OPENMP = 2 };
    return openblas_get_parallel() == ON_OPENMP;
}

static void find_openmp(void)
{
    if (mt_blas_is_on_openmp()) {
        void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
        void *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
        memcpy(&get_openmp_threads, &get, sizeof get);
        memcpy(&set_openmp_threads, &set, sizeof set);
    }
}

/* A build of OpenBLAS on OpenMP sets OpenMP's own number along with its own, which is the program's
 * and is put back. */
static void make_serial(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_openmp);
    int before = mt_blas_alone();
    openblas_set_num_threads(1);
    mt_blas_restore(before);
}

const char *mt_blas_kernels(void)
{
    return openblas_get_corename();
}

/* Room for the last of `count` mappings is for the rest of the program: OpenMP's library ends it
 * where there is none for what it keeps of a thread. */
static size_t mapping_bytes(int which, int count)
{
    const size_t rest = (size_t)16 << 20;
    return which < count - 1 ? (size_t)MT_BLAS_BUFFER_MIB << 20 : rest;
}

bool mt_blas_can_map(int buffers)
{
    void *mapped[MOST_BUFFERS + 1];
    int made = 0, count = buffers + 1;
    bool can = buffers <= MOST_BUFFERS;
    while (can && made < count) {
        mapped[made] = mmap(NULL, mapping_bytes(made, count), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        can = mapped[made] != MAP_FAILED;
        made += can;
    }
    for (int i = 0; i < made; i++) {
        munmap(mapped[i], mapping_bytes(i, count));
    }
    return can;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int devices; /* that are open: each has a thread that may multiply at any time */
static int buffers; /* that OpenBLAS surely has */

/* A child of fork has the threads of no others, which might hold the lock. */
static void unlock_in_child(void)
{
    pthread_mutex_init(&lock, NULL);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, unlock_in_child);
}

/* Lets OpenBLAS have so many buffers, as far as there is address space, by taking all of them at
 * once. Those that another thread works with count for none. */
static void grow(int wanted)
{
    void *taken[MOST_BUFFERS];
    int count = 0;
    while (count < wanted && mt_blas_can_map(1)) {
        taken[count] = blas_memory_alloc(0);
        count++;
    }
    buffers = count > buffers ? count : buffers;
    while (count > 0) {
        blas_memory_free(taken[--count]);
    }
}

/* How many buffers there are, where so many are wanted. */
static int have_buffers(int wanted)
{
    if (blas_memory_alloc == NULL || blas_memory_free == NULL) {
        return wanted;
    }
    wanted = wanted < MOST_BUFFERS ? wanted : MOST_BUFFERS;
    if (buffers < wanted) {
        grow(wanted);
    }
    return buffers;
}

int mt_blas_threads(int wanted)
{
    pthread_mutex_lock(&lock);
    int threads = have_buffers(wanted + devices - 1) - (devices - 1);
    pthread_mutex_unlock(&lock);
    return threads < 1 ? 1 : threads < wanted ? threads : wanted;
}

mt_status mt_blas_join(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
    make_serial();
    bool enough = have_buffers(devices + 1) > devices;
    devices += enough;
    pthread_mutex_unlock(&lock);
    return enough ? MT_OK
                  : mt_fail(MT_ERROR_MEMORY, "cpu: no address space for OpenBLAS's buffer: %d MiB",
                            MT_BLAS_BUFFER_MIB);
}

void mt_blas_leave(void)
{
    pthread_mutex_lock(&lock);
    devices--;
    pthread_mutex_unlock(&lock);
}
