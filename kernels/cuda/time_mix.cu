/* The shift of time and its mixes: each row is read from memory once, and found in cache where it
 * is the row before. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int MIX_THREADS = 256;

template <typename stored> struct mix_arrays {
    int64_t T, C;
    division<int64_t> by_T;
    const stored *x, *carried;
    const real_of<stored> *mix[MT_TIME_MIX_MAX];
};

template <typename stored>
mix_arrays<stored> make_arrays(int64_t T, int64_t C, const void *x, const void *carried,
                               const void *const *mix, int count)
{
    mix_arrays<stored> arrays = {
        T, C, divide_by(T), static_cast<const stored *>(x), static_cast<const stored *>(carried),
        {}};
    for (int i = 0; i < count; i++) {
        arrays.mix[i] = static_cast<const real_of<stored> *>(mix[i]);
    }
    return arrays;
}

/* The sequence and the step that a row is of. */
struct row_place {
    int64_t b, t;
};

template <typename stored>
__device__ inline row_place place_of(const mix_arrays<stored> &in, int64_t row)
{
    int64_t b = in.by_T.of(row);
    return {b, row - b * in.T};
}

/* The step before a row's: the row before, or what was carried in, or NULL for zeros. */
template <typename stored>
__device__ inline const stored *row_before(const mix_arrays<stored> &in, int64_t row, row_place at)
{
    if (at.t > 0) {
        return in.x + (row - 1) * in.C;
    }
    return in.carried != nullptr ? in.carried + at.b * in.C : nullptr;
}

template <typename stored> struct mix_outputs {
    stored *y[MT_TIME_MIX_MAX];
};

/* A warp to a row. */
template <int COUNT, int WIDTH, typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(MIX_THREADS, ROOMY_BLOCKS)
    mix_rows(int64_t rows, mix_arrays<stored> in, mix_outputs<stored> out)
{
    begin_kernel();
    for (int64_t row = global_warp(); row < rows; row += global_warps()) {
        const stored *before = row_before(in, row, place_of(in, row));
        for (int64_t c = lane_index() * WIDTH; c < in.C; c += WARP * WIDTH) {
            pack<stored, WIDTH> x = load<WIDTH>(in.x + row * in.C + c), previous = {};
            if (before != nullptr) {
                previous = load<WIDTH>(before + c);
            }
            for (int i = 0; i < COUNT; i++) {
                pack<real, WIDTH> mix = load<WIDTH>(in.mix[i] + c);
                pack<stored, WIDTH> y;
                for (int k = 0; k < WIDTH; k++) {
                    real old = previous.at[k];
                    y.at[k] = fma(x.at[k] - old, mix.at[k], old);
                }
                store(out.y[i] + row * in.C + c, y);
            }
        }
    }
}

template <int COUNT, typename stored>
mt_status forward(mt_device *device, const mt_time_mix_forward_args *args)
{
    mix_arrays<stored> in =
        make_arrays<stored>(args->T, args->C, args->x, args->carried, args->mix, COUNT);
    mix_outputs<stored> out = {};
    bool packs = packable<stored>(args->C, args->x) && packable<stored>(args->C, args->carried);
    for (int i = 0; i < COUNT; i++) {
        out.y[i] = static_cast<stored *>(args->y[i]);
        packs = packs && packable<stored>(args->C, args->mix[i]) &&
                packable<stored>(args->C, args->y[i]);
    }
    int64_t rows = args->B * args->T;
    int64_t blocks = grid_for(device, parts_of(rows, MIX_THREADS / WARP));
    return packs ? launch(device, "time mix", mix_rows<COUNT, full_width<stored>(), stored>, blocks,
                          MIX_THREADS, 0, rows, in, out)
                 : launch(device, "time mix", mix_rows<COUNT, 1, stored>, blocks, MIX_THREADS, 0,
                          rows, in, out);
}

/* dx of an element, and its part of each dmix. */
template <int COUNT, typename stored, typename real = real_of<stored>> struct element_backward {
    mix_arrays<stored> in;
    const stored *dy[MT_TIME_MIX_MAX]; /* NULL counts as zero */
    stored *dx, *dcarried;             /* or NULL */

    __device__ void operator()(int64_t row, int64_t column, real *dmix) const
    {
        int64_t at = row * in.C + column;
        row_place place = place_of(in, row);
        const stored *before = row_before(in, row, place);
        real step = in.x[at] - (before != nullptr ? before[column] : real(0));
        real sum = real(0), into_carried = real(0);
        for (int i = 0; i < COUNT; i++) {
            if (dy[i] == nullptr) {
                continue;
            }
            real now = dy[i][at], mix = in.mix[i][column];
            real after = place.t < in.T - 1 ? dy[i][at + in.C] : real(0);
            sum += fma(now - after, mix, after);
            into_carried = fma(now, real(1) - mix, into_carried);
            dmix[i] = fma(now, step, dmix[i]);
        }
        if (dx != nullptr) {
            dx[at] = sum;
        }
        if (dcarried != nullptr && place.t == 0) {
            dcarried[place.b * in.C + column] = into_carried;
        }
    }
};

template <int COUNT, typename stored>
mt_status backward(mt_device *device, const mt_time_mix_backward_args *args)
{
    element_backward<COUNT, stored> f = {
        make_arrays<stored>(args->T, args->C, args->x, args->carried, args->mix, COUNT),
        {},
        static_cast<stored *>(args->dx),
        static_cast<stored *>(args->dcarried)};
    for (int i = 0; i < COUNT; i++) {
        f.dy[i] = static_cast<const stored *>(args->dy[i]);
    }
    return sum_columns<COUNT, real_of<stored>>(device, "time mix backward", args->B * args->T,
                                               args->C, f, args->dmix);
}

} // namespace

template <typename stored>
mt_status time_mix_forward(mt_device *device, const mt_time_mix_forward_args *args)
{
    return args->count == 1   ? forward<1, stored>(device, args)
           : args->count == 2 ? forward<2, stored>(device, args)
                              : forward<3, stored>(device, args);
}

template <typename stored>
mt_status time_mix_backward(mt_device *device, const mt_time_mix_backward_args *args)
{
    return args->count == 1   ? backward<1, stored>(device, args)
           : args->count == 2 ? backward<2, stored>(device, args)
                              : backward<3, stored>(device, args);
}

INSTANTIATE(time_mix_forward)
INSTANTIATE(time_mix_backward)

} // namespace mt_cuda
