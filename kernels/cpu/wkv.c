/* WKV on the CPU.
 *
 * Work is cut into blocks of channels, which are independent and vectorised, and chunks of time. A
 * chunk is walked in order with the state of its block in registers and first-level cache. Where
 * batch rows and channel blocks are many, each is walked from its first chunk to its last by one
 * thread. Where they are few, time itself is parallel: every chunk is summarised from an empty
 * state, the summaries are composed in order (a chunk of L steps maps a state by num -> e^(L w) num
 * + num_chunk), and every chunk is finished from its true state. Which of the two is done depends
 * on B, T and C alone, so results do not depend on the number of threads.
 *
 * Backward walks chunks from the last to the first. Forward left the states at their borders; those
 * inside a chunk are computed again into a buffer that stays in cache. The gradients of num and den
 * travel backwards as a triple of the same form as the state, (G, H, exponent), so they compose in
 * the same way. */
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/workspace.h"

#include <string.h>

enum {
    CHUNK = 32, /* steps */
    BLOCK = 256 /
            (int)sizeof(real), /* channels: enough vectors to hide the latency of the recurrence */
    GROUP = 16,                /* blocks side by side that one thread may walk together, at most */
    SERIAL_TASKS = 8           /* from this many (row, block) pairs on, time is walked serially */
};

#define EMPTY_MAX ((real)MT_WKV_EMPTY_MAX)

/* A state (num, den, max) of one block, or a gradient (G, H, exponent): num and den stand for num
 * e^max, den e^max. */
typedef struct triple {
    real num[BLOCK], den[BLOCK], max[BLOCK];
} triple;

/* The inputs of one block of channels of one batch row, from the chunk's first step; rows are C
 * apart. */
typedef struct chunk_inputs {
    int64_t C;
    int width; /* channels, at most BLOCK */
    int steps; /* at most CHUNK */
    const real *w, *u, *k, *v;
} chunk_inputs;

/* What a problem is cut into. */
typedef struct time_cut {
    int64_t B, T, C;
    int64_t chunks, blocks;
    bool time_parallel;
} time_cut;

static time_cut make_cut(int64_t B, int64_t T, int64_t C)
{
    time_cut cut = {.B = B,
                    .T = T,
                    .C = C,
                    .chunks = (T + CHUNK - 1) / CHUNK,
                    .blocks = (C + BLOCK - 1) / BLOCK};
    cut.time_parallel = B * cut.blocks < SERIAL_TASKS && cut.chunks > 2;
    return cut;
}

/* Blocks that a thread walks together, chunk by chunk: as many as leave work for every thread. Rows
 * are then read in long stretches; what comes out is the same. */
static int64_t group_size(const time_cut *cut)
{
    int64_t size = cut->B * cut->blocks / mt_cpu_threads();
    size = size < GROUP ? size : GROUP;
    size = size < cut->blocks ? size : cut->blocks;
    return size > 1 ? size : 1;
}

static int64_t group_end(const time_cut *cut, int64_t first, int64_t size)
{
    return first + size < cut->blocks ? first + size : cut->blocks;
}

static bool worth_threads(const time_cut *cut)
{
    return cut->B * cut->T * cut->C >= PARALLEL_ELEMENTS;
}

/* Where block `block` of row b lies in an array (B, C), and its step `chunk * CHUNK` in one of (B,
 * T, C). */
static int64_t state_offset(const time_cut *cut, int64_t b, int64_t block)
{
    return b * cut->C + block * BLOCK;
}

static int64_t step_offset(const time_cut *cut, int64_t b, int64_t block, int64_t chunk)
{
    return (b * cut->T + chunk * CHUNK) * cut->C + block * BLOCK;
}

static chunk_inputs make_span(const time_cut *cut, const void *w, const void *u, const void *k,
                              const void *v, int64_t b, int64_t block, int64_t chunk)
{
    int64_t steps = cut->T - chunk * CHUNK, width = cut->C - block * BLOCK;
    int64_t at = step_offset(cut, b, block, chunk);
    return (chunk_inputs){.C = cut->C,
                          .width = (int)(width < BLOCK ? width : BLOCK),
                          .steps = (int)(steps < CHUNK ? steps : CHUNK),
                          .w = (const real *)w + block * BLOCK,
                          .u = (const real *)u + block * BLOCK,
                          .k = (const real *)k + at,
                          .v = (const real *)v + at};
}

static void set_empty(triple *state)
{
    memset(state, 0, sizeof *state);
    for (int c = 0; c < BLOCK; c++) {
        state->max[c] = EMPTY_MAX;
    }
}

/* Moves a block's triple from and to an array (3, B, C); `planes` is B C. */
static void load(triple *state, const real *array, int64_t planes, int width)
{
    size_t bytes = (size_t)width * sizeof(real);
    memcpy(state->num, array, bytes);
    memcpy(state->den, array + planes, bytes);
    memcpy(state->max, array + 2 * planes, bytes);
}

static void store(const triple *state, real *array, int64_t planes, int width)
{
    size_t bytes = (size_t)width * sizeof(real);
    memcpy(array, state->num, bytes);
    memcpy(array + planes, state->den, bytes);
    memcpy(array + 2 * planes, state->max, bytes);
}

/* The two factors e^(a - max(a, b)) and e^(b - max(a, b)), of which one is 1. */
static inline void relative_exps(real a, real b, real *of_a, real *of_b)
{
    real difference = a - b;
    real e = real_exp_negative(-real_abs(difference));
    *of_a = difference >= (real)0.0 ? (real)1.0 : e;
    *of_b = difference >= (real)0.0 ? e : (real)1.0;
}

/* state = state decayed by `steps` steps, plus a summary. */
static void compose(triple *state, const real *w, int64_t steps, const triple *summary, int width)
{
#pragma omp simd
    for (int c = 0; c < width; c++) {
        real of_state, of_summary;
        real decayed = state->max[c] + (real)steps * w[c];
        relative_exps(decayed, summary->max[c], &of_state, &of_summary);
        state->num[c] = of_state * state->num[c] + of_summary * summary->num[c];
        state->den[c] = of_state * state->den[c] + of_summary * summary->den[c];
        state->max[c] = real_max(decayed, summary->max[c]);
    }
}

/* ---- forward ---- */

static inline void update_state(triple *restrict state, int c, real w, real k, real v)
{
    real of_state, of_key;
    real decayed = state->max[c] + w;
    relative_exps(decayed, k, &of_state, &of_key);
    state->num[c] = of_state * state->num[c] + of_key * v;
    state->den[c] = of_state * state->den[c] + of_key;
    state->max[c] = real_max(decayed, k);
}

static inline __attribute__((always_inline)) void
forward_steps(const chunk_inputs *span, int width, triple *restrict state, real *restrict y)
{
    const real *restrict w = span->w, *restrict u = span->u;
    for (int t = 0; t < span->steps; t++) {
        const real *restrict k = span->k + t * span->C, *restrict v = span->v + t * span->C;
        real *restrict out = y + t * span->C;
#pragma omp simd
        for (int c = 0; c < width; c++) {
            real of_state, of_first;
            relative_exps(state->max[c], u[c] + k[c], &of_state, &of_first);
            out[c] = (of_state * state->num[c] + of_first * v[c]) /
                     (of_state * state->den[c] + of_first);
            update_state(state, c, w[c], k[c], v[c]);
        }
    }
}

/* Advances the state over a chunk and writes y. Full blocks have a compile-time width. */
static void forward_chunk(const chunk_inputs *span, triple *state, real *y)
{
    if (span->width == BLOCK) {
        forward_steps(span, BLOCK, state, y);
    } else {
        forward_steps(span, span->width, state, y);
    }
}

/* Advances the state over a chunk, and nothing else. */
static void summarise_chunk(const chunk_inputs *span, triple *restrict state)
{
    for (int t = 0; t < span->steps; t++) {
        const real *restrict k = span->k + t * span->C, *restrict v = span->v + t * span->C;
#pragma omp simd
        for (int c = 0; c < span->width; c++) {
            update_state(state, c, span->w[c], k[c], v[c]);
        }
    }
}

static void load_initial(triple *state, const real *state_in, const time_cut *cut, int64_t b,
                         int64_t block, int width)
{
    if (state_in != NULL) {
        load(state, state_in + state_offset(cut, b, block), cut->B * cut->C, width);
    } else {
        set_empty(state);
    }
}

/* The state at the border before `chunk`, for one block: `borders` is (chunks + 1, 3, B, C). */
static real *border(real *borders, const time_cut *cut, int64_t chunk, int64_t b, int64_t block)
{
    return borders + chunk * 3 * cut->B * cut->C + state_offset(cut, b, block);
}

static chunk_inputs forward_span(const time_cut *cut, const mt_wkv_forward_args *args, int64_t b,
                                 int64_t block, int64_t chunk)
{
    return make_span(cut, args->w, args->u, args->k, args->v, b, block, chunk);
}

/* Blocks first .. end - 1 of one row, from the first chunk to the last. */
static void forward_serial(const time_cut *cut, const mt_wkv_forward_args *args, int64_t b,
                           int64_t first, int64_t end)
{
    triple states[GROUP];
    int64_t planes = cut->B * cut->C;
    for (int64_t block = first; block < end; block++) {
        chunk_inputs span = forward_span(cut, args, b, block, 0);
        load_initial(&states[block - first], args->state_in, cut, b, block, span.width);
    }
    for (int64_t chunk = 0; chunk < cut->chunks; chunk++) {
        for (int64_t block = first; block < end; block++) {
            triple *state = &states[block - first];
            chunk_inputs span = forward_span(cut, args, b, block, chunk);
            if (args->saved != NULL) {
                store(state, border(args->saved, cut, chunk, b, block), planes, span.width);
            }
            forward_chunk(&span, state, (real *)args->y + step_offset(cut, b, block, chunk));
        }
    }
    for (int64_t block = first; block < end; block++) {
        const triple *state = &states[block - first];
        int width = forward_span(cut, args, b, block, 0).width;
        if (args->saved != NULL) {
            store(state, border(args->saved, cut, cut->chunks, b, block), planes, width);
        }
        if (args->state_out != NULL) {
            store(state, (real *)args->state_out + state_offset(cut, b, block), planes, width);
        }
    }
}

/* Turns the summaries that stand at each border, of the chunk before it, into the states there. */
static void scan_states(const time_cut *cut, const mt_wkv_forward_args *args, real *borders,
                        int64_t b, int64_t block)
{
    triple state, summary;
    int64_t planes = cut->B * cut->C;
    chunk_inputs span = forward_span(cut, args, b, block, 0);
    load_initial(&state, args->state_in, cut, b, block, span.width);
    store(&state, border(borders, cut, 0, b, block), planes, span.width);
    for (int64_t chunk = 0; chunk < cut->chunks; chunk++) {
        span = forward_span(cut, args, b, block, chunk);
        real *after = border(borders, cut, chunk + 1, b, block);
        load(&summary, after, planes, span.width);
        compose(&state, span.w, span.steps, &summary, span.width);
        store(&state, after, planes, span.width);
    }
    if (args->state_out != NULL) {
        store(&state, (real *)args->state_out + state_offset(cut, b, block), planes, span.width);
    }
}

static void forward_time_parallel(const time_cut *cut, const mt_wkv_forward_args *args,
                                  real *borders)
{
    int64_t planes = cut->B * cut->C;
    int threads = worth_threads(cut) ? mt_cpu_threads() : 1;
#pragma omp parallel for collapse(3) schedule(static) num_threads(threads)
    for (int64_t b = 0; b < cut->B; b++) {
        for (int64_t block = 0; block < cut->blocks; block++) {
            for (int64_t chunk = 0; chunk < cut->chunks; chunk++) {
                triple summary;
                chunk_inputs span = forward_span(cut, args, b, block, chunk);
                set_empty(&summary);
                summarise_chunk(&span, &summary);
                store(&summary, border(borders, cut, chunk + 1, b, block), planes, span.width);
            }
        }
    }
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
    for (int64_t b = 0; b < cut->B; b++) {
        for (int64_t block = 0; block < cut->blocks; block++) {
            scan_states(cut, args, borders, b, block);
        }
    }
#pragma omp parallel for collapse(3) schedule(static) num_threads(threads)
    for (int64_t b = 0; b < cut->B; b++) {
        for (int64_t block = 0; block < cut->blocks; block++) {
            for (int64_t chunk = 0; chunk < cut->chunks; chunk++) {
                triple state;
                chunk_inputs span = forward_span(cut, args, b, block, chunk);
                load(&state, border(borders, cut, chunk, b, block), planes, span.width);
                forward_chunk(&span, &state, (real *)args->y + step_offset(cut, b, block, chunk));
            }
        }
    }
}

size_t KERNEL(wkv_saved_size)(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    (void)device;
    time_cut cut = make_cut(B, T, C);
    return (size_t)((cut.chunks + 1) * 3 * B * C) * sizeof(real);
}

mt_status KERNEL(wkv_forward)(mt_device *device, const mt_wkv_forward_args *args)
{
    time_cut cut = make_cut(args->B, args->T, args->C);
    if (cut.time_parallel) {
        void *borders = args->saved;
        if (borders == NULL) {
            mt_status status = mt_cpu_workspace(
                device, KERNEL(wkv_saved_size)(device, cut.B, cut.T, cut.C), &borders);
            if (status != MT_OK) {
                return status;
            }
        }
        forward_time_parallel(&cut, args, borders);
        return MT_OK;
    }
    int64_t group = group_size(&cut);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(&cut))                     \
    num_threads(mt_cpu_threads())
    for (int64_t b = 0; b < cut.B; b++) {
        for (int64_t first = 0; first < cut.blocks; first += group) {
            forward_serial(&cut, args, b, first, group_end(&cut, first, group));
        }
    }
    return MT_OK;
}

/* ---- backward ---- */

/* The states before each step of a chunk, and the exponential of each update. */
typedef struct history {
    real num[CHUNK][BLOCK], den[CHUNK][BLOCK], max[CHUNK][BLOCK], update_exp[CHUNK][BLOCK];
} history;

/* Where a chunk's gradients go; dk and dv are NULL in a summary. */
typedef struct chunk_grads {
    const real *dy; /* NULL: zero */
    real *dk, *dv;
    double *dw, *du; /* (BLOCK): sums over the chunk */
} chunk_grads;

static void recall_states(const chunk_inputs *span, const triple *start, history *restrict past)
{
    triple state = *start;
    for (int t = 0; t < span->steps; t++) {
        const real *restrict k = span->k + t * span->C, *restrict v = span->v + t * span->C;
#pragma omp simd
        for (int c = 0; c < span->width; c++) {
            real decayed = state.max[c] + span->w[c];
            real difference = decayed - k[c];
            real e = real_exp_negative(-real_abs(difference));
            real of_state = difference >= (real)0.0 ? (real)1.0 : e,
                 of_key = difference >= (real)0.0 ? e : (real)1.0;
            past->num[t][c] = state.num[c];
            past->den[t][c] = state.den[c];
            past->max[t][c] = state.max[c];
            past->update_exp[t][c] = e;
            state.num[c] = of_state * state.num[c] + of_key * v[c];
            state.den[c] = of_state * state.den[c] + of_key;
            state.max[c] = real_max(decayed, k[c]);
        }
    }
}

/* One step back for the channels of a block. On entry `grad` is the gradient of the state after the
 * step, on return that of the state before it. With m the exponent of the step's denominator and
 * e^max' that of the state after it: q e^(u+k) = (g / D) e^(u+k-m),     e^k G = e^(k-max')
 * e^(max'+exponent) G,     e^w G num alike. */
static inline __attribute__((always_inline)) void
backward_step(const chunk_inputs *span, int width, int t, const history *restrict past,
              const real *restrict dy, triple *restrict grad, real *restrict dk, real *restrict dv,
              real *restrict dw, real *restrict du)
{
    const real *restrict w = span->w, *restrict u = span->u;
    const real *restrict k = span->k + t * span->C, *restrict v = span->v + t * span->C;
#pragma omp simd
    for (int c = 0; c < width; c++) {
        real num = past->num[t][c], den = past->den[t][c], max = past->max[t][c];
        real first = u[c] + k[c], decayed = max + w[c];
        real of_state, of_first;
        relative_exps(max, first, &of_state, &of_first);
        real inverse = (real)1.0 / (of_state * den + of_first);
        real y = (of_state * num + of_first * v[c]) * inverse;
        real q = (dy != NULL ? dy[c] : (real)0.0) * inverse;

        bool state_leads = decayed >= k[c];
        real e = past->update_exp[t][c];
        real carried = real_exp_negative(real_max(decayed, k[c]) + grad->max[c]);
        real of_old = (state_leads ? (real)1.0 : e) * carried,
             of_key = (state_leads ? e : (real)1.0) * carried;
        real G = grad->num[c], H = grad->den[c];
        real direct = q * of_first * (v[c] - y);
        dv[c] = q * of_first + of_key * G;
        dk[c] = direct + of_key * (G * v[c] + H);
        du[c] += direct;
        dw[c] += of_old * (G * num + H * den);

        real lead = real_max(max, first), of_q, of_grad;
        relative_exps(-lead, grad->max[c] + w[c], &of_q, &of_grad);
        grad->num[c] = of_q * q + of_grad * G;
        grad->den[c] = of_grad * H - of_q * q * y;
        grad->max[c] = real_max(-lead, grad->max[c] + w[c]);
    }
}

static inline __attribute__((always_inline)) void backward_steps(const chunk_inputs *span,
                                                                 int width, const history *past,
                                                                 triple *grad,
                                                                 const chunk_grads *to)
{
    real unwanted[2][BLOCK] = {{0}}, dw[BLOCK] = {0}, du[BLOCK] = {0};
    for (int t = span->steps - 1; t >= 0; t--) {
        int64_t at = t * span->C;
        backward_step(span, width, t, past, to->dy != NULL ? to->dy + at : NULL, grad,
                      to->dk != NULL ? to->dk + at : unwanted[0],
                      to->dv != NULL ? to->dv + at : unwanted[1], dw, du);
    }
    for (int c = 0; c < width; c++) {
        to->dw[c] = (double)dw[c];
        to->du[c] = (double)du[c];
    }
}

/* Takes `grad` from behind a chunk to before it. */
static void backward_chunk(const chunk_inputs *span, const triple *start, triple *grad,
                           const chunk_grads *to)
{
    history past;
    recall_states(span, start, &past);
    if (span->width == BLOCK) {
        backward_steps(span, BLOCK, &past, grad, to);
    } else {
        backward_steps(span, span->width, &past, grad, to);
    }
}

static chunk_inputs backward_span(const time_cut *cut, const mt_wkv_backward_args *args, int64_t b,
                                  int64_t block, int64_t chunk)
{
    return make_span(cut, args->w, args->u, args->k, args->v, b, block, chunk);
}

static chunk_grads make_grads(const time_cut *cut, const mt_wkv_backward_args *args, int64_t b,
                              int64_t block, int64_t chunk, double *dw, double *du)
{
    int64_t at = step_offset(cut, b, block, chunk);
    return (chunk_grads){.dy = args->dy != NULL ? (const real *)args->dy + at : NULL,
                         .dk = args->dk != NULL ? (real *)args->dk + at : NULL,
                         .dv = args->dv != NULL ? (real *)args->dv + at : NULL,
                         .dw = dw,
                         .du = du};
}

/* The gradient behind the last step: that of the final state, whose max is e^-exponent's, or
 * nothing. */
static void load_final_grad(triple *grad, const time_cut *cut, const mt_wkv_backward_args *args,
                            int64_t b, int64_t block, int width)
{
    set_empty(grad);
    if (args->dstate_out == NULL) {
        return;
    }
    triple last;
    int64_t planes = cut->B * cut->C;
    const real *saved = args->saved;
    load(grad, (const real *)args->dstate_out + state_offset(cut, b, block), planes, width);
    load(&last, saved + cut->chunks * 3 * planes + state_offset(cut, b, block), planes, width);
    for (int c = 0; c < width; c++) {
        grad->max[c] = -last.max[c];
    }
}

/* d num = e^max dN, where max is the carried-in state's. */
static void store_initial_grad(const triple *grad, const time_cut *cut,
                               const mt_wkv_backward_args *args, int64_t b, int64_t block,
                               int width)
{
    if (args->dstate_in == NULL) {
        return;
    }
    triple first, scaled = {0};
    int64_t planes = cut->B * cut->C;
    load(&first, (const real *)args->saved + state_offset(cut, b, block), planes, width);
    for (int c = 0; c < width; c++) {
        real scale = real_exp(first.max[c] + grad->max[c]);
        scaled.num[c] = scale * grad->num[c];
        scaled.den[c] = scale * grad->den[c];
        scaled.max[c] = (real)0.0;
    }
    store(&scaled, (real *)args->dstate_in + state_offset(cut, b, block), planes, width);
}

/* The sums over one chunk of one block: `sums` is (B, chunks, 2, C), dw and du. */
static double *chunk_sums(double *sums, const time_cut *cut, int64_t b, int64_t block,
                          int64_t chunk)
{
    return sums + (b * cut->chunks + chunk) * 2 * cut->C + block * BLOCK;
}

static void finish_chunk(const time_cut *cut, const mt_wkv_backward_args *args, double *sums,
                         int64_t b, int64_t block, int64_t chunk, triple *grad)
{
    triple start;
    chunk_inputs span = backward_span(cut, args, b, block, chunk);
    double *dw = chunk_sums(sums, cut, b, block, chunk);
    chunk_grads to = make_grads(cut, args, b, block, chunk, dw, dw + cut->C);
    int64_t planes = cut->B * cut->C;
    load(&start, (const real *)args->saved + chunk * 3 * planes + state_offset(cut, b, block),
         planes, span.width);
    backward_chunk(&span, &start, grad, &to);
}

static void backward_serial(const time_cut *cut, const mt_wkv_backward_args *args, double *sums,
                            int64_t b, int64_t first, int64_t end)
{
    triple grads[GROUP];
    for (int64_t block = first; block < end; block++) {
        load_final_grad(&grads[block - first], cut, args, b, block,
                        backward_span(cut, args, b, block, 0).width);
    }
    for (int64_t chunk = cut->chunks - 1; chunk >= 0; chunk--) {
        for (int64_t block = first; block < end; block++) {
            finish_chunk(cut, args, sums, b, block, chunk, &grads[block - first]);
        }
    }
    for (int64_t block = first; block < end; block++) {
        store_initial_grad(&grads[block - first], cut, args, b, block,
                           backward_span(cut, args, b, block, 0).width);
    }
}

/* Turns the summaries of the chunks, each of the gradient that a chunk itself sends back, into the
 * gradients that arrive behind each of them. */
static void scan_grads(const time_cut *cut, const mt_wkv_backward_args *args, real *summaries,
                       int64_t b, int64_t block)
{
    triple grad, summary;
    int64_t planes = cut->B * cut->C;
    int width = backward_span(cut, args, b, block, 0).width;
    load_final_grad(&grad, cut, args, b, block, width);
    for (int64_t chunk = cut->chunks - 1; chunk >= 0; chunk--) {
        chunk_inputs span = backward_span(cut, args, b, block, chunk);
        real *at = border(summaries, cut, chunk, b, block);
        load(&summary, at, planes, width);
        store(&grad, at, planes, width);
        compose(&grad, span.w, span.steps, &summary, width);
    }
    store_initial_grad(&grad, cut, args, b, block, width);
}

static void backward_time_parallel(const time_cut *cut, const mt_wkv_backward_args *args,
                                   double *sums, real *summaries)
{
    int64_t planes = cut->B * cut->C;
    int threads = worth_threads(cut) ? mt_cpu_threads() : 1;
    mt_wkv_backward_args summary_args = *args;
    summary_args.dk = summary_args.dv = NULL;
#pragma omp parallel for collapse(3) schedule(static) num_threads(threads)
    for (int64_t b = 0; b < cut->B; b++) {
        for (int64_t block = 0; block < cut->blocks; block++) {
            for (int64_t chunk = 0; chunk < cut->chunks; chunk++) {
                triple grad;
                set_empty(&grad);
                finish_chunk(cut, &summary_args, sums, b, block, chunk, &grad);
                store(&grad, border(summaries, cut, chunk, b, block), planes,
                      backward_span(cut, args, b, block, chunk).width);
            }
        }
    }
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
    for (int64_t b = 0; b < cut->B; b++) {
        for (int64_t block = 0; block < cut->blocks; block++) {
            scan_grads(cut, args, summaries, b, block);
        }
    }
#pragma omp parallel for collapse(3) schedule(static) num_threads(threads)
    for (int64_t b = 0; b < cut->B; b++) {
        for (int64_t block = 0; block < cut->blocks; block++) {
            for (int64_t chunk = 0; chunk < cut->chunks; chunk++) {
                triple grad;
                load(&grad, border(summaries, cut, chunk, b, block), planes,
                     backward_span(cut, args, b, block, chunk).width);
                finish_chunk(cut, args, sums, b, block, chunk, &grad);
            }
        }
    }
}

/* dw and du over batch rows and chunks, in order. */
static void reduce_sums(const time_cut *cut, const double *sums, real *dw, real *du)
{
    int64_t C = cut->C, parts = cut->B * cut->chunks;
#pragma omp parallel for schedule(static) if (parts * C >= PARALLEL_ELEMENTS)                      \
    num_threads(mt_cpu_threads())
    for (int64_t block = 0; block < cut->blocks; block++) {
        int width = (int)(C - block * BLOCK < BLOCK ? C - block * BLOCK : BLOCK);
        double total[2][BLOCK] = {{0.0}};
        for (int64_t part = 0; part < parts; part++) {
            const double *w_sums = sums + part * 2 * C + block * BLOCK, *u_sums = w_sums + C;
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
    size_t sums_size = (size_t)(cut.B * cut.chunks * 2 * cut.C) * sizeof(double);
    size_t summaries_size =
        cut.time_parallel ? KERNEL(wkv_saved_size)(device, cut.B, cut.T, cut.C) : 0;
    void *memory;
    mt_status status = mt_cpu_workspace(device, sums_size + summaries_size, &memory);
    if (status != MT_OK) {
        return status;
    }
    double *sums = memory;
    if (cut.time_parallel) {
        void *summaries = (char *)memory + sums_size;
        backward_time_parallel(&cut, args, sums, summaries);
    } else {
        int64_t group = group_size(&cut);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(&cut))                     \
    num_threads(mt_cpu_threads())
        for (int64_t b = 0; b < cut.B; b++) {
            for (int64_t first = 0; first < cut.blocks; first += group) {
                backward_serial(&cut, args, sums, b, first, group_end(&cut, first, group));
            }
        }
    }
    reduce_sums(&cut, sums, args->dw, args->du);
    return MT_OK;
}
