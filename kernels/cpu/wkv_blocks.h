/* The parts that WKV's two directions on the CPU share: how a problem is cut into blocks of
 * channels and chunks of time, the state of a block, and a step of it. Internal to wkv.c and
 * wkv_backward.c. */
#ifndef MT_KERNELS_CPU_WKV_BLOCKS_H
#define MT_KERNELS_CPU_WKV_BLOCKS_H

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/rows.h"

#include <string.h>

enum {
    CHUNK = 32,                      /* steps */
    BLOCK = 512 / (int)sizeof(real), /* channels: rows long enough to be worth the way to memory */
    GROUP = 8,                       /* blocks side by side that a thread may walk together */
    SERIAL_TASKS = 4,                /* (row, block) pairs from which on time is walked serially */
    AHEAD = 4,                       /* steps that rows are fetched into cache ahead of their use */
    LINE = 64 / (int)sizeof(real)    /* numbers of a cache line */
};

/* A state of one block: num and den stand for num e^max, den e^max. */
typedef struct wkv_state {
    _Alignas(LINE * sizeof(real)) real num[BLOCK], den[BLOCK], max[BLOCK];
} wkv_state;

/* Room for rows of a block (rows.h). */
typedef struct row_room {
    _Alignas(LINE * sizeof(real)) real numbers[BLOCK];
} row_room;

/* The inputs of one block of channels of one batch row, from the chunk's first step; rows are C
 * apart. */
typedef struct chunk_inputs {
    int64_t C;
    int width; /* channels, at most BLOCK */
    int steps; /* at most CHUNK */
    const real *w, *u;
    const stored *k, *v;
} chunk_inputs;

/* The blocks and chunks that a problem is cut into. */
typedef struct time_cut {
    int64_t B, T, C;
    int64_t chunks, blocks;
    bool time_parallel;
} time_cut;

static inline time_cut make_cut(int64_t B, int64_t T, int64_t C)
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
static inline int64_t group_size(const time_cut *cut)
{
    int64_t size = cut->B * cut->blocks / mt_cpu_threads();
    size = size < GROUP ? size : GROUP;
    size = size < cut->blocks ? size : cut->blocks;
    return size > 1 ? size : 1;
}

static inline int64_t group_count(const time_cut *cut, int64_t size)
{
    return (cut->blocks + size - 1) / size;
}

static inline int64_t group_end(const time_cut *cut, int64_t first, int64_t size)
{
    return first + size < cut->blocks ? first + size : cut->blocks;
}

static inline int64_t elements_of(const time_cut *cut)
{
    return cut->B * cut->T * cut->C;
}

/* One chunk of one block of one batch row. */
typedef struct tile {
    int64_t b, block, chunk;
} tile;

/* The tiles in order: the chunks of a block, the blocks of a row, the rows. */
static inline int64_t tile_count(const time_cut *cut)
{
    return cut->B * cut->blocks * cut->chunks;
}

static inline tile tile_at(const time_cut *cut, int64_t index)
{
    int64_t row_block = index / cut->chunks;
    return (tile){row_block / cut->blocks, row_block % cut->blocks, index % cut->chunks};
}

/* Channels of a block. */
static inline int block_width(const time_cut *cut, int64_t block)
{
    int64_t width = cut->C - block * BLOCK;
    return (int)(width < BLOCK ? width : BLOCK);
}

/* The place of block `block` of row b in an array (B, C), and that of its step `chunk * CHUNK` in
 * one of (B, T, C). */
static inline int64_t state_offset(const time_cut *cut, int64_t b, int64_t block)
{
    return b * cut->C + block * BLOCK;
}

static inline int64_t step_offset(const time_cut *cut, int64_t b, int64_t block, int64_t chunk)
{
    return (b * cut->T + chunk * CHUNK) * cut->C + block * BLOCK;
}

static inline chunk_inputs make_span(const time_cut *cut, const void *w, const void *u,
                                     const void *k, const void *v, int64_t b, int64_t block,
                                     int64_t chunk)
{
    int64_t steps = cut->T - chunk * CHUNK;
    int64_t at = step_offset(cut, b, block, chunk);
    return (chunk_inputs){.C = cut->C,
                          .width = block_width(cut, block),
                          .steps = (int)(steps < CHUNK ? steps : CHUNK),
                          .w = (const real *)w + block * BLOCK,
                          .u = (const real *)u + block * BLOCK,
                          .k = (const stored *)k + at,
                          .v = (const stored *)v + at};
}

/* Reads a block's state from an array (3, B, C); `planes` is B C. */
static inline void load(wkv_state *state, const real *array, int64_t planes, int width)
{
    size_t bytes = (size_t)width * sizeof(real);
    memcpy(state->num, array, bytes);
    memcpy(state->den, array + planes, bytes);
    memcpy(state->max, array + 2 * planes, bytes);
}

/* The factors that bring two numbers scaled by e^a and e^b to the scale e^max(a, b). */
typedef struct factors {
    real a, b;
} factors;

/* One of the two is 1, by the sign of a - b, and the other e^-|a - b|. If that is not a number,
 * both are not. */
static inline factors make_factors(real exponential, real difference)
{
    real one = real_copysign((real)1.0, difference);
    return (factors){real_max(one, exponential), real_max(-one, exponential)};
}

static inline factors find_factors(real a, real b)
{
    return make_factors(real_exp_negative(-real_abs(a - b)), a - b);
}

/* A step's output weighs the state against the key as of_state : of_first = e^max : e^(u+k). The
 * update weighs them as of_old : of_key = e^(max+w) : e^k, so of_old and e^(u+w) of_key do as well,
 * and one exponential serves both; unless u + w is so large or small that a product might leave the
 * range of real while it still counts. */
typedef struct output_weights {
    bool of_update;                                  /* made of the update's factors */
    _Alignas(LINE * sizeof(real)) real first[BLOCK]; /* what multiplies of_key then, and else 1 */
} output_weights;

/* Of |u + w|: a factor that has fallen to its lowest, e^EXP_LOWEST, does not count beside this. */
#define OF_UPDATE_RANGE ((real)(EXP_LOWEST * -0.45))

static inline void find_weights(const chunk_inputs *span, output_weights *weights)
{
    real farthest = (real)0.0;
#pragma omp simd
    for (int c = 0; c < span->width; c++) {
        weights->first[c] = real_exp(span->u[c] + span->w[c]);
    }
    for (int c = 0; c < span->width; c++) {
        farthest = real_max(farthest, real_abs(span->u[c] + span->w[c]));
    }
    weights->of_update = farthest <= OF_UPDATE_RANGE;
    for (int c = 0; c < span->width && !weights->of_update; c++) {
        weights->first[c] = (real)1.0;
    }
}

/* Asks for a row that lies `offset` numbers behind `row` to be fetched into cache. Rows of a block
 * are short and lie C apart, which no prefetcher takes for a stream. Where the row is beyond its
 * array nothing happens, and there is no pointer to it. */
static inline void fetch(const stored *row, int64_t offset, int width)
{
    enum { FETCHED = 64 / (int)sizeof(stored) };
    uintptr_t at = (uintptr_t)row + (uintptr_t)offset * sizeof(stored);
    for (int c = 0; c < width; c += FETCHED) {
        __builtin_prefetch((const void *)(at + (uintptr_t)c * sizeof(stored)));
    }
}

/* Takes channel c of the state past a step, by the factors of old state and key. */
static inline void update_state(wkv_state *restrict state, int c, factors of, real decayed, real k,
                                real v)
{
    state->num[c] = of.a * state->num[c] + of.b * v;
    state->den[c] = of.a * state->den[c] + of.b;
    state->max[c] = real_max(decayed, k);
}

#endif
