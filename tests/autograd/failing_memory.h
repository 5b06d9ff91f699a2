/* Allocations on the host that can be made to fail, and are counted: those of the library's objects
 * and of the suite's, which the linker wraps (see tests/CMakeLists.txt). */
#ifndef MT_TESTS_AUTOGRAD_FAILING_MEMORY_H
#define MT_TESTS_AUTOGRAD_FAILING_MEMORY_H

#include <mixtape/extend.h>

#include <check.h>
#include <stdbool.h>
#include <string.h>

static int allocations; /* since the last call of fail_host_allocation */
static int failing_allocation;
static int live_blocks;

/* The n-th allocation from now fails, once; 0: none does. Returns how many there were since the
 * last such call. */
static inline int fail_host_allocation(int n)
{
    int made = allocations;
    allocations = 0;
    failing_allocation = n;
    return made;
}

static inline bool allocation_fails(void)
{
    return ++allocations == failing_allocation;
}

#define MT_WRAP_ALLOCATION(name, parameters, arguments)                                            \
    void *__real_##name parameters;                                                                \
    void *__wrap_##name parameters;                                                                \
    void *__wrap_##name parameters                                                                 \
    {                                                                                              \
        void *memory = allocation_fails() ? NULL : __real_##name arguments;                        \
        live_blocks += memory != NULL;                                                             \
        return memory;                                                                             \
    }

MT_WRAP_ALLOCATION(malloc, (size_t size), (size))
MT_WRAP_ALLOCATION(calloc, (size_t count, size_t size), (count, size))
MT_WRAP_ALLOCATION(aligned_alloc, (size_t alignment, size_t size), (alignment, size))

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    void *larger = allocation_fails() ? NULL : __real_realloc(memory, size);
    live_blocks += memory == NULL && larger != NULL;
    return larger;
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
    live_blocks -= memory != NULL;
    __real_free(memory);
}

/* Tries with each allocation failing in turn, of which there are `least` at least: that is told as
 * a lack of memory, and nothing is lost. Check allocates too, so nothing is asserted meanwhile. */
static inline void fail_each_allocation(mt_status (*try)(void *context), void *context,
                                        mt_status otherwise, int least)
{
    try(context); /* after which the device keeps some */
    fail_host_allocation(0);
    mt_status status = try(context);
    int count = fail_host_allocation(0);
    ck_assert_msg(status == otherwise, "status %d: %s", (int)status, mt_error_message());
    ck_assert_int_ge(count, least);
    for (int allocation = 1; allocation <= count; allocation++) {
        int before = live_blocks;
        fail_host_allocation(allocation);
        status = try(context);
        int lost = live_blocks - before;
        fail_host_allocation(0);
        ck_assert_msg(status == MT_ERROR_MEMORY && lost == 0,
                      "allocation %d: status %d, %d blocks lost: %s", allocation, (int)status, lost,
                      mt_error_message());
    }
}

#endif
