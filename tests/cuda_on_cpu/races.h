/* ThreadSanitizer is told of the threads of a grid, so that it finds races between them. Each
 * thread is one of its fibres; to change fibres orders nothing, and two accesses are a race unless
 * `release` and `acquire` of the same address come between them. Without ThreadSanitizer all of
 * this does nothing. Internal to CUDA-on-CPU. */
#ifndef CUDA_ON_CPU_RACES_H
#define CUDA_ON_CPU_RACES_H

#include <stddef.h>

#ifdef CUDA_ON_CPU_RACES

#include <stdio.h>

#include <sanitizer/tsan_interface.h>

extern "C" {
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
}

namespace cuda_on_cpu
{

constexpr bool A_FIBRE_TO_A_THREAD = true;

typedef void *race_fibre;

/* Reports name it so: the place of its block among those that are there, and its threadIdx. */
inline race_fibre make_race_fibre(size_t place, size_t thread)
{
    char name[64];
    race_fibre made = __tsan_create_fiber(0);
    snprintf(name, sizeof name, "place %zu, thread %zu", place, thread);
    __tsan_set_fiber_name(made, name);
    return made;
}

inline race_fibre present_race_fibre()
{
    return __tsan_get_current_fiber();
}

inline void destroy_race_fibre(race_fibre made)
{
    __tsan_destroy_fiber(made);
}

/* From now on, `next` is who does things. */
inline void act_as(race_fibre next)
{
    __tsan_switch_to_fiber(next, __tsan_switch_to_fiber_no_sync);
}

inline void release(void *at)
{
    __tsan_release(at);
}

inline void acquire(void *at)
{
    __tsan_acquire(at);
}

/* Memory that the present fibre reads, writes, allocates and frees until it stops ignoring it is in
 * no race. */
inline void ignore_memory()
{
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

inline void stop_ignoring_memory()
{
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

} // namespace cuda_on_cpu

#else

namespace cuda_on_cpu
{

constexpr bool A_FIBRE_TO_A_THREAD = false;

struct race_fibre {
};

inline race_fibre make_race_fibre(size_t, size_t)
{
    return {};
}

inline race_fibre present_race_fibre()
{
    return {};
}

inline void destroy_race_fibre(race_fibre)
{
}

inline void act_as(race_fibre)
{
}

inline void release(void *)
{
}

inline void acquire(void *)
{
}

inline void ignore_memory()
{
}

inline void stop_ignoring_memory()
{
}

} // namespace cuda_on_cpu

#endif

#endif
