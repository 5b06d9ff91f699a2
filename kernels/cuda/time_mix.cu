/* The shift of time and its mixes: each row is read from memory once, and found in cache where it
 * is the row before. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int MIX_THREADS = 256;

template <typename real> struct mix_arrays {
    int64_t T, C;
    const real *x, *carried;
    const real *mix[MT_TIME_MIX_MAX];
};

template <typename real>
mix_arrays<real> make_arrays(int64_t T, int64_t C, const void *x, const void *carried,
                             const void *const *mix, int count)
{
    mix_arrays<real> arrays = {
        T, C, static_cast<const real *>(x), static_cast<const real *>(carried), {}};
    for (int i = 0; i < count; i++) {
        arrays.mix[i] = static_cast<const real *>(mix[i]);
    }
    return arrays;
}

/* The step before a row's: the row before, or what was carried in, or NULL for zeros. */
template <typename real>
__device__ inline const real *row_before(const mix_arrays<real> &in, int64_t row)
{
    if (row % in.T > 0) {
        return in.x + (row - 1) * in.C;
    }
    return in.carried != nullptr ? in.carried + row / in.T * in.C : nullptr;
}

template <typename real> struct mix_outputs {
    real *y[MT_TIME_MIX_MAX];
};

/* A warp to a row. */
template <int COUNT, int WIDTH, typename real>
__global__ void __launch_bounds__(MIX_THREADS)
    mix_rows(int64_t rows, mix_arrays<real> in, mix_outputs<real> out)
{
    for (int64_t row = global_warp(); row < rows; row += global_warps()) {
        const real *before = row_before(in, row);
        for (int64_t c = lane_index() * WIDTH; c < in.C; c += WARP * WIDTH) {
            pack<real, WIDTH> x = load<WIDTH>(in.x + row * in.C + c), previous = {};
            if (before != nullptr) {
                previous = load<WIDTH>(before + c);
            }
            for (int i = 0; i < COUNT; i++) {
                pack<real, WIDTH> mix = load<WIDTH>(in.mix[i] + c), y;
                for (int k = 0; k < WIDTH; k++) {
                    y.at[k] = fma(x.at[k] - previous.at[k], mix.at[k], previous.at[k]);
                }
                store(out.y[i] + row * in.C + c, y);
            }
        }
    }
}

template <int COUNT, typename real>
mt_status forward(mt_device *device, const mt_time_mix_forward_args *args)
{
    mix_arrays<real> in =
        make_arrays<real>(args->T, args->C, args->x, args->carried, args->mix, COUNT);
    mix_outputs<real> out = {};
    bool packs = packable<real>(args->C, args->x) && packable<real>(args->C, args->carried);
    for (int i = 0; i < COUNT; i++) {
        out.y[i] = static_cast<real *>(args->y[i]);
        packs =
            packs && packable<real>(args->C, args->mix[i]) && packable<real>(args->C, args->y[i]);
    }
    int64_t rows = args->B * args->T;
    int64_t blocks = grid_for(device, parts_of(rows, MIX_THREADS / WARP));
    return packs ? launch(device, "time mix", mix_rows<COUNT, full_width<real>(), real>, blocks,
                          MIX_THREADS, 0, rows, in, out)
                 : launch(device, "time mix", mix_rows<COUNT, 1, real>, blocks, MIX_THREADS, 0,
                          rows, in, out);
}

/* dx of an element, and its part of each dmix. */
template <int COUNT, typename real> struct element_backward {
    mix_arrays<real> in;
    const real *dy[MT_TIME_MIX_MAX]; /* NULL counts as zero */
    real *dx, *dcarried;             /* or NULL */

    __device__ void operator()(int64_t row, int64_t column, real *dmix) const
    {
        int64_t at = row * in.C + column, t = row % in.T;
        const real *before = row_before(in, row);
        real step = in.x[at] - (before != nullptr ? before[column] : real(0));
        real sum = real(0), into_carried = real(0);
        for (int i = 0; i < COUNT; i++) {
            if (dy[i] == nullptr) {
                continue;
            }
            real now = dy[i][at], mix = in.mix[i][column];
            real after = t < in.T - 1 ? dy[i][at + in.C] : real(0);
            sum += fma(now - after, mix, after);
            into_carried = fma(now, real(1) - mix, into_carried);
            dmix[i] = fma(now, step, dmix[i]);
        }
        if (dx != nullptr) {
            dx[at] = sum;
        }
        if (dcarried != nullptr && t == 0) {
            dcarried[row / in.T * in.C + column] = into_carried;
        }
    }
};

template <int COUNT, typename real>
mt_status backward(mt_device *device, const mt_time_mix_backward_args *args)
{
    element_backward<COUNT, real> f = {
        make_arrays<real>(args->T, args->C, args->x, args->carried, args->mix, COUNT),
        {},
        static_cast<real *>(args->dx),
        static_cast<real *>(args->dcarried)};
    for (int i = 0; i < COUNT; i++) {
        f.dy[i] = static_cast<const real *>(args->dy[i]);
    }
    return sum_columns<COUNT, real>(device, "time mix backward", "time mix totals",
                                    args->B * args->T, args->C, f, args->dmix);
}

} // namespace

template <typename real>
mt_status time_mix_forward(mt_device *device, const mt_time_mix_forward_args *args)
{
    return args->count == 1   ? forward<1, real>(device, args)
           : args->count == 2 ? forward<2, real>(device, args)
                              : forward<3, real>(device, args);
}

template <typename real>
mt_status time_mix_backward(mt_device *device, const mt_time_mix_backward_args *args)
{
    return args->count == 1   ? backward<1, real>(device, args)
           : args->count == 2 ? backward<2, real>(device, args)
                              : backward<3, real>(device, args);
}

INSTANTIATE(time_mix_forward)
INSTANTIATE(time_mix_backward)

} // namespace mt_cuda
