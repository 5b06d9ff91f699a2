/* WKV on the CPU, forward.
 *
 * Work is cut into blocks of channels, which are independent and vectorised, and chunks of time. A
 * chunk is walked in order with the state of its block in registers and first-level cache. Where
 * batch rows and channel blocks are many, each is walked from its first chunk to its last by one
 * thread. Where they are few, time itself is parallel: every chunk is summarised from an empty
 * state, the summaries are composed in order (a chunk of L steps maps a state by num -> e^(L w) num
 * + num_chunk), and every chunk is finished from its true state. Which of the two is done depends
 * on B, T and C alone, so results do not depend on the number of threads. */
#include "kernels/cpu/device.h"
#include "kernels/cpu/wkv_blocks.h"

#define EMPTY_MAX ((real)MT_WKV_EMPTY_MAX)

static void set_empty(wkv_state *state)
{
    memset(state, 0, sizeof *state);
    for (int c = 0; c < BLOCK; c++) {
        state->max[c] = EMPTY_MAX;
    }
}

static void store(const wkv_state *state, real *array, int64_t planes, int width)
{
    size_t bytes = (size_t)width * sizeof(real);
    memcpy(array, state->num, bytes);
    memcpy(array + planes, state->den, bytes);
    memcpy(array + 2 * planes, state->max, bytes);
}

/* state = state decayed by `steps` steps, plus a summary. */
static void compose(wkv_state *state, const real *w, int64_t steps, const wkv_state *summary,
                    int width)
{
#pragma omp simd
    for (int c = 0; c < width; c++) {
        real decayed = state->max[c] + (real)steps * w[c];
        factors of = find_factors(decayed, summary->max[c]);
        state->num[c] = of.a * state->num[c] + of.b * summary->num[c];
        state->den[c] = of.a * state->den[c] + of.b * summary->den[c];
        state->max[c] = real_max(decayed, summary->max[c]);
    }
}

static inline __attribute__((always_inline)) void
forward_steps(const chunk_inputs *span, int width, bool of_update, const real *restrict first,
              wkv_state *restrict state, stored *restrict y)
{
    row_room room[3];
    const real *restrict w = span->w, *restrict u = span->u;
    for (int t = 0; t < span->steps; t++) {
        int64_t at = t * span->C;
        fetch(span->k + at, AHEAD * span->C, width);
        fetch(span->v + at, AHEAD * span->C, width);
        fetch(y + at, AHEAD * span->C, width);
        const real *restrict k = read_row(span->k + at, width, room[0].numbers);
        const real *restrict v = read_row(span->v + at, width, room[1].numbers);
        real *restrict out = row_to_write(y + at, room[2].numbers);
#pragma omp simd
        for (int c = 0; c < width; c++) {
            real num = state->num[c], den = state->den[c], max = state->max[c];
            factors update = find_factors(max + w[c], k[c]);
            factors output = of_update ? update : find_factors(max, u[c] + k[c]);
            update_state(state, c, update, max + w[c], k[c], v[c]);
            output.b *= first[c];
            out[c] = (output.a * num + output.b * v[c]) / (output.a * den + output.b);
        }
        write_row(out, width, y + at);
    }
}

/* Advances the state over a chunk and writes y. Full blocks have a compile-time width. */
static void forward_chunk(const chunk_inputs *span, wkv_state *state, stored *y)
{
    output_weights weights;
    find_weights(span, &weights);
    if (!weights.of_update) {
        forward_steps(span, span->width, false, weights.first, state, y);
    } else if (span->width == BLOCK) {
        forward_steps(span, BLOCK, true, weights.first, state, y);
    } else {
        forward_steps(span, span->width, true, weights.first, state, y);
    }
}

/* Advances the state over a chunk, and nothing else. */
static void summarise_chunk(const chunk_inputs *span, wkv_state *restrict state)
{
    row_room room[2];
    for (int t = 0; t < span->steps; t++) {
        int64_t at = t * span->C;
        const real *restrict k = read_row(span->k + at, span->width, room[0].numbers);
        const real *restrict v = read_row(span->v + at, span->width, room[1].numbers);
#pragma omp simd
        for (int c = 0; c < span->width; c++) {
            real decayed = state->max[c] + span->w[c];
            update_state(state, c, find_factors(decayed, k[c]), decayed, k[c], v[c]);
        }
    }
}

static void load_initial(wkv_state *state, const real *state_in, const time_cut *cut, int64_t b,
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
    wkv_state states[GROUP];
    int64_t planes = cut->B * cut->C;
    for (int64_t block = first; block < end; block++) {
        chunk_inputs span = forward_span(cut, args, b, block, 0);
        load_initial(&states[block - first], args->state_in, cut, b, block, span.width);
    }
    for (int64_t chunk = 0; chunk < cut->chunks; chunk++) {
        for (int64_t block = first; block < end; block++) {
            wkv_state *state = &states[block - first];
            chunk_inputs span = forward_span(cut, args, b, block, chunk);
            if (args->saved != NULL) {
                store(state, border(args->saved, cut, chunk, b, block), planes, span.width);
            }
            forward_chunk(&span, state, (stored *)args->y + step_offset(cut, b, block, chunk));
        }
    }
    for (int64_t block = first; block < end; block++) {
        const wkv_state *state = &states[block - first];
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
    wkv_state state, summary;
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

typedef struct forward_loop {
    const time_cut *cut;
    const mt_wkv_forward_args *args;
    real *borders;
    int64_t group; /* blocks that are walked together */
} forward_loop;

static void summarise_tiles(const void *loop, int64_t first, int64_t end)
{
    const forward_loop *of = loop;
    const time_cut *cut = of->cut;
    for (int64_t i = first; i < end; i++) {
        wkv_state summary;
        tile at = tile_at(cut, i);
        chunk_inputs span = forward_span(cut, of->args, at.b, at.block, at.chunk);
        set_empty(&summary);
        summarise_chunk(&span, &summary);
        store(&summary, border(of->borders, cut, at.chunk + 1, at.b, at.block), cut->B * cut->C,
              span.width);
    }
}

static void scan_blocks(const void *loop, int64_t first, int64_t end)
{
    const forward_loop *of = loop;
    for (int64_t i = first; i < end; i++) {
        scan_states(of->cut, of->args, of->borders, i / of->cut->blocks, i % of->cut->blocks);
    }
}

static void walk_tiles(const void *loop, int64_t first, int64_t end)
{
    const forward_loop *of = loop;
    const time_cut *cut = of->cut;
    for (int64_t i = first; i < end; i++) {
        wkv_state state;
        tile at = tile_at(cut, i);
        chunk_inputs span = forward_span(cut, of->args, at.b, at.block, at.chunk);
        load(&state, border(of->borders, cut, at.chunk, at.b, at.block), cut->B * cut->C,
             span.width);
        forward_chunk(&span, &state,
                      (stored *)of->args->y + step_offset(cut, at.b, at.block, at.chunk));
    }
}

static void walk_groups(const void *loop, int64_t first, int64_t end)
{
    const forward_loop *of = loop;
    int64_t groups = group_count(of->cut, of->group);
    for (int64_t i = first; i < end; i++) {
        int64_t block = i % groups * of->group;
        forward_serial(of->cut, of->args, i / groups, block, group_end(of->cut, block, of->group));
    }
}

size_t KERNEL(wkv_saved_size)(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    (void)device;
    time_cut cut = make_cut(B, T, C);
    return (size_t)((cut.chunks + 1) * 3 * B * C) * sizeof(real);
}

/* WKV takes what it needs of the device's own memory: calls on the CPU have nothing to overlap
 * with. */
size_t KERNEL(wkv_workspace_size)(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    (void)device;
    (void)B;
    (void)T;
    (void)C;
    return 0;
}

mt_status KERNEL(wkv_forward)(mt_device *device, const mt_wkv_forward_args *args)
{
    time_cut cut = make_cut(args->B, args->T, args->C);
    int64_t elements = elements_of(&cut);
    if (!cut.time_parallel) {
        forward_loop loop = {&cut, args, NULL, group_size(&cut)};
        mt_team_loop(elements, cut.B * group_count(&cut, loop.group), walk_groups, &loop);
        return MT_OK;
    }
    void *borders = args->saved;
    if (borders == NULL) {
        size_t bytes = KERNEL(wkv_saved_size)(device, cut.B, cut.T, cut.C);
        mt_status status = mt_cpu_workspace(device, bytes, &borders);
        if (status != MT_OK) {
            return status;
        }
    }
    forward_loop loop = {&cut, args, borders, 0};
    mt_team_loop(elements, tile_count(&cut), summarise_tiles, &loop);
    mt_team_loop(elements, cut.B * cut.blocks, scan_blocks, &loop);
    mt_team_loop(elements, tile_count(&cut), walk_tiles, &loop);
    return MT_OK;
}
