/* Makes one call of a program fail: to be loaded before it (LD_PRELOAD). Calls are counted from
 * main on, those of all libraries and of child processes together.
 *
 *   FAIL_CALLS   which are counted: memory, or names of system calls with commas between them
 *   FAIL_COUNT   a file of 8 bytes that receives how many there were
 *   FAIL_PLACES  a file that receives 8 bytes for each: a hash of the functions that it stands in
 *   FAIL_AT      the number of the call that fails, from 1
 *   FAIL_ALWAYS  if set, those behind it fail too
 *   FAIL_ERROR   the errno of a system call that fails; 0: it reads or writes half of its bytes
 *
 * Functions that allocate, and fork, are replaced by name. Other system calls are caught by the
 * kernel (seccomp), since the C library makes many of its own. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static struct {
    atomic_long *count; /* shared with child processes; NULL before main */
    long at;
    bool always, memory, forks;
    int error;
    int places; /* a file; -1: not asked for */
} plan;

/* FNV-1a of the addresses that the call returns to, one after another. */
static void note_place(long call)
{
    void *returns[64];
    uint64_t place = 0xcbf29ce484222325;
    for (int i = 0, depth = backtrace(returns, sizeof returns / sizeof *returns); i < depth; i++) {
        place = (place ^ (uintptr_t)returns[i]) * 0x100000001b3;
    }
    if (syscall(SYS_pwrite64, plan.places, &place, sizeof place, (call - 1) * (long)sizeof place) <
        0) {
        perror("fail.c: FAIL_PLACES");
        _exit(99);
    }
}

static bool fails(void)
{
    long call = atomic_fetch_add(plan.count, 1) + 1;
    if (plan.places >= 0) {
        note_place(call);
    }
    return plan.at > 0 && (plan.always ? call >= plan.at : call == plan.at);
}

/* ---- memory ---- */

static bool memory_fails(void)
{
    if (plan.memory && fails()) {
        errno = ENOMEM;
        return true;
    }
    return false;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the headers' are reserved. */

/* Defines NAME, which fails with VALUE, else calls the one that it replaces. */
#define REPLACE(type, name, failure, parameters, arguments)                                        \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*replaced) parameters;                                                         \
        if (replaced == NULL) {                                                                    \
            *(void **)&replaced = dlsym(RTLD_NEXT, #name);                                         \
        }                                                                                          \
        return memory_fails() ? (failure) : replaced arguments;                                    \
    }

REPLACE(void *, malloc, NULL, (size_t size), (size))
REPLACE(void *, calloc, NULL, (size_t count, size_t size), (count, size))
REPLACE(void *, realloc, NULL, (void *memory, size_t size), (memory, size))
REPLACE(void *, aligned_alloc, NULL, (size_t alignment, size_t size), (alignment, size))
REPLACE(int, posix_memalign, ENOMEM, (void **memory, size_t alignment, size_t size),
        (memory, alignment, size))

/* fork blocks all signals before its system call, so that could not be caught. */
pid_t fork(void)
{
    pid_t (*replaced)(void);
    *(void **)&replaced = dlsym(RTLD_NEXT, "fork");
    if (plan.forks && fails()) {
        errno = plan.error;
        return -1;
    }
    return replaced();
}

/* ---- system calls ---- */

static const struct {
    const char *name;
    unsigned number;
} calls[] = {
    {"openat", SYS_openat},     {"close", SYS_close},           {"read", SYS_read},
    {"pread", SYS_pread64},     {"write", SYS_write},           {"pwrite", SYS_pwrite64},
    {"writev", SYS_writev},     {"fsync", SYS_fsync},           {"fdatasync", SYS_fdatasync},
    {"mkdirat", SYS_mkdirat},   {"socketpair", SYS_socketpair}, {"sendto", SYS_sendto},
    {"recvfrom", SYS_recvfrom},
#ifdef SYS_rename /* old names that newer processors have not */
    {"open", SYS_open},         {"rename", SYS_rename},         {"mkdir", SYS_mkdir},
#endif
    {"renameat", SYS_renameat2}};
enum { CALLS = sizeof calls / sizeof *calls };

#ifdef __x86_64__
static const int registers[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
#define ARGUMENT(context, i) ((context)->uc_mcontext.gregs[registers[i]])
#define RESULT(context)      ((context)->uc_mcontext.gregs[REG_RAX])
#else /* aarch64 */
#define ARGUMENT(context, i) ((context)->uc_mcontext.regs[i])
#define RESULT(context)      ((context)->uc_mcontext.regs[0])
#endif

/* The call as it was meant; the filter lets it through, since it comes from syscall(). */
static long pass(const ucontext_t *context, int number, long third)
{
    long result = syscall(number, ARGUMENT(context, 0), ARGUMENT(context, 1), third,
                          ARGUMENT(context, 3), ARGUMENT(context, 4), ARGUMENT(context, 5));
    return result < 0 ? -errno : result;
}

static void take_call(int signal, siginfo_t *info, void *argument)
{
    ucontext_t *context = argument;
    int saved = errno, number = info->si_syscall;
    long third = (long)ARGUMENT(context, 2);
    (void)signal;
    if (!fails()) {
        RESULT(context) = pass(context, number, third);
    } else if (plan.error == 0) {
        RESULT(context) = pass(context, number, third > 1 ? third / 2 : third);
    } else {
        if (number == SYS_close) { /* which closes in any case */
            pass(context, number, third);
        }
        RESULT(context) = -plan.error;
    }
    errno = saved;
}

/* Traps the named calls, wherever in the program they are made but in syscall(). */
static void filter(const char *names)
{
    struct sock_filter program[CALLS + 7] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned char chosen = 0;
    uint32_t own = (uint32_t)(uintptr_t)dlsym(RTLD_NEXT, "syscall");
    for (int i = 0; i < CALLS; i++) {
        size_t length = strlen(calls[i].name);
        for (const char *at = names; at != NULL; at = strchr(at, ',')) {
            at += *at == ',';
            if (strncmp(at, calls[i].name, length) == 0 && strchr(",", at[length]) != NULL) {
                program[++chosen].k = calls[i].number;
            }
        }
    }
    for (unsigned char i = 1; i <= chosen; i++) {
        program[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, program[i].k,
                                                  (unsigned char)(chosen - i + 1), 0);
    }
    const struct sock_filter rest[] = {
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, own, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, own + 64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)};
    memcpy(program + chosen + 1, rest, sizeof rest);
    struct sigaction action = {.sa_sigaction = take_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSYS, &action, NULL);
    struct sock_fprog whole = {(unsigned short)(chosen + 1 + sizeof rest / sizeof *rest), program};
    if (chosen == 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole) != 0) {
        perror("fail.c: FAIL_CALLS");
        _exit(99);
    }
}

/* A program that gives its signals back to the system keeps this one. */
sighandler_t signal(int number, sighandler_t handler)
{
    sighandler_t (*replaced)(int, sighandler_t);
    *(void **)&replaced = dlsym(RTLD_NEXT, "signal");
    return number == SIGSYS ? SIG_DFL : replaced(number, handler);
}

/* ---- from main on ---- */

/* A clock of its own, so that what is written does not depend on the time: each look at it takes a
 * millisecond. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    static atomic_long milliseconds;
    long passed = atomic_fetch_add(&milliseconds, 1);
    (void)clock;
    *now = (struct timespec){.tv_sec = passed / 1000, .tv_nsec = passed % 1000 * 1000000};
    return 0;
}

static long number_of(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? strtol(value, NULL, 10) : 0;
}

static int (*main_function)(int, char **, char **);

static int main_with_failures(int argc, char **argv, char **environment)
{
    const char *names = getenv("FAIL_CALLS"), *path = getenv("FAIL_COUNT");
    if (names != NULL && path != NULL) {
        int file = open(path, O_RDWR | O_CREAT, 0666);
        if (ftruncate(file, sizeof(long)) != 0) {
            perror(path);
            _exit(99);
        }
        void *shared = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
        plan.at = number_of("FAIL_AT");
        plan.always = getenv("FAIL_ALWAYS") != NULL;
        plan.error = (int)number_of("FAIL_ERROR");
        const char *places = getenv("FAIL_PLACES");
        plan.places = places != NULL ? open(places, O_RDWR | O_CREAT, 0666) : -1;
        backtrace(&(void *){NULL}, 1); /* loads what it needs: later it allocates nothing */
        plan.count = shared;
        if (strcmp(names, "memory") == 0) {
            plan.memory = true;
        } else {
            plan.forks = strstr(names, "fork") != NULL;
            filter(names);
        }
    }
    return main_function(argc, argv, environment);
}

/* What begins a program calls this with its main. */
int __libc_start_main(int (*program)(int, char **, char **), int argc, char **argv,
                      void (*begin)(void), void (*end)(void), void (*end_linker)(void),
                      void *stack);
int __libc_start_main(int (*program)(int, char **, char **), int argc, char **argv,
                      void (*begin)(void), void (*end)(void), void (*end_linker)(void), void *stack)
{
    int (*start)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
                 void (*)(void), void *);
    *(void **)&start = dlsym(RTLD_NEXT, "__libc_start_main");
    main_function = program;
    return start(main_with_failures, argc, argv, begin, end, end_linker, stack);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
