/* The threads of the CPU's kernels: a loop is cut into stretches, one for each thread. Internal. */
#ifndef MT_KERNELS_CPU_TEAM_H
#define MT_KERNELS_CPU_TEAM_H

#include <stdint.h>

/* The turns first .. end - 1 of a loop. `loop` is what the loop is about. */
typedef void (*mt_stretch)(const void *loop, int64_t first, int64_t end);

/* Below this many elements a loop runs on the calling thread: waking the others costs more. Whether
 * it does changes no result: every sum has an order of its own, whoever computes its parts. */
enum { MT_PARALLEL_ELEMENTS = 32768 };

/* Does the `turns` turns of a loop on at most `threads` threads, of which the caller is one, and
 * returns when all are done. Where another thread's loop runs already, where no more threads can be
 * made, and within a stretch, fewer do it, or the caller alone. */
void mt_team_run(int threads, int64_t turns, mt_stretch stretch, const void *loop);

/* The same on mt_cpu_threads() threads where the loop touches `elements` enough. */
void mt_team_loop(int64_t elements, int64_t turns, mt_stretch stretch, const void *loop);

#endif
