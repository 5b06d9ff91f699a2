/* What `mixtape bench` measures. Times are medians in seconds; a measurement prints its figures and
 * appends them to `results`, an array, as an object. */
#ifndef MT_TRAIN_BENCH_H
#define MT_TRAIN_BENCH_H

#include "kernels/device.h"

#include <jansson.h>

/* Median time of a run, out of `repeat` measurements, after warming up. */
mt_status bench_time(mt_device *device, long long repeat, mt_status (*run)(void *context),
                     void *context, double *median);

/* WKV forward and backward at (B, T, C), beside a copy and y = k + v over the same arrays. */
mt_status bench_wkv(mt_device *device, const int64_t shape[3], long long repeat, json_t *results);

typedef struct bench_step_shape {
    int64_t B, T, vocabulary, size, blocks;
} bench_step_shape;

/* A training step of a language model, beside its matrix products alone. */
mt_status bench_step(mt_device *device, const bench_step_shape *shape, long long repeat,
                     json_t *results);

#endif
