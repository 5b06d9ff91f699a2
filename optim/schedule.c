#include <mixtape/schedule.h>

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* The share of the way from the end of the warm-up to the last update that has been gone, 0 to
 * 1. */
static double progress(const mt_schedule *schedule, int64_t step)
{
    int64_t length = schedule->steps - schedule->warmup;
    double share = length > 0 ? (double)(step - schedule->warmup) / (double)length : 1.0;
    return fmin(fmax(share, 0.0), 1.0);
}

static double constant_factor(const mt_schedule *schedule, int64_t step)
{
    (void)schedule;
    (void)step;
    return 1.0;
}

static double linear_factor(const mt_schedule *schedule, int64_t step)
{
    return 1.0 + (schedule->final - 1.0) * progress(schedule, step);
}

static double cosine_factor(const mt_schedule *schedule, int64_t step)
{
    const double pi = 3.141592653589793;
    return schedule->final +
           (1.0 - schedule->final) * 0.5 * (1.0 + cos(pi * progress(schedule, step)));
}

/* ESPnet's, from its warm-up on; before it, the linear rise that most schedules share is the same
 * formula. */
static double warmup_lr_factor(const mt_schedule *schedule, int64_t step)
{
    return sqrt((double)schedule->warmup / (double)step);
}

/* RWKV-LM's power, for which nothing can be left at the end. */
static double power_factor(const mt_schedule *schedule, int64_t step)
{
    double gone = progress(schedule, step);
    return schedule->final > 0.0 ? pow(schedule->final, gone) : 1.0 - gone;
}

/* The linear rise to the warm-up's end that most have. */
static double rise(const mt_schedule *schedule, int64_t step)
{
    return (double)step / (double)schedule->warmup;
}

/* RWKV-LM's, which counts updates from 0 on: its last one is below the peak still. */
static double rise_from_a_fifth(const mt_schedule *schedule, int64_t step)
{
    return 0.2 + 0.8 * (double)(step - 1) / (double)schedule->warmup;
}

static const struct {
    const char *name;
    double (*warmup)(const mt_schedule *schedule, int64_t step);
    double (*factor)(const mt_schedule *schedule, int64_t step);
    bool ends; /* it reads `steps` */
    int more;  /* updates from W on that warm up too */
} kinds[] = {
    [MT_CONSTANT] = {"constant", rise, constant_factor, false, 0},
    [MT_LINEAR] = {"linear", rise, linear_factor, true, 0},
    [MT_COSINE] = {"cosine", rise, cosine_factor, true, 0},
    [MT_WARMUP_LR] = {"warmuplr", rise, warmup_lr_factor, false, 0},
    [MT_SCHEDULE_RWKV_LM] = {"rwkv-lm", rise_from_a_fifth, power_factor, true, 1},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

double mt_schedule_lr(const mt_schedule *schedule, int64_t step)
{
    mt_schedule_kind kind = schedule->kind;
    bool warms_up = step < schedule->warmup + kinds[kind].more;
    return schedule->lr * (warms_up ? kinds[kind].warmup : kinds[kind].factor)(schedule, step);
}

mt_status mt_schedule_check(const mt_schedule *schedule)
{
    if (!(schedule->lr > 0.0 && schedule->lr < HUGE_VAL)) {
        return mt_fail(MT_ERROR_INVALID, "schedule: learning rate %g, not above 0", schedule->lr);
    }
    if (!(schedule->final >= 0.0 && schedule->final <= 1.0)) {
        return mt_fail(MT_ERROR_INVALID, "schedule: final share %g, not in [0, 1]",
                       schedule->final);
    }
    if (kinds[schedule->kind].ends && schedule->steps < 1) {
        return mt_fail(MT_ERROR_INVALID, "schedule: %" PRId64 " steps, not positive",
                       schedule->steps);
    }
    if (schedule->warmup < 0 || (schedule->kind == MT_WARMUP_LR && schedule->warmup < 1)) {
        return mt_fail(MT_ERROR_INVALID, "schedule: warm-up of %" PRId64 " steps (%s)",
                       schedule->warmup,
                       schedule->kind == MT_WARMUP_LR ? "warmuplr needs one" : "not negative");
    }
    return MT_OK;
}

const char *mt_schedule_name(mt_schedule_kind kind)
{
    return (int)kind >= 0 && (int)kind < KINDS ? kinds[kind].name : NULL;
}

mt_status mt_schedule_parse(const char *name, mt_schedule_kind *kind)
{
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            *kind = (mt_schedule_kind)i;
            return MT_OK;
        }
    }
    return mt_fail(MT_ERROR_INVALID, "schedule: '%s' is none of %s, %s, %s, %s, %s", name,
                   kinds[0].name, kinds[1].name, kinds[2].name, kinds[3].name, kinds[4].name);
}
