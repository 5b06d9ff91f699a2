/* The WKV operator of RWKV-4: the contract that every device implements under the same names.
 *
 * For each batch row b and channel c, with w = -exp(time_decay) < 0 and u = time_first:
 *
 *     y[t] = (num + e^(u+k[t]) v[t]) / (den + e^(u+k[t]))
 *     num  = e^w num + e^(k[t]) v[t]
 *     den  = e^w den + e^(k[t])
 *
 * (Peng et al. 2023, "RWKV: Reinventing RNNs for the Transformer Era", eq. 16.) The state is the
 * triple (num, den, max): num and den are kept as multiples of e^max, so nothing overflows for any
 * finite k. An empty state is (0, 0, MT_WKV_EMPTY_MAX).
 *
 * All arrays are contiguous, on one device: k, v, y and their gradients (B, T, C), of one type,
 * real or MT_F16; w, u and their gradients (C), a state and its gradient (3, B, C), that is num,
 * den, max, all wide (kernels/list.h). There is no bound on T: backward needs the states at the
 * borders of chunks of time, which forward leaves in `saved`, and recomputes what lies inside a
 * chunk. */
#ifndef MIXTAPE_KERNELS_WKV_H
#define MIXTAPE_KERNELS_WKV_H

#include <mixtape/api.h>
#include <mixtape/error.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MT_WKV_EMPTY_MAX (-1e38)

typedef struct mt_wkv_forward_args {
    int64_t B, T, C;
    const void *w;        /* (C): -exp(time_decay) */
    const void *u;        /* (C): time_first */
    const void *k, *v;    /* (B, T, C) */
    const void *state_in; /* (3, B, C), or NULL for the empty state */
    void *y;              /* (B, T, C), written */
    void *state_out;      /* (3, B, C), written, or NULL; may be state_in */
    void *saved;          /* wkv_saved_size bytes for backward, or NULL if there will be none */
    void *workspace;      /* see below */
} mt_wkv_forward_args;

typedef struct mt_wkv_backward_args {
    int64_t B, T, C;
    const void *w, *u, *k, *v; /* as forward had them */
    const void *saved;         /* as forward left it (it includes the effect of state_in) */
    const void *dy;            /* (B, T, C), or NULL for zero */
    const void *dstate_out;    /* (3, B, C), or NULL for zero; its third plane is not read */
    void *dw, *du;             /* (C), written, summed over B and T in a fixed order */
    void *dk, *dv;             /* (B, T, C), written */
    void *dstate_in;           /* (3, B, C), written, or NULL; its third plane is set to zero */
    void *workspace;
} mt_wkv_backward_args;

/* `workspace` is memory of the device that nothing else uses until the work is done:
 * wkv_workspace_size bytes, aligned to 16, or NULL for the device's own. Its content is of no
 * interest before or after. */

/* The gradient of a state is that of (num, den) with max held fixed: with N = e^max num the
 * unscaled sum, d num = e^max dN. The third plane, max, only scales the other two: it has no
 * gradient of its own. Any of dw, du, dk, dv may be NULL when it is not wanted. */

/* The conditions that ESPnet puts on its kernel, checked before any work:
 *     T <= context_size     and     (B * C) mod min(C, 32) == 0.
 * MT_ERROR_INVALID with both figures in the message if one does not hold, or if B, T or C < 1. */
MT_API mt_status mt_wkv_check(int64_t B, int64_t T, int64_t C, int64_t context_size);

#ifdef __cplusplus
}
#endif

#endif
