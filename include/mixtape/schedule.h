/* Learning-rate schedules: a factor of the peak rate for each update. */
#ifndef MIXTAPE_SCHEDULE_H
#define MIXTAPE_SCHEDULE_H

#include <mixtape/api.h>
#include <mixtape/error.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* At update s = 1, 2, ..., with W = warmup, N = steps, r = final:
 *     constant   min(1, s / W)
 *     linear     min(1, s / W), then from 1 at W to r at N in a straight line
 *     cosine     min(1, s / W), then r + (1 - r) (1 + cos(pi (s - W) / (N - W))) / 2
 *     warmuplr   W^0.5 min(s^-0.5, s W^-1.5)                 (ESPnet's WarmupLR; W >= 1)
 *     rwkv-lm    0.2 + 0.8 (s - 1) / W up to W, then r^((s - W) / (N - W)), or, where r is 0, from
 *                1 at W to 0 at N in a straight line        (RWKV-v4neo/src/trainer.py) */
typedef enum mt_schedule_kind {
    MT_CONSTANT,
    MT_LINEAR,
    MT_COSINE,
    MT_WARMUP_LR,
    MT_SCHEDULE_RWKV_LM
} mt_schedule_kind;

typedef struct mt_schedule {
    mt_schedule_kind kind;
    double lr;    /* the peak */
    double final; /* share of the peak that is left at the end */
    int64_t warmup;
    int64_t steps; /* of the whole run; read by linear, cosine and rwkv-lm */
} mt_schedule;

/* MT_ERROR_INVALID with the field and its value if it is out of range. */
MT_API mt_status mt_schedule_check(const mt_schedule *schedule);
MT_API double mt_schedule_lr(const mt_schedule *schedule, int64_t step);

/* "constant", "linear", "cosine", "warmuplr", "rwkv-lm", NULL for what is no kind; and back, where
 * MT_ERROR_INVALID lists the names. */
MT_API const char *mt_schedule_name(mt_schedule_kind kind);
MT_API mt_status mt_schedule_parse(const char *name, mt_schedule_kind *kind);

#ifdef __cplusplus
}
#endif

#endif
