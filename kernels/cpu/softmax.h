/* What softmax and cross-entropy ask of a row of logits. Internal. */
#ifndef MT_KERNELS_CPU_SOFTMAX_H
#define MT_KERNELS_CPU_SOFTMAX_H

#include "math.h"

#include <stdint.h>

/* Terms of a row's sum that are added as reals before the sum goes on in double. */
enum { SUM_BLOCK = 256 };

/* The largest logit. Lanes of their own, as not every compiler vectorises a maximum. */
static inline real row_max(const stored *logits, int64_t V)
{
    enum { LANES = 128 / sizeof(real) };
    real lanes[LANES], largest = value(logits[0]);
    int64_t v = 0;
    if (V >= LANES) {
        for (int lane = 0; lane < LANES; lane++) {
            lanes[lane] = value(logits[lane]);
        }
        for (v = LANES; v + LANES <= V; v += LANES) {
#pragma omp simd
            for (int lane = 0; lane < LANES; lane++) {
                lanes[lane] = real_max(value(logits[v + lane]), lanes[lane]);
            }
        }
        for (int half = LANES / 2; half >= 1; half /= 2) {
#pragma omp simd
            for (int lane = 0; lane < half; lane++) {
                lanes[lane] = real_max(lanes[lane + half], lanes[lane]);
            }
        }
        largest = lanes[0];
    }
    for (; v < V; v++) {
        largest = real_max(value(logits[v]), largest);
    }
    return largest;
}

/* The sum of e^(logit - largest). */
static inline double row_exp_sum(const stored *logits, real largest, int64_t V)
{
    double sum = 0.0;
    for (int64_t first = 0; first < V; first += SUM_BLOCK) {
        int64_t end = V - first < SUM_BLOCK ? V : first + SUM_BLOCK;
        real block = (real)0.0;
#pragma omp simd reduction(+ : block)
        for (int64_t v = first; v < end; v++) {
            block += real_exp_negative(value(logits[v]) - largest);
        }
        sum += (double)block;
    }
    return sum;
}

#endif
