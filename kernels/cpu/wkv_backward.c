/* WKV on the CPU, backward; cut as forward is (wkv.c), and parallel in time where that is.
 *
 * Chunks are walked from the last to the first. Forward left the states at their borders; those
 * inside a chunk are computed again into a buffer that stays in cache, with their exponentials. The
 * gradients (G, H) of num and den travel backwards at each state's own max, so the way back takes
 * the factors of the way there and no exponential of its own. Over a chunk they compose as states
 * do: G -> through G + G_chunk. */
#include "kernels/cpu/device.h"
#include "kernels/cpu/wkv_blocks.h"

static inline real find_exponential(real a, real b)
{
    return real_copysign(real_exp_negative(-real_abs(a - b)), a - b);
}

static inline factors factors_of(real exponential)
{
    return make_factors(real_abs(exponential), exponential);
}

/* Parts of a row's time that have sums for dw and du of their own. */
static int64_t sum_parts(const time_cut *cut)
{
    return cut->time_parallel ? cut->chunks : 1;
}

/* The states before each step of a chunk, and by which exponentials they were updated and, where it
 * took others, gave their outputs: e^-|a - b| with the sign of a - b. */
typedef struct history {
    _Alignas(LINE * sizeof(real)) real num[CHUNK][BLOCK], den[CHUNK][BLOCK], update[CHUNK][BLOCK],
        output[CHUNK][BLOCK];
} history;

/* The numbers that travel backwards through the chunks of a block: G and H, the gradients of num
 * and den with max held fixed, and the sums that become dw and du. */
typedef struct carried_grad {
    _Alignas(LINE * sizeof(real)) real num[BLOCK], den[BLOCK];
    double dw[BLOCK], du[BLOCK];
} carried_grad;

/* Rows of a chunk's gradients, C apart; where one is NULL, dy is zero, dk and dv are not wanted. */
typedef struct chunk_grads {
    const stored *dy;
    stored *dk, *dv;
} chunk_grads;

static inline __attribute__((always_inline)) void
recall_steps(const chunk_inputs *span, int width, bool of_update, const wkv_state *start,
             const stored *dy, history *restrict past)
{
    wkv_state state = *start;
    row_room room[2];
    const real *restrict w = span->w, *restrict u = span->u;
    for (int t = 0; t < span->steps; t++) {
        int64_t at = t * span->C;
        fetch(span->k + at, AHEAD * span->C, width);
        fetch(span->v + at, AHEAD * span->C, width);
        if (dy != NULL) {
            fetch(dy + at, 0, width);
        }
        const real *restrict k = read_row(span->k + at, width, room[0].numbers);
        const real *restrict v = read_row(span->v + at, width, room[1].numbers);
#pragma omp simd
        for (int c = 0; c < width; c++) {
            past->num[t][c] = state.num[c];
            past->den[t][c] = state.den[c];
            if (!of_update) {
                past->output[t][c] = find_exponential(state.max[c], u[c] + k[c]);
            }
            real decayed = state.max[c] + w[c], exponential = find_exponential(decayed, k[c]);
            past->update[t][c] = exponential;
            update_state(&state, c, factors_of(exponential), decayed, k[c], v[c]);
        }
    }
}

/* With the factors of_state and of_first of the output y = (of_state num + of_first v) / D, and
 * of_old and of_key of the update, and q = dy / D: the gradients of v, k, u, w, and then of (num,
 * den) one step earlier. */
static inline __attribute__((always_inline)) void
backward_steps(const chunk_inputs *span, int width, bool of_update, const real *restrict first,
               const history *restrict past, carried_grad *restrict grad, const chunk_grads *to)
{
    const real none[BLOCK] = {0};
    row_room room[2], dk_room, dv_room;
    real dw[BLOCK] = {0}, du[BLOCK] = {0};
    for (int t = span->steps - 1; t >= 0; t--) {
        int64_t at = t * span->C;
        if (to->dk != NULL) {
            fetch(to->dk + at, -AHEAD * span->C, width);
        }
        if (to->dv != NULL) {
            fetch(to->dv + at, -AHEAD * span->C, width);
        }
        const real *restrict v = read_row(span->v + at, width, room[0].numbers);
        const real *restrict dy =
            to->dy != NULL ? read_row(to->dy + at, width, room[1].numbers) : none;
        real *restrict dk = dk_room.numbers, *restrict dv = dv_room.numbers;
        dk = to->dk != NULL ? row_to_write(to->dk + at, dk) : dk;
        dv = to->dv != NULL ? row_to_write(to->dv + at, dv) : dv;
#pragma omp simd
        for (int c = 0; c < width; c++) {
            real num = past->num[t][c], den = past->den[t][c];
            factors update = factors_of(past->update[t][c]);
            factors output = of_update ? update : factors_of(past->output[t][c]);
            real of_old = update.a, of_key = update.b;
            real of_state = output.a, of_first = first[c] * output.b;
            real inverse = (real)1.0 / (of_state * den + of_first);
            real y = (of_state * num + of_first * v[c]) * inverse;
            real q = dy[c] * inverse, of_value = q * of_first;
            real direct = of_value * (v[c] - y);
            real G = grad->num[c], H = grad->den[c];
            dv[c] = of_value + of_key * G;
            dk[c] = direct + of_key * (G * v[c] + H);
            du[c] += direct;
            dw[c] += of_old * (G * num + H * den);
            grad->num[c] = of_old * G + of_state * q;
            grad->den[c] = of_old * H - of_state * q * y;
        }
        if (to->dk != NULL) {
            write_row(dk, width, to->dk + at);
        }
        if (to->dv != NULL) {
            write_row(dv, width, to->dv + at);
        }
    }
    for (int c = 0; c < width; c++) {
        grad->dw[c] += (double)dw[c];
        grad->du[c] += (double)du[c];
    }
}

/* Takes `grad` from behind a chunk to before it. */
static void backward_chunk(const chunk_inputs *span, const wkv_state *start, carried_grad *grad,
                           const chunk_grads *to)
{
    history past;
    output_weights weights;
    find_weights(span, &weights);
    if (!weights.of_update) {
        recall_steps(span, span->width, false, start, to->dy, &past);
        backward_steps(span, span->width, false, weights.first, &past, grad, to);
    } else if (span->width == BLOCK) {
        recall_steps(span, BLOCK, true, start, to->dy, &past);
        backward_steps(span, BLOCK, true, weights.first, &past, grad, to);
    } else {
        recall_steps(span, span->width, true, start, to->dy, &past);
        backward_steps(span, span->width, true, weights.first, &past, grad, to);
    }
}

static chunk_inputs backward_span(const time_cut *cut, const mt_wkv_backward_args *args, int64_t b,
                                  int64_t block, int64_t chunk)
{
    return make_span(cut, args->w, args->u, args->k, args->v, b, block, chunk);
}

static void load_grad(carried_grad *grad, const real *array, int64_t planes, int width)
{
    memset(grad, 0, sizeof *grad);
    if (array != NULL) {
        memcpy(grad->num, array, (size_t)width * sizeof(real));
        memcpy(grad->den, array + planes, (size_t)width * sizeof(real));
    }
}

static void store_grad(const carried_grad *grad, real *array, int64_t planes, int width)
{
    memcpy(array, grad->num, (size_t)width * sizeof(real));
    memcpy(array + planes, grad->den, (size_t)width * sizeof(real));
}

/* The gradient behind the last step: that of the final state. */
static void load_final_grad(carried_grad *grad, const time_cut *cut,
                            const mt_wkv_backward_args *args, int64_t b, int64_t block)
{
    const real *last = args->dstate_out;
    load_grad(grad, last != NULL ? last + state_offset(cut, b, block) : NULL, cut->B * cut->C,
              block_width(cut, block));
}

static void store_initial_grad(const carried_grad *grad, const time_cut *cut,
                               const mt_wkv_backward_args *args, int64_t b, int64_t block)
{
    if (args->dstate_in != NULL) {
        int64_t planes = cut->B * cut->C;
        int width = block_width(cut, block);
        real *to = (real *)args->dstate_in + state_offset(cut, b, block);
        store_grad(grad, to, planes, width);
        memset(to + 2 * planes, 0, (size_t)width * sizeof(real));
    }
}

static void finish_chunk(const time_cut *cut, const mt_wkv_backward_args *args, int64_t b,
                         int64_t block, int64_t chunk, carried_grad *grad)
{
    wkv_state start;
    chunk_inputs span = backward_span(cut, args, b, block, chunk);
    int64_t at = step_offset(cut, b, block, chunk), planes = cut->B * cut->C;
    chunk_grads to = {.dy = args->dy != NULL ? (const stored *)args->dy + at : NULL,
                      .dk = args->dk != NULL ? (stored *)args->dk + at : NULL,
                      .dv = args->dv != NULL ? (stored *)args->dv + at : NULL};
    load(&start, (const real *)args->saved + chunk * 3 * planes + state_offset(cut, b, block),
         planes, span.width);
    backward_chunk(&span, &start, grad, &to);
}

/* Puts the sums that `grad` has gathered into part `part` of row b: `sums` is (B, parts, 2, C), dw
 * and du. */
static void store_sums(const carried_grad *grad, const time_cut *cut, double *sums, int64_t b,
                       int64_t block, int64_t part)
{
    double *to = sums + (b * sum_parts(cut) + part) * 2 * cut->C + block * BLOCK;
    size_t bytes = (size_t)block_width(cut, block) * sizeof(double);
    memcpy(to, grad->dw, bytes);
    memcpy(to + cut->C, grad->du, bytes);
}

static void backward_serial(const time_cut *cut, const mt_wkv_backward_args *args, double *sums,
                            int64_t b, int64_t first, int64_t end)
{
    carried_grad grads[GROUP];
    for (int64_t block = first; block < end; block++) {
        load_final_grad(&grads[block - first], cut, args, b, block);
    }
    for (int64_t chunk = cut->chunks - 1; chunk >= 0; chunk--) {
        for (int64_t block = first; block < end; block++) {
            finish_chunk(cut, args, b, block, chunk, &grads[block - first]);
        }
    }
    for (int64_t block = first; block < end; block++) {
        store_initial_grad(&grads[block - first], cut, args, b, block);
        store_sums(&grads[block - first], cut, sums, b, block, 0);
    }
}

/* The gradients at the border behind `chunk`, for one block: `borders` is (chunks, 2, B, C). */
static real *grad_border(real *borders, const time_cut *cut, int64_t chunk, int64_t b,
                         int64_t block)
{
    return borders + chunk * 2 * cut->B * cut->C + state_offset(cut, b, block);
}

/* Turns the summaries of the chunks, each of the gradient that a chunk itself sends back, into the
 * gradients that arrive behind each of them. Over a chunk the factors of its updates multiply to
 * e^(max before it + its decay - max behind it). */
static void scan_grads(const time_cut *cut, const mt_wkv_backward_args *args, real *borders,
                       int64_t b, int64_t block)
{
    carried_grad grad;
    int64_t planes = cut->B * cut->C;
    int width = block_width(cut, block);
    load_final_grad(&grad, cut, args, b, block);
    for (int64_t chunk = cut->chunks - 1; chunk >= 0; chunk--) {
        chunk_inputs span = backward_span(cut, args, b, block, chunk);
        const real *before = (const real *)args->saved + (chunk * 3 + 2) * planes +
                             state_offset(cut, b, block),
                   *behind = before + 3 * planes;
        real *num = grad_border(borders, cut, chunk, b, block), *den = num + planes;
#pragma omp simd
        for (int c = 0; c < width; c++) {
            real decayed = before[c] + (real)span.steps * span.w[c];
            real through = real_exp_negative(decayed - behind[c]);
            real G = grad.num[c], H = grad.den[c];
            grad.num[c] = through * G + num[c];
            grad.den[c] = through * H + den[c];
            num[c] = G;
            den[c] = H;
        }
    }
    store_initial_grad(&grad, cut, args, b, block);
}

typedef struct backward_loop {
    const time_cut *cut;
    const mt_wkv_backward_args *args;
    double *sums;
    real *borders;
    int64_t group; /* blocks that are walked together */
} backward_loop;

/* The gradient that each chunk itself sends back. */
static void summarise_tiles(const void *loop, int64_t first, int64_t end)
{
    const backward_loop *of = loop;
    const time_cut *cut = of->cut;
    mt_wkv_backward_args args = *of->args;
    args.dk = args.dv = NULL;
    for (int64_t i = first; i < end; i++) {
        carried_grad grad;
        tile at = tile_at(cut, i);
        int64_t planes = cut->B * cut->C;
        int width = block_width(cut, at.block);
        load_grad(&grad, NULL, planes, width);
        finish_chunk(cut, &args, at.b, at.block, at.chunk, &grad);
        store_grad(&grad, grad_border(of->borders, cut, at.chunk, at.b, at.block), planes, width);
    }
}

static void scan_blocks(const void *loop, int64_t first, int64_t end)
{
    const backward_loop *of = loop;
    for (int64_t i = first; i < end; i++) {
        scan_grads(of->cut, of->args, of->borders, i / of->cut->blocks, i % of->cut->blocks);
    }
}

static void walk_tiles(const void *loop, int64_t first, int64_t end)
{
    const backward_loop *of = loop;
    const time_cut *cut = of->cut;
    for (int64_t i = first; i < end; i++) {
        carried_grad grad;
        tile at = tile_at(cut, i);
        load_grad(&grad, grad_border(of->borders, cut, at.chunk, at.b, at.block), cut->B * cut->C,
                  block_width(cut, at.block));
        finish_chunk(cut, of->args, at.b, at.block, at.chunk, &grad);
        store_sums(&grad, cut, of->sums, at.b, at.block, at.chunk);
    }
}

static void walk_groups(const void *loop, int64_t first, int64_t end)
{
    const backward_loop *of = loop;
    int64_t groups = group_count(of->cut, of->group);
    for (int64_t i = first; i < end; i++) {
        int64_t block = i % groups * of->group;
        backward_serial(of->cut, of->args, of->sums, i / groups, block,
                        group_end(of->cut, block, of->group));
    }
}

typedef struct sums_loop {
    const time_cut *cut;
    const double *sums;
    real *dw, *du;
} sums_loop;

/* dw and du over batch rows and their parts, in order. */
static void reduce_blocks(const void *loop, int64_t first, int64_t end)
{
    const sums_loop *of = loop;
    const time_cut *cut = of->cut;
    int64_t C = cut->C, parts = cut->B * sum_parts(cut);
    real *dw = of->dw, *du = of->du;
    for (int64_t block = first; block < end; block++) {
        int width = block_width(cut, block);
        double total[2][BLOCK] = {{0.0}};
        for (int64_t part = 0; part < parts; part++) {
            const double *w_sums = of->sums + part * 2 * C + block * BLOCK, *u_sums = w_sums + C;
#pragma omp simd
            for (int c = 0; c < width; c++) {
                total[0][c] += w_sums[c];
                total[1][c] += u_sums[c];
            }
        }
        for (int c = 0; c < width; c++) {
            if (dw != NULL) {
                dw[block * BLOCK + c] = (real)total[0][c];
            }
            if (du != NULL) {
                du[block * BLOCK + c] = (real)total[1][c];
            }
        }
    }
}

mt_status KERNEL(wkv_backward)(mt_device *device, const mt_wkv_backward_args *args)
{
    time_cut cut = make_cut(args->B, args->T, args->C);
    size_t sums_size = (size_t)(cut.B * sum_parts(&cut) * 2 * cut.C) * sizeof(double);
    size_t borders_size =
        cut.time_parallel ? (size_t)(cut.chunks * 2 * cut.B * cut.C) * sizeof(real) : 0;
    void *memory;
    mt_status status = mt_cpu_workspace(device, sums_size + borders_size, &memory);
    if (status != MT_OK) {
        return status;
    }
    void *borders = (char *)memory + sums_size;
    int64_t elements = elements_of(&cut);
    backward_loop loop = {&cut, args, memory, borders, group_size(&cut)};
    if (cut.time_parallel) {
        mt_team_loop(elements, tile_count(&cut), summarise_tiles, &loop);
        mt_team_loop(elements, cut.B * cut.blocks, scan_blocks, &loop);
        mt_team_loop(elements, tile_count(&cut), walk_tiles, &loop);
    } else {
        mt_team_loop(elements, cut.B * group_count(&cut, loop.group), walk_groups, &loop);
    }
    sums_loop ends = {&cut, memory, args->dw, args->du};
    mt_team_loop(cut.B * sum_parts(&cut) * cut.C, cut.blocks, reduce_blocks, &ends);
    return MT_OK;
}
