/* The Adam update: one pass over the four arrays. */
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/math.h"

#include "kernels/adam_formulas.h"

typedef struct update {
    const mt_adam_args *args;
    double grad_factor;
} update;

/* Parameters that have one rate. */
static void update_range(const update *of, mt_adam_rates rates, int64_t begin, int64_t end)
{
    const mt_adam_args *args = of->args;
    int64_t decayed = args->decayed;
    real *parameter = args->parameter, *first = args->m, *second = args->v;
    const real *grad = args->grad;
    const real beta1 = (real)args->beta1, beta2 = (real)args->beta2, eps = (real)args->eps;
    const real rest1 = (real)(1.0 - args->beta1), rest2 = (real)(1.0 - args->beta2),
               factor = (real)of->grad_factor;
    const real of_decayed = (real)mt_adam_kept(rates, args->weight_decay);
    const real rate = (real)mt_adam_rate(rates);
    const real correction = (real)mt_adam_correction(rates);
#pragma omp simd
    for (int64_t i = begin; i < end; i++) {
        real g = factor * grad[i];
        real m = mt_adam_moment(beta1, first[i], rest1, g);
        real v = mt_adam_moment(beta2, second[i], rest2 * g, g);
        first[i] = m;
        second[i] = v;
        real keep = i < decayed ? of_decayed : (real)1.0;
        parameter[i] = keep * parameter[i] - rate * m / (real_sqrt(v) * correction + eps);
    }
}

static void narrow_range(const mt_adam_args *args, int64_t begin, int64_t end)
{
    const real *parameter = args->parameter;
    mt_bf16 *narrow = (mt_bf16 *)args->narrow;
#pragma omp simd
    for (int64_t i = begin; i < end; i++) {
        narrow[i] = mt_bf16_rounded((float)parameter[i]);
    }
}

/* In pieces that are still in cache when they are rounded, each of one rate. */
static void update_stretch(const void *loop, int64_t begin, int64_t end)
{
    enum { PIECE = 2048 };
    const update *of = loop;
    const mt_adam_range all = {INT64_MAX, 1.0};
    const mt_adam_range *range = of->args->range_count > 0 ? of->args->ranges : &all;
    for (int64_t first = begin, stop; first < end; first = stop) {
        while (range->end <= first) {
            range++;
        }
        stop = end - first < PIECE ? end : first + PIECE;
        stop = range->end < stop ? range->end : stop;
        update_range(of, mt_adam_rates_of(*of->args->rates, range->factor), first, stop);
        if (of->args->narrow != NULL) {
            narrow_range(of->args, first, stop);
        }
    }
}

mt_status KERNEL(adam)(mt_device *device, const mt_adam_args *args)
{
    (void)device;
    double squares = args->norm_squared != NULL ? *args->norm_squared : 0.0;
    double grad_factor = mt_adam_grad_factor(args->grad_scale, squares, args->clip);
    if (!isnan(grad_factor)) {
        update loop = {args, grad_factor};
        mt_team_loop(args->n, args->n, update_stretch, &loop);
    }
    return MT_OK;
}
