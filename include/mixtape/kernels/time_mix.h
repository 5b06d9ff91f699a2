/* The shift by one step of time and the mixes that read it, in one pass.
 *
 *     y_i[b][t] = x[b][t] m_i + x[b][t-1] (1 - m_i)        i = 0 .. count-1
 *
 * with x[b][-1] = carried[b], or zero where there is none. x and y_i are (B, T, C), m_i (C),
 * carried (B, C). The m_i and their gradients are wide (kernels/list.h). */
#ifndef MIXTAPE_KERNELS_TIME_MIX_H
#define MIXTAPE_KERNELS_TIME_MIX_H

#include <stdint.h>

enum { MT_TIME_MIX_MAX = 3 };

typedef struct mt_time_mix_forward_args {
    int64_t B, T, C;
    int count;                        /* 1 .. MT_TIME_MIX_MAX */
    const void *x;                    /* (B, T, C) */
    const void *carried;              /* (B, C), or NULL for zero */
    const void *mix[MT_TIME_MIX_MAX]; /* (C) each */
    void *y[MT_TIME_MIX_MAX];         /* (B, T, C) each, written */
} mt_time_mix_forward_args;

/* dx[b][t] = sum_i dy_i[b][t] m_i + dy_i[b][t+1] (1 - m_i);  dm_i = sum_bt dy_i (x - x').
 * A dy_i that is NULL counts as zero; an output that is NULL is not written. */
typedef struct mt_time_mix_backward_args {
    int64_t B, T, C;
    int count;
    const void *x, *carried;
    const void *mix[MT_TIME_MIX_MAX];
    const void *dy[MT_TIME_MIX_MAX]; /* (B, T, C) each */
    void *dx;                        /* (B, T, C) */
    void *dcarried;                  /* (B, C) */
    void *dmix[MT_TIME_MIX_MAX];     /* (C) each */
} mt_time_mix_backward_args;

#endif
