/* WKV's blocks pass states and gradients along time: what stretches of time amount to, how they
 * compose, and the chain by which every chunk learns what all before it amount to. Internal to
 * wkv.cu.
 *
 *     order       0    1    2    3      4    5    6    7      8    9
 *               +----+----+----+----+ +----+----+----+----+ +----+----+
 *     chunks    | S0 | S1 | S2 | S3 | | S4 | S5 | S6 | S7 | | S8 | S9 |   each one's summary
 *               +----+----+----+----+ +----+----+----+----+ +----+----+
 *     publish     S0   S1   S2   E0     S4   S5   S6   E1     S8   -
 *     given       -    S0   S0   S0     E0   E0   E0   E0     E1   E1
 *                           S1   S1          S4   S4   S4          S8
 *                                S2               S5   S5
 *                                                      S6
 *
 *     E0 = S0 S1 S2 S3,  E1 = E0 S4 S5 S6 S7: what the walk stands at behind a group
 *
 * Chunks are taken in the order of the walk, forwards or backwards, GROUP_CHUNKS to a group (4 in
 * the picture). Every block publishes its chunk's summary (that of the first has in it what the
 * walk begins with), and the last chunk of each group what stands behind it, so a block composes
 * the summaries of its group while it waits for one number, the E of the group before. That order
 * alone decides what is composed with what: results do not depend on who was first. Tiles are
 * handed out in that order too, by tickets to blocks that have begun, so a block only ever waits
 * for blocks that run already. (Without tickets, which wkv_tuning.cuh allows, blocks have to begin
 * by their numbers, as the scans of NVIDIA's CUB take for granted.) */
#ifndef MT_KERNELS_CUDA_WKV_CHAIN_CUH
#define MT_KERNELS_CUDA_WKV_CHAIN_CUH

#include <mixtape/kernels/wkv.h>

#include "kernels/cuda/wkv_tuning.cuh"

namespace mt_cuda
{

/* A state, where num and den stand for num e^max and den e^max. */
template <typename real> struct state_triple {
    real num, den, max;
};

/* A gradient of num and den at the max of the state that it belongs to, and what a stretch of time
 * multiplies by on its way back. */
template <typename real> struct grad_triple {
    real num, den, factor;
};

/* e^x for x <= 0, and a / b for b of ordinary size. In float32 they are the hardware's own: beside
 * numbers of size 1, to which the exponential is added here, their errors are of the size of
 * rounding, and they take fewer instructions. */
__device__ inline float exp_negative(float x)
{
    return __expf(x);
}

__device__ inline double exp_negative(double x)
{
    return exp(x);
}

__device__ inline float quotient(float a, float b)
{
    return __fdividef(a, b);
}

__device__ inline double quotient(double a, double b)
{
    return a / b;
}

/* The factors that bring two numbers scaled by e^a and e^b to the scale e^max(a, b). */
template <typename real> struct factors {
    real a, b;
};

/* One of the two is 1, and the other e^-|a - b|: told by that with the sign of a - b. */
template <typename real> __device__ inline real find_exponential(real a, real b)
{
    return copysign(exp_negative(-fabs(a - b)), a - b);
}

template <typename real> __device__ inline factors<real> factors_of(real exponential)
{
    return signbit(exponential) ? factors<real>{-exponential, real(1)}
                                : factors<real>{real(1), exponential};
}

template <typename real> __device__ inline factors<real> find_factors(real a, real b)
{
    if (!DIRECT_FACTORS) {
        return factors_of(find_exponential(a, b));
    }
    real exponential = exp_negative(-fabs(a - b));
    return a < b ? factors<real>{exponential, real(1)} : factors<real>{real(1), exponential};
}

template <typename real> __device__ inline state_triple<real> empty_state()
{
    return {real(0), real(0), static_cast<real>(MT_WKV_EMPTY_MAX)};
}

/* Takes the state past a step with key k and value v, and returns the exponential of its
 * factors. */
template <typename real>
__device__ inline real update(state_triple<real> *state, real w, real k, real v)
{
    real decayed = state->max + w;
    factors<real> of = find_factors(decayed, k);
    *state = {fma(of.a, state->num, of.b * v), fma(of.a, state->den, of.b), fmax(decayed, k)};
    return find_exponential(decayed, k);
}

/* A stretch of `steps` steps takes what it is given to its other end. Both classes compose
 * stretches that follow one another in the direction of the walk. */
template <typename real> struct state_composition {
    typedef state_triple<real> triple;
    real w;
    __device__ state_triple<real> identity() const
    {
        return empty_state<real>();
    }
    __device__ state_triple<real> operator()(const state_triple<real> &state,
                                             const state_triple<real> &stretch, int steps) const
    {
        real decayed = fma(w, static_cast<real>(steps), state.max);
        factors<real> of = find_factors(decayed, stretch.max);
        return {fma(of.a, state.num, of.b * stretch.num), fma(of.a, state.den, of.b * stretch.den),
                fmax(decayed, stretch.max)};
    }
};

template <typename real> struct grad_composition {
    typedef grad_triple<real> triple;
    __device__ grad_triple<real> identity() const
    {
        return {real(0), real(0), real(1)};
    }
    __device__ grad_triple<real> operator()(const grad_triple<real> &grad,
                                            const grad_triple<real> &stretch, int) const
    {
        return {fma(stretch.factor, grad.num, stretch.num),
                fma(stretch.factor, grad.den, stretch.den), stretch.factor * grad.factor};
    }
};

/* The problem as both directions are given it, and the memory that a launch shares between its
 * blocks. */
template <typename real> struct problem {
    int64_t T;
    int B, C, lanes;   /* lanes: B C */
    int tiles, chunks; /* of channels; of time */
    int chunk_steps;   /* of every chunk but the last */
    int share;         /* chunks of a group that each warp of a block gathers */
    division<int> by_C, by_tiles;
    const real *w, *u;
    /* Only where there is more than one chunk: */
    real *summaries;    /* (chunks, 3, lanes) */
    real *group_states; /* (groups, 3, lanes): behind the last chunk of each group */
    unsigned *tickets;  /* (1): the last that was taken, UINT_MAX before the first */
};

/* The shared memory by which a block's warps tell one another states or gradients of each lane, (3,
 * 32) of them. */
template <typename real> struct exchange {
    real warps[WARPS][3 * WARP];  /* summaries of their steps, then what lies before them */
    real shares[WARPS][3 * WARP]; /* what gather_group leaves */
    real chunk[3 * WARP];         /* what the warps amount to */
    real given[3 * WARP];         /* what the chunk is given by those before it in the walk */
    int tile;                     /* the block's, among all tiles in the order of the walk */
};

/* The place of a thread in the problem. `order` counts chunks in the direction of the walk. */
struct place {
    int order, chunk;
    int lane, b, c;
    bool inside; /* a channel of the problem */
    bool leads;  /* in the warp that does what one has to do for the whole block */
};

/* Takes the block's tile: the next that is left, or where no block waits for another that of its
 * own number. */
template <typename real>
__device__ inline void take_tile(const problem<real> &p, exchange<real> &shared)
{
    if (TICKETS && p.chunks > 1) {
        if (threadIdx.x == 0) {
            shared.tile = static_cast<int>(atomicAdd(p.tickets, 1u) + 1u);
        }
        __syncthreads();
    }
}

template <typename real>
__device__ inline place find_place(const problem<real> &p, const exchange<real> &shared,
                                   bool backward)
{
    int number = TICKETS && p.chunks > 1 ? shared.tile : static_cast<int>(blockIdx.x);
    place at;
    at.order = p.by_tiles.of(number);
    at.chunk = backward ? p.chunks - 1 - at.order : at.order;
    at.lane = (number - at.order * p.tiles) * WARP + lane_index();
    at.inside = at.lane < p.lanes;
    at.b = at.inside ? p.by_C.of(at.lane) : 0;
    at.c = at.inside ? at.lane - at.b * p.C : 0;
    /* Each of a multiprocessor's schedulers has its own warps, by their numbers in the block, so
     * another number leads from block to block: by a multiplicative hash (Knuth), as blocks that
     * share a multiprocessor are regular distances apart. Warps are a power of 2. */
    unsigned hash = blockIdx.x * 0x9E3779B1u >> 16, mask = blockDim.x / WARP - 1;
    at.leads = (hash & mask) == threadIdx.x / WARP;
    return at;
}

/* Of the first step of the place's chunk in an array (B, T, C). */
template <typename real>
__device__ inline int64_t offset_of(const problem<real> &p, const place &at)
{
    return (at.b * p.T + static_cast<int64_t>(at.chunk) * p.chunk_steps) * p.C + at.c;
}

/* A state or a gradient, one number of it every `lanes` numbers. */
template <typename triple, typename real>
__device__ inline triple load_triple(const real *array, int64_t lanes, int lane)
{
    return {array[lane], array[lanes + lane], array[2 * lanes + lane]};
}

template <typename triple, typename real>
__device__ inline void store_triple(real *array, int64_t lanes, int lane, const triple &value)
{
    const auto [num, den, third] = value;
    array[lane] = num;
    array[lanes + lane] = den;
    array[2 * lanes + lane] = third;
}

/* Numbers that blocks publish to one another are their own flags: the memory is all ones before the
 * launch, which is not a number, and each is written and read in one piece. So nothing else has to
 * become visible in any order. */
template <typename real> struct word_of;
template <> struct word_of<float> {
    typedef unsigned type;
};
template <> struct word_of<double> {
    typedef unsigned long long type;
};
constexpr int UNPUBLISHED = 0xFF; /* every byte */

template <typename real> union published_number {
    real value;
    typename word_of<real>::type word;
};

template <typename real> __device__ inline void publish(real *at, real value)
{
    typedef typename word_of<real>::type bits;
    published_number<real> number;
    number.value = value;
    /* The one number that would never arrive: another that is not a number takes its place. */
    bits word = number.word == ~bits(0) ? ~bits(0) >> 1 : number.word;
    *reinterpret_cast<volatile bits *>(at) = word;
}

template <typename triple, typename real>
__device__ inline void publish_triple(real *at, int64_t lanes, const triple &value)
{
    const auto [num, den, third] = value;
    publish(at, num);
    publish(at + lanes, den);
    publish(at + 2 * lanes, third);
}

/* Reads what lies there now, published or not. */
template <typename real> __device__ inline real peek(const real *at)
{
    published_number<real> number;
    number.word = *reinterpret_cast<const volatile typename word_of<real>::type *>(at);
    return number.value;
}

/* `seen`, which was seen at `at`, or what is there once it has been published. */
template <typename real> __device__ inline real awaited(const real *at, real seen)
{
    published_number<real> number;
    number.value = seen;
    for (unsigned polls = 0; number.word == ~typename word_of<real>::type(0); polls++) {
        if (polls == MOST_POLLS) {
            __trap();
        }
        __nanosleep(20);
        number.value = peek(at);
    }
    return number.value;
}

template <typename triple, typename real>
__device__ inline triple peek_triple(const real *at, int64_t lanes)
{
    return {peek(at), peek(at + lanes), peek(at + 2 * lanes)};
}

template <typename triple, typename real>
__device__ inline triple await_triple(const real *at, int64_t lanes, const triple &seen)
{
    const auto [num, den, third] = seen;
    return {awaited(at, num), awaited(at + lanes, den), awaited(at + 2 * lanes, third)};
}

/* Element `index` of an array of (3, lanes). */
template <typename real, typename element>
__device__ inline element *plane(element *array, const problem<real> &p, int index)
{
    return array + static_cast<int64_t>(index) * 3 * p.lanes;
}

/* Steps of the chunk, of those before `step`, that the sequence has. */
template <typename real>
__device__ inline int steps_within(const problem<real> &p, int chunk, int step)
{
    int64_t left = p.T - static_cast<int64_t>(chunk) * p.chunk_steps;
    return left < step ? static_cast<int>(left) : step;
}

/* Steps of the warp in the chunk. */
template <typename real> __device__ inline int steps_of(const problem<real> &p, int chunk, int warp)
{
    return steps_within(p, chunk, (warp + 1) * STEPS<real>) -
           steps_within(p, chunk, warp * STEPS<real>);
}

/* One warp turns the summaries of the block's warps into what lies before each of them in the
 * chunk, in the direction of the walk, and returns what they all amount to. */
template <typename real, typename composition>
__device__ inline typename composition::triple scan_warps(const problem<real> &p,
                                                          exchange<real> &shared, int chunk,
                                                          const composition &compose, bool backward)
{
    int warps = static_cast<int>(blockDim.x) / WARP;
    auto before = compose.identity();
#pragma unroll 1
    for (int i = 0; i < warps; i++) {
        int warp = backward ? warps - 1 - i : i, steps = steps_of(p, chunk, warp);
        real *of_warp = shared.warps[warp];
        auto summary = load_triple<typename composition::triple>(of_warp, WARP, lane_index());
        store_triple(of_warp, WARP, lane_index(), before);
        if (steps > 0) {
            before = compose(before, summary, steps);
        }
    }
    return before;
}

/* Every warp composes its share of the summaries that the chunks before this one in its group
 * publish. */
template <typename real, typename composition>
__device__ inline void gather_group(const problem<real> &p, const place &at,
                                    const composition &compose, exchange<real> &shared)
{
    int64_t stride = static_cast<int64_t>(3) * p.lanes;
    int warp = warp_index();
    int begin = at.order / GROUP_CHUNKS * GROUP_CHUNKS + warp * p.share;
    int end = begin + p.share < at.order ? begin + p.share : at.order;
    typename composition::triple all = compose.identity(), seen[2]; /* two on their way at once */
    if (at.inside && begin < end) {
        const real *summaries = plane(p.summaries, p, begin) + at.lane;
#pragma unroll 1
        for (int order = begin; order < end; order += 2) {
            const real *next = order + 1 < end ? summaries + stride : summaries;
            seen[0] = peek_triple<typename composition::triple>(summaries, p.lanes);
            seen[1] = peek_triple<typename composition::triple>(next, p.lanes);
            all = compose(all, await_triple(summaries, p.lanes, seen[0]), p.chunk_steps);
            if (next != summaries) {
                all = compose(all, await_triple(next, p.lanes, seen[1]), p.chunk_steps);
            }
            summaries += 2 * stride;
        }
    }
    store_triple(shared.shares[warp], WARP, lane_index(), all);
}

/* One warp, before gather_group, lets the later chunks of the group have what its block's warps
 * amount to. The triple that the walk begins with, `first`, goes into the summary of its first
 * chunk, and is read by that alone: whoever depends on it comes after. */
template <typename real, typename composition>
__device__ inline void
begin_chain(const problem<real> &p, const place &at, const composition &compose,
            const typename composition::triple &first, const typename composition::triple &chunk,
            exchange<real> &shared)
{
    store_triple(shared.chunk, WARP, lane_index(), chunk);
    store_triple(shared.given, WARP, lane_index(), first);
    if (at.inside && at.order % GROUP_CHUNKS != GROUP_CHUNKS - 1 && at.order + 1 < p.chunks) {
        publish_triple(plane(p.summaries, p, at.order) + at.lane, p.lanes,
                       at.order == 0 ? compose(first, chunk, p.chunk_steps) : chunk);
    }
}

/* The same warp, after gather_group, finds what the chunk is given by all before it, and where it
 * ends a group, publishes what stands behind it as soon as that can be known. */
template <typename real, typename composition>
__device__ inline void end_chain(const problem<real> &p, const place &at,
                                 const composition &compose, exchange<real> &shared)
{
    if (!at.inside || at.order == 0) {
        return;
    }
    int group = at.order / GROUP_CHUNKS, chunks = at.order % GROUP_CHUNKS;
    const real *former = group > 0 ? plane(p.group_states, p, group - 1) + at.lane : nullptr;
    auto given = compose.identity(), before = compose.identity();
    if (group > 0) { /* mostly there already */
        given = peek_triple<typename composition::triple>(former, p.lanes);
    }
#pragma unroll 1
    for (int warp = 0; warp * p.share < chunks; warp++) {
        int left = chunks - warp * p.share;
        before = compose(
            before,
            load_triple<typename composition::triple>(shared.shares[warp], WARP, lane_index()),
            (left < p.share ? left : p.share) * p.chunk_steps);
    }
    bool publishes = chunks == GROUP_CHUNKS - 1 && at.order + 1 < p.chunks;
    auto all = before;
    if (publishes) {
        all = compose(before,
                      load_triple<typename composition::triple>(shared.chunk, WARP, lane_index()),
                      p.chunk_steps);
    }
    if (group > 0) {
        given = await_triple(former, p.lanes, given);
    }
    if (publishes) {
        publish_triple(plane(p.group_states, p, group) + at.lane, p.lanes,
                       compose(given, all, GROUP_CHUNKS * p.chunk_steps));
    }
    store_triple(shared.given, WARP, lane_index(),
                 chunks > 0 ? compose(given, before, chunks * p.chunk_steps) : given);
}

} // namespace mt_cuda

#endif
