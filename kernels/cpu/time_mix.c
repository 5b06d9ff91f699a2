/* The shift of time and its mixes. */
#include "kernels/cpu/device.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/row_sums.h"

#include <string.h>

/* The step before (b, t): the row before, or what was carried in, or zeros. */
static const stored *row_before(const stored *x, const stored *carried, const stored *zeros,
                                int64_t b, int64_t t, int64_t T, int64_t C)
{
    if (t > 0) {
        return x + (b * T + t - 1) * C;
    }
    return carried != NULL ? carried + b * C : zeros;
}

static void mix_row(int64_t C, const stored *x, const stored *before, const real *mix, stored *y)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        real former = value(before[c]);
        y[c] = rounded(former + (value(x[c]) - former) * mix[c]);
    }
}

static void scale_row(int64_t C, const stored *x, const real *mix, stored *y)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        y[c] = rounded(value(x[c]) * mix[c]);
    }
}

static void forward_rows(const void *loop, int64_t first, int64_t end)
{
    const mt_time_mix_forward_args *args = loop;
    int64_t T = args->T, C = args->C;
    const stored *x = args->x;
    for (int64_t row = first; row < end; row++) {
        int64_t b = row / T, t = row % T;
        bool follows_zeros = !(t > 0 || args->carried != NULL);
        const stored *before = row_before(x, args->carried, NULL, b, t, T, C);
        for (int i = 0; i < args->count; i++) {
            const real *mix = args->mix[i];
            stored *y = (stored *)args->y[i] + row * C;
            if (follows_zeros) {
                scale_row(C, x + row * C, mix, y);
            } else {
                mix_row(C, x + row * C, before, mix, y);
            }
        }
    }
}

mt_status KERNEL(time_mix_forward)(mt_device *device, const mt_time_mix_forward_args *args)
{
    (void)device;
    int64_t rows = args->B * args->T;
    mt_team_loop(rows * args->C, rows, forward_rows, args);
    return MT_OK;
}

/* The numbers that backward needs beside its arguments. The steps whose dy is NULL are left out. */
typedef struct backward_work {
    const mt_time_mix_backward_args *args;
    int count;
    const real *mix[MT_TIME_MIX_MAX];
    const stored *dy[MT_TIME_MIX_MAX];
    const stored *zeros; /* (C): the row before the first, and the gradient after the last */
    real *partials; /* (chunks, count + 1, C): dmix, and a place for dx where it is not wanted */
} backward_work;

/* One row: dx from its own step and the step after it, and its part of each dmix. */
static inline __attribute__((always_inline)) void
backward_row(int count, int64_t C, const stored *restrict x, const stored *restrict before,
             const real *const *mix, const stored *const *dy, const stored *const *after,
             stored *restrict dx, real *restrict dmix)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        real step = value(x[c]) - value(before[c]), sum = (real)0.0;
        for (int i = 0; i < count; i++) {
            real now = value(dy[i][c]), later = value(after[i][c]);
            sum += later + (now - later) * mix[i][c];
            dmix[i * C + c] += now * step;
        }
        dx[c] = rounded(sum);
    }
}

/* A chunk's rows, for a count that the compiler knows. */
static inline __attribute__((always_inline)) void backward_chunk(const backward_work *work,
                                                                 int count, int64_t chunk)
{
    const mt_time_mix_backward_args *args = work->args;
    int64_t T = args->T, C = args->C, rows = args->B * T, first = chunk * CHUNK_ROWS;
    int64_t end = first + CHUNK_ROWS < rows ? first + CHUNK_ROWS : rows;
    real *dmix = work->partials + chunk * (count + 1) * C;
    memset(dmix, 0, (size_t)(count * C) * sizeof(real));
    for (int64_t row = first; row < end; row++) {
        const stored *dy[MT_TIME_MIX_MAX], *after[MT_TIME_MIX_MAX];
        for (int i = 0; i < count; i++) {
            dy[i] = work->dy[i] + row * C;
            after[i] = row % T < T - 1 ? dy[i] + C : work->zeros;
        }
        backward_row(count, C, (const stored *)args->x + row * C,
                     row_before(args->x, args->carried, work->zeros, row / T, row % T, T, C),
                     work->mix, dy, after,
                     args->dx != NULL ? (stored *)args->dx + row * C : (stored *)(dmix + count * C),
                     dmix);
    }
}

static void backward_chunk_0(const backward_work *work, int64_t chunk)
{
    backward_chunk(work, 0, chunk);
}

static void backward_chunk_1(const backward_work *work, int64_t chunk)
{
    backward_chunk(work, 1, chunk);
}

static void backward_chunk_2(const backward_work *work, int64_t chunk)
{
    backward_chunk(work, 2, chunk);
}

static void backward_chunk_3(const backward_work *work, int64_t chunk)
{
    backward_chunk(work, 3, chunk);
}

static void (*const backward_chunks[MT_TIME_MIX_MAX + 1])(const backward_work *, int64_t chunk) = {
    backward_chunk_0, backward_chunk_1, backward_chunk_2, backward_chunk_3};

static mt_status make_work(mt_device *device, const mt_time_mix_backward_args *args, int64_t chunks,
                           backward_work *work)
{
    real *memory;
    *work = (backward_work){.args = args};
    for (int i = 0; i < args->count; i++) {
        if (args->dy[i] != NULL) {
            work->mix[work->count] = args->mix[i];
            work->dy[work->count++] = args->dy[i];
        }
    }
    size_t row = (size_t)args->C * sizeof(real);
    mt_status status = mt_cpu_workspace(
        device, row * (1 + (size_t)chunks * (size_t)(work->count + 1)), (void **)&memory);
    if (status == MT_OK) {
        memset(memory, 0, row);
        work->zeros = (const stored *)memory;
        work->partials = memory + args->C;
    }
    return status;
}

/* dcarried[b] = sum_i dy_i[b][0] (1 - m_i) */
static void carried_grad(const backward_work *work, int64_t b)
{
    int64_t T = work->args->T, C = work->args->C;
    stored *dcarried = (stored *)work->args->dcarried + b * C;
    for (int64_t c = 0; c < C; c++) {
        real sum = (real)0.0;
        for (int i = 0; i < work->count; i++) {
            sum += value(work->dy[i][b * T * C + c]) * ((real)1.0 - work->mix[i][c]);
        }
        dcarried[c] = rounded(sum);
    }
}

static void backward_stretch(const void *loop, int64_t first_chunk, int64_t end_chunk)
{
    const backward_work *work = loop;
    for (int64_t chunk = first_chunk; chunk < end_chunk; chunk++) {
        backward_chunks[work->count](work, chunk);
    }
}

mt_status KERNEL(time_mix_backward)(mt_device *device, const mt_time_mix_backward_args *args)
{
    int64_t C = args->C, rows = args->B * args->T, chunks = row_chunks(rows);
    backward_work work;
    mt_status status = make_work(device, args, chunks, &work);
    if (status != MT_OK) {
        return status;
    }
    mt_team_loop(rows * C, chunks, backward_stretch, &work);
    for (int64_t b = 0; b < args->B && args->dcarried != NULL; b++) {
        carried_grad(&work, b);
    }
    for (int i = 0, used = 0; i < args->count; i++) {
        if (args->dmix[i] != NULL && args->dy[i] == NULL) {
            memset(args->dmix[i], 0, (size_t)C * sizeof(real));
        } else if (args->dmix[i] != NULL) {
            add_partials(work.partials + used * C, chunks, (work.count + 1) * C, C, args->dmix[i]);
        }
        used += args->dy[i] != NULL;
    }
    return MT_OK;
}
