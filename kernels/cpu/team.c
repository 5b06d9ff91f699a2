/* A team of threads, made when a loop first asks for them and kept.
 *
 * Between loops a worker looks for the next one for as long as a kernel may take, and then sleeps:
 * who goes on looking takes a core from other programs, and who sleeps at once takes longer to wake
 * than a small kernel lasts. Each stretch of a loop has a worker of its own, so that a thread comes
 * back to the rows that its caches hold; but a thread that is done, the caller too, takes over
 * stretches that nobody has begun, so that a loop does not wait for a worker that other programs
 * keep from running. */
#include "kernels/cpu/team.h"

#include <mixtape/device.h>

#include "kernels/cpu/cores.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_THREADS = 1024,
    LOOK_NANOSECONDS = 150000,
    LOOKS = 16, /* from one reading of the clock to the next */
    LINE = 128, /* bytes; processors fetch lines in pairs */
    STACK_BYTES = 1 << 20
};

/* A stretch of the loop with number n: open (2 n) or begun (2 n + 1). Numbers of loops past say
 * that it is none of this one's. */
typedef struct place {
    _Alignas(LINE) _Atomic uint64_t turn;
} place;

static struct {
    pthread_mutex_t busy; /* held by the caller whose loop runs */
    int workers;
    place places[MOST_THREADS];

    /* The loop: written before its places are opened, read by those who have begun one. */
    mt_stretch stretch;
    const void *loop;
    int64_t turns;
    _Atomic int stretches;

    _Alignas(LINE) _Atomic uint64_t number; /* of loops so far: what workers look at */
    _Atomic uint32_t calls;                 /* what sleeping workers wait on */
    _Atomic int asleep;
    _Alignas(LINE) _Atomic uint32_t unfinished; /* stretches */
    _Atomic bool caller_asleep;
} team = {.busy = PTHREAD_MUTEX_INITIALIZER};

static void sleep_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static inline void pause_core(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Looks at a condition for a while: `while (!condition && look_on(&looked)) {}`. */
typedef struct looking {
    int64_t end;
    int looks;
} looking;

static inline bool look_on(looking *looked)
{
    pause_core();
    if (++looked->looks % LOOKS != 0) {
        return true;
    }
    int64_t now = nanoseconds();
    if (looked->end == 0) {
        looked->end = now + LOOK_NANOSECONDS;
    }
    return now < looked->end;
}

/* Does the stretches of loop `number` that nobody has begun, beginning with this thread's own. */
static void do_stretches(uint64_t number, int own)
{
    int stretches = atomic_load_explicit(&team.stretches, memory_order_relaxed);
    for (int i = 0; i < stretches; i++) {
        int which = (own + i) % stretches;
        uint64_t open = 2 * number;
        if (!atomic_compare_exchange_strong(&team.places[which].turn, &open, open + 1)) {
            continue;
        }
        /* The loop cannot end now, and another begin, before this stretch is finished. */
        int64_t length = team.turns / team.stretches, longer = team.turns % team.stretches;
        int64_t first = which * length + (which < longer ? which : longer);
        team.stretch(team.loop, first, first + length + (which < longer));
        if (atomic_fetch_sub(&team.unfinished, 1) == 1 && atomic_load(&team.caller_asleep)) {
            wake(&team.unfinished);
        }
    }
}

static uint64_t next_loop(uint64_t last)
{
    looking looked = {0};
    uint64_t number;
    while ((number = atomic_load(&team.number)) == last) {
        if (look_on(&looked)) {
            continue;
        }
        uint32_t calls = atomic_load(&team.calls);
        atomic_fetch_add(&team.asleep, 1);
        if (atomic_load(&team.number) == last) {
            sleep_while(&team.calls, calls);
        }
        atomic_fetch_sub(&team.asleep, 1);
    }
    return number;
}

static void *work(void *own)
{
    for (uint64_t number = 0;;) {
        number = next_loop(number);
        do_stretches(number, (int)((place *)own - team.places));
    }
    return NULL;
}

/* In a child of this process there are no workers: they are made anew. Those begin with number 0
 * and take the present loop for one of theirs; if it was at work, it must be another's. */
static void forget_workers(void)
{
    pthread_mutex_init(&team.busy, NULL);
    team.workers = 0;
    atomic_fetch_add(&team.number, 2);
    atomic_store(&team.asleep, 0);
    atomic_store(&team.caller_asleep, false);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_workers);
}

static void make_workers(int wanted)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0) {
        return;
    }
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    while (team.workers < wanted &&
           pthread_create(&thread, &attributes, work, &team.places[team.workers + 1]) == 0) {
        team.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* Makes workers up to `wanted`, as far as the system lets it, and returns how many there are. They
 * leave signals to the program's threads. The C library notes in errno that it had no memory for
 * one; nobody is to take that for a failure of his own. */
static int have_workers(int wanted)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (team.workers < wanted) {
        int before = errno;
        pthread_once(&once, watch_forks);
        make_workers(wanted);
        errno = before;
    }
    return team.workers < wanted ? team.workers : wanted;
}

static void begin_loop(uint64_t number, int stretches, int64_t turns, mt_stretch stretch,
                       const void *loop)
{
    team.stretch = stretch;
    team.loop = loop;
    team.turns = turns;
    atomic_store_explicit(&team.stretches, stretches, memory_order_relaxed);
    atomic_store(&team.unfinished, (uint32_t)stretches);
    for (int i = 0; i < stretches; i++) {
        atomic_store(&team.places[i].turn, 2 * number);
    }
    atomic_store(&team.number, number);
    if (atomic_load(&team.asleep) > 0) {
        atomic_fetch_add(&team.calls, 1);
        wake(&team.calls);
    }
}

static void wait_for_end(void)
{
    looking looked = {0};
    while (atomic_load(&team.unfinished) > 0) {
        if (look_on(&looked)) {
            continue;
        }
        atomic_store(&team.caller_asleep, true);
        uint32_t unfinished = atomic_load(&team.unfinished);
        if (unfinished > 0) {
            sleep_while(&team.unfinished, unfinished);
        }
        atomic_store(&team.caller_asleep, false);
    }
}

void mt_team_run(int threads, int64_t turns, mt_stretch stretch, const void *loop)
{
    int64_t stretches = threads < turns ? threads : turns;
    stretches = stretches < MOST_THREADS ? stretches : MOST_THREADS;
    if (stretches < 2 || pthread_mutex_trylock(&team.busy) != 0) {
        stretch(loop, 0, turns);
        return;
    }
    uint64_t number = atomic_load(&team.number) + 1;
    begin_loop(number, 1 + have_workers((int)stretches - 1), turns, stretch, loop);
    do_stretches(number, 0);
    wait_for_end();
    pthread_mutex_unlock(&team.busy);
}

void mt_team_loop(int64_t elements, int64_t turns, mt_stretch stretch, const void *loop)
{
    mt_team_run(elements >= MT_PARALLEL_ELEMENTS ? mt_cpu_threads() : 1, turns, stretch, loop);
}

static int chosen_threads; /* 0: the default */

int mt_cpu_threads(void)
{
    return chosen_threads > 0 ? chosen_threads : mt_cpu_cores();
}

void mt_cpu_set_threads(int threads)
{
    chosen_threads = threads > 0 ? threads : 0;
}
