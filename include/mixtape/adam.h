/* The Adam optimiser over a set of parameters (formula: mixtape/kernels/adam.h), with gradient
 * accumulation and clipping of the gradient's global norm. */
#ifndef MIXTAPE_ADAM_H
#define MIXTAPE_ADAM_H

#include <mixtape/api.h>
#include <mixtape/kernels/adam.h>
#include <mixtape/parameter.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_adam_config {
    double beta1, beta2, eps;
    double weight_decay; /* decoupled; of parameters marked `decay` alone */
    double clip;         /* largest global norm of the gradient; 0: no clipping */
} mt_adam_config;

MT_API mt_adam_config mt_adam_config_default(void); /* 0.9, 0.999, 1e-8, 0, 0 */

/* MT_ERROR_INVALID for a field out of range, with its value. */
MT_API mt_status mt_adam_config_check(const mt_adam_config *config);

typedef struct mt_adam {
    mt_adam_config config;
    mt_parameters *parameters; /* not owned */
    int64_t step;              /* updates made */
    int64_t first, count;      /* what it updates of the blocks, in elements: all, or a rank's part
                                  (mt_trainer_config.split_optimizer), */
    void *m, *v;               /* and the moments of that, */
    bool blank;                /* which count as zeros, and hold anything: no update was made; who
                                  writes them sets step with them, and they count as written */
    double *norm_squared;      /* (1), on the device: of the latest gradients */
    double *halt;              /* (1), on the device: 0, or no number: the update is not made */
    bool halts;                /* updates that follow one that is not made are not made either */
    mt_adam_rates *rates;      /* (1), on the device: of the next update */
    mt_adam_range *ranges; /* (range_count), on the device: of parameters whose rate is not lr */
    int64_t range_count;   /* 0: all have lr */
    /* To the moments that other ranks have; NULL where m and v are all. */
    const struct mt_moments_access *access;
} mt_adam;

/* MT_ERROR_INVALID for a field out of range, with its value. Parameters keep the factors of lr that
 * they have now (mt_parameters_set_rate). The caller destroys it, before the parameters. */
MT_API mt_status mt_adam_create(mt_parameters *parameters, mt_adam_config config, mt_adam **adam);
MT_API void mt_adam_destroy(mt_adam *adam); /* NULL is allowed */

/* One update from the gradients times `grad_scale` (1 / number of accumulated backward passes),
 * after clipping. `grad_norm` (or NULL: nothing is read back, so nothing waits for the device)
 * receives the global norm of the scaled gradients before clipping. An update from a norm that is
 * not finite, or whose square, after clipping, the parameters' type cannot hold, as the moments
 * would have to, changes nothing; it is MT_ERROR_NUMERIC, with the first parameter whose gradient
 * is not finite named, where the norm is read back. Without a backward pass the gradients are
 * zeros, and the update is made and counted all the same. MT_ERROR_INVALID for an lr below 0, a
 * grad_scale that is not above 0, or either not finite; nothing is changed then. */
MT_API mt_status mt_adam_step(mt_adam *adam, double lr, double grad_scale, double *grad_norm);

/* The parts of mt_adam_step, for those who record the device's work: set_lr says what the next
 * update works with, and comes before it; update enqueues it and reads nothing back; adam->step is
 * the caller's to count. watch, before update, makes it one that changes nothing where a loss, of
 * the parameters' type or not, is not finite. With adam->halts set, no later update changes
 * anything either, until go_on: who works ahead of the device finds the parameters as the update
 * found them. */
MT_API mt_status mt_adam_watch(mt_adam *adam, const mt_tensor *loss);
MT_API mt_status mt_adam_go_on(mt_adam *adam);
MT_API mt_status mt_adam_set_lr(mt_adam *adam, double lr);
MT_API mt_status mt_adam_update(mt_adam *adam, double grad_scale);

/* The norm of the latest gradients times `grad_scale`, in `grad_norm`; MT_ERROR_NUMERIC as above,
 * where the update was not made. */
MT_API mt_status mt_adam_read_norm(mt_adam *adam, double grad_scale, double *grad_norm);

#ifdef __cplusplus
}
#endif

#endif
