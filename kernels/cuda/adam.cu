/* The Adam update: one launch over the four arrays. */
#include "kernels/adam_formulas.h"
#include "kernels/cuda/kernels.cuh"

#include <float.h>

namespace mt_cuda
{

namespace
{

constexpr int ADAM_THREADS = 256;

/* Zero below the smallest normal number, as on the CPU. */
__device__ inline float flushed(float x)
{
    return fabs(x) < FLT_MIN ? 0.0f : x;
}

__device__ inline double flushed(double x)
{
    return fabs(x) < DBL_MIN ? 0.0 : x;
}

template <int WIDTH, typename real>
__global__ void __launch_bounds__(ADAM_THREADS)
    update(mt_adam_args args, real *parameter, const real *grad, real *first, real *second)
{
    double squares = args.norm_squared != nullptr ? *args.norm_squared : 0.0;
    double grad_factor = mt_adam_grad_factor(args.grad_scale, squares, args.clip);
    if (isnan(grad_factor)) {
        return;
    }
    const real factor = static_cast<real>(grad_factor);
    const mt_adam_rates rates = *args.rates;
    const real beta1 = static_cast<real>(args.beta1), beta2 = static_cast<real>(args.beta2);
    const real rest1 = static_cast<real>(1.0 - args.beta1);
    const real rest2 = static_cast<real>(1.0 - args.beta2);
    const real eps = static_cast<real>(args.eps);
    const real of_decayed = static_cast<real>(mt_adam_kept(rates, args.weight_decay));
    const real rate = static_cast<real>(mt_adam_rate(rates));
    const real correction = static_cast<real>(mt_adam_correction(rates));
    for (int64_t i = global_thread() * WIDTH; i < args.n; i += global_threads() * WIDTH) {
        if (i + WIDTH > args.n) {
            for (; i < args.n; i++) { /* what is left of the last pack */
                real g = factor * grad[i];
                real m = flushed(fma(beta1, first[i], rest1 * g));
                real v = flushed(fma(beta2, second[i], rest2 * g * g));
                first[i] = m;
                second[i] = v;
                real keep = i < args.decayed ? of_decayed : real(1);
                parameter[i] = fma(keep, parameter[i], -rate * m / fma(sqrt(v), correction, eps));
            }
            return;
        }
        pack<real, WIDTH> p = load<WIDTH>(parameter + i), g = load<WIDTH>(grad + i);
        pack<real, WIDTH> m = load<WIDTH>(first + i), v = load<WIDTH>(second + i);
        for (int k = 0; k < WIDTH; k++) {
            real scaled = factor * g.at[k];
            m.at[k] = flushed(fma(beta1, m.at[k], rest1 * scaled));
            v.at[k] = flushed(fma(beta2, v.at[k], rest2 * scaled * scaled));
            real keep = i + k < args.decayed ? of_decayed : real(1);
            p.at[k] = fma(keep, p.at[k], -rate * m.at[k] / fma(sqrt(v.at[k]), correction, eps));
        }
        store(first + i, m);
        store(second + i, v);
        store(parameter + i, p);
    }
}

} // namespace

template <typename real> mt_status adam(mt_device *device, const mt_adam_args *args)
{
    real *parameter = static_cast<real *>(args->parameter);
    const real *grad = static_cast<const real *>(args->grad);
    real *first = static_cast<real *>(args->m), *second = static_cast<real *>(args->v);
    bool packs = packable<real>(0, parameter) && packable<real>(0, grad) &&
                 packable<real>(0, first) && packable<real>(0, second);
    constexpr int WIDTH = full_width<real>();
    int64_t blocks = grid_for(device, parts_of(args->n, ADAM_THREADS * WIDTH));
    return packs ? launch(device, "adam", update<WIDTH, real>, blocks, ADAM_THREADS, 0, *args,
                          parameter, grad, first, second)
                 : launch(device, "adam", update<1, real>, blocks, ADAM_THREADS, 0, *args,
                          parameter, grad, first, second);
}

INSTANTIATE(adam)

} // namespace mt_cuda
