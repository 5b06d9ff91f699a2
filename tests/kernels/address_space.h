/* A limit on this process's address space, as `ulimit -v` sets one. */
#ifndef MT_TESTS_KERNELS_ADDRESS_SPACE_H
#define MT_TESTS_KERNELS_ADDRESS_SPACE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Lets this process have so many MiB beside what it has; 0: as much as it likes. Returns the limit
 * that was. */
static inline struct rlimit limit_address_space(rlim_t mib)
{
    struct rlimit before, limit;
    char pages[32]; /* the first number of the line */
    FILE *used = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(used);
    ck_assert_ptr_nonnull(fgets(pages, sizeof pages, used));
    fclose(used);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    limit = before;
    if (mib > 0) {
        limit.rlim_cur = strtoull(pages, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE) + (mib << 20);
    }
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    return before;
}

static inline void restore_address_space(struct rlimit before)
{
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
}

#endif
