/* The Adam update: one launch over the four arrays, and the rounded parameters. */
#include "kernels/adam_formulas.h"
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int ADAM_THREADS = 256;

/* What all elements have in common. */
template <typename real> struct adam_numbers {
    real factor, beta1, rest1, beta2, rest2, correction, eps;
};

/* What the elements of a range have in common; `end` is the element behind them. */
template <typename real> struct range_numbers {
    int64_t end;
    real of_decayed, rate;
};

/* Those of the range that element i is in. `range` is the number of one that is not behind it, and
 * becomes that range's: a thread's elements come in order, so few are passed. */
template <typename real>
__device__ inline range_numbers<real> range_of(const mt_adam_args &args, int64_t i, int64_t &range)
{
    double factor = 1.0;
    int64_t end = args.n;
    if (args.range_count > 0) {
        while (args.ranges[range].end <= i) {
            range++;
        }
        factor = args.ranges[range].factor;
        end = args.ranges[range].end;
    }
    const mt_adam_rates rates = mt_adam_rates_of(*args.rates, factor);
    return {end, static_cast<real>(mt_adam_kept(rates, args.weight_decay)),
            static_cast<real>(mt_adam_rate(rates))};
}

/* The update of one element. */
template <typename real>
__device__ inline void update_element(const adam_numbers<real> &all, real keep, real rate,
                                      real grad, real &parameter, real &first, real &second)
{
    real g = all.factor * grad;
    first = mt_adam_moment(all.beta1, first, all.rest1, g);
    second = mt_adam_moment(all.beta2, second, all.rest2 * g, g);
    parameter = fma(keep, parameter, -rate * first / fma(sqrt(second), all.correction, all.eps));
}

template <int WIDTH, typename real>
__global__ void __launch_bounds__(ADAM_THREADS)
    update(mt_adam_args args, real *parameter, const real *grad, real *first, real *second)
{
    begin_kernel();
    double squares = args.norm_squared != nullptr ? *args.norm_squared : 0.0;
    double grad_factor = mt_adam_grad_factor(args.grad_scale, squares, args.clip);
    if (isnan(grad_factor)) {
        return;
    }
    bfloat16 *narrow = reinterpret_cast<bfloat16 *>(args.narrow);
    const adam_numbers<real> all = {
        static_cast<real>(grad_factor),      static_cast<real>(args.beta1),
        static_cast<real>(1.0 - args.beta1), static_cast<real>(args.beta2),
        static_cast<real>(1.0 - args.beta2), static_cast<real>(mt_adam_correction(*args.rates)),
        static_cast<real>(args.eps)};
    range_numbers<real> own = {0, real(1), real(0)};
    int64_t range = 0;
#pragma unroll 1 /* a turn has packs enough on their way, and another's would take registers */
    for (int64_t i = global_thread() * WIDTH; i < args.n; i += global_threads() * WIDTH) {
        if (i >= own.end) {
            own = range_of<real>(args, i, range);
        }
        if (i + WIDTH > args.n) {
            for (; i < args.n; i++) { /* what is left of the last pack */
                real keep = i < args.decayed ? own.of_decayed : real(1);
                update_element(all, keep, own.rate, grad[i], parameter[i], first[i], second[i]);
                if (narrow != nullptr) {
                    narrow[i] = static_cast<float>(parameter[i]);
                }
            }
            return;
        }
        pack<real, WIDTH> p = load<WIDTH>(parameter + i), g = load<WIDTH>(grad + i);
        pack<real, WIDTH> m = load<WIDTH>(first + i), v = load<WIDTH>(second + i);
        for (int k = 0; k < WIDTH; k++) {
            real keep = i + k < args.decayed ? own.of_decayed : real(1);
            update_element(all, keep, own.rate, g.at[k], p.at[k], m.at[k], v.at[k]);
        }
        store(first + i, m);
        store(second + i, v);
        store(parameter + i, p);
        if (narrow != nullptr) {
            pack<bfloat16, WIDTH> rounded;
            for (int k = 0; k < WIDTH; k++) {
                rounded.at[k] = static_cast<float>(p.at[k]);
            }
            store(narrow + i, rounded);
        }
    }
}

} // namespace

template <typename stored> mt_status adam(mt_device *device, const mt_adam_args *args)
{
    typedef real_of<stored> real;
    real *parameter = static_cast<real *>(args->parameter);
    const real *grad = static_cast<const real *>(args->grad);
    real *first = static_cast<real *>(args->m), *second = static_cast<real *>(args->v);
    bool packs = packable<real>(0, parameter) && packable<real>(0, grad) &&
                 packable<real>(0, first) && packable<real>(0, second) &&
                 packable<bfloat16>(0, args->narrow);
    constexpr int WIDTH = full_width<real>();
    int64_t blocks = grid_for(device, parts_of(args->n, ADAM_THREADS * WIDTH));
    return packs ? launch(device, "adam", update<WIDTH, real>, blocks, ADAM_THREADS, 0, *args,
                          parameter, grad, first, second)
                 : launch(device, "adam", update<1, real>, blocks, ADAM_THREADS, 0, *args,
                          parameter, grad, first, second);
}

INSTANTIATE(adam)

} // namespace mt_cuda
