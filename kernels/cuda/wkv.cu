/* WKV on CUDA, parallel in batch, channels and time.
 *
 * A tile is 32 neighbouring channels (of the B C in all) by one chunk of time; a block works on a
 * tile, a lane on a channel, and a warp on STEPS consecutive steps, whose inputs it loads into
 * registers all at once: 32 numbers of a row are one coalesced access, and every load of a thread
 * is in flight together. Each input is read once, each output written once. Chunks are as long as a
 * block can walk, and shorter where that leaves multiprocessors without a block.
 *
 * Forward: each warp summarises its steps from an empty state; summaries compose (a stretch of L
 * steps maps a state by num -> e^(L w) num + num_stretch), so each warp has what its predecessors
 * in the block amount to. The state before the chunk comes from the chunks before it: every block
 * publishes its chunk's summary, and the last chunk of each GROUP_CHUNKS the true state behind it,
 * so a block composes at most GROUP_CHUNKS - 1 summaries onto one state, always in the order of
 * time: results do not depend on who was first. Blocks take their tiles from a counter, in the
 * order of time, so a block only ever waits for blocks that run already.
 *
 * Backward is the same in reverse. Forward left the states before each chunk; a warp's own start
 * comes from summaries within the block. The gradients (G, H, exponent) of num and den travel
 * backwards as a triple of the same form as a state. The gradients of w and u are summed by steps,
 * warps, and then chunks and batch rows, in that order. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/kernels.cuh"

#include <limits.h>

namespace mt_cuda
{

namespace
{

/* Steps of one warp, whose inputs must fit into registers, and of a chunk: at most what a block of
 * FORWARD_WARPS or BACKWARD_WARPS walks. */
template <typename real> constexpr int FORWARD_STEPS = 64 / static_cast<int>(sizeof(real));
template <typename real> constexpr int BACKWARD_STEPS = 32 / static_cast<int>(sizeof(real));
constexpr int FORWARD_WARPS = 8, BACKWARD_WARPS = 16, GROUP_CHUNKS = 8;
template <typename real> constexpr int LONGEST_CHUNK = FORWARD_STEPS<real> *FORWARD_WARPS;
template <typename real> constexpr int SHORTEST_CHUNK = LONGEST_CHUNK<real> / 4;

/* A state (num, den, max), or a gradient (G, H, exponent): num and den stand for num e^max and
 * den e^max. */
template <typename real> struct triple {
    real num, den, max;
};

template <typename real> __device__ inline triple<real> empty_triple()
{
    return {real(0), real(0), static_cast<real>(MT_WKV_EMPTY_MAX)};
}

/* The two factors e^(a - max(a, b)) and e^(b - max(a, b)), of which one is 1. */
template <typename real>
__device__ inline void relative_exps(real a, real b, real *of_a, real *of_b)
{
    real difference = a - b;
    real e = exp(-fabs(difference));
    *of_a = difference >= real(0) ? real(1) : e;
    *of_b = difference >= real(0) ? e : real(1);
}

/* `state` decayed by `decay`, plus what `summary` adds. */
template <typename real>
__device__ inline triple<real> composed(const triple<real> &state, real decay,
                                        const triple<real> &summary)
{
    real of_state, of_summary, decayed = state.max + decay;
    relative_exps(decayed, summary.max, &of_state, &of_summary);
    return {of_state * state.num + of_summary * summary.num,
            of_state * state.den + of_summary * summary.den, fmax(decayed, summary.max)};
}

/* The state after a step with key k and value v. */
template <typename real>
__device__ inline triple<real> stepped(const triple<real> &state, real w, real k, real v)
{
    real of_state, of_key, decayed = state.max + w;
    relative_exps(decayed, k, &of_state, &of_key);
    return {of_state * state.num + of_key * v, of_state * state.den + of_key, fmax(decayed, k)};
}

/* What both directions are given, and what a launch shares between its blocks. */
template <typename real> struct problem {
    int64_t B, T, C, lanes; /* lanes: B C */
    int tiles, chunks;      /* of channels; of time */
    int chunk_steps;        /* of every chunk but the last */
    const real *w, *u, *k, *v;
    unsigned *next;      /* (1): tickets given out */
    unsigned *published; /* (chunks, tiles): 1 once a chunk's summary and group state are there */
    real *summaries;     /* (chunks, 3, lanes) */
    real *group_states;  /* (groups, 3, lanes): behind the last chunk of each group */
};

/* Where a thread is. `order` counts chunks in the direction of the walk. */
struct place {
    int64_t lane;
    int tile, order, chunk;
    int b, c;
    bool inside; /* a channel of the problem */
};

/* Takes the block's next ticket. */
template <typename real> __device__ inline place take_place(const problem<real> &p, bool backward)
{
    unsigned *ticket = reinterpret_cast<unsigned *>(mt_shared);
    if (threadIdx.x == 0) {
        *ticket = atomicAdd(p.next, 1u);
    }
    __syncthreads();
    unsigned mine = *ticket;
    __syncthreads();
    place at;
    at.order = static_cast<int>(mine / static_cast<unsigned>(p.tiles));
    at.tile = static_cast<int>(mine % static_cast<unsigned>(p.tiles));
    at.chunk = backward ? p.chunks - 1 - at.order : at.order;
    at.lane = static_cast<int64_t>(at.tile) * WARP + lane_index();
    at.inside = at.lane < p.lanes;
    at.b = at.inside ? static_cast<int>(at.lane / p.C) : 0;
    at.c = at.inside ? static_cast<int>(at.lane % p.C) : 0;
    return at;
}

template <typename real>
__device__ inline triple<real> load_triple(const real *array, int64_t lanes, int64_t lane)
{
    return {array[lane], array[lanes + lane], array[2 * lanes + lane]};
}

/* The same, of what other blocks have just written: past this multiprocessor's own cache. */
template <typename real>
__device__ inline triple<real> load_published(const real *array, int64_t lanes, int64_t lane)
{
    return {__ldcg(array + lane), __ldcg(array + lanes + lane), __ldcg(array + 2 * lanes + lane)};
}

template <typename real>
__device__ inline void store_triple(real *array, int64_t lanes, int64_t lane,
                                    const triple<real> &value)
{
    array[lane] = value.num;
    array[lanes + lane] = value.den;
    array[2 * lanes + lane] = value.max;
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

__device__ inline void wait_for(unsigned *flag)
{
    while (*static_cast<volatile unsigned *>(flag) == 0u) {
    }
}

/* By one warp, for its lanes: publishes the chunk's summary, finds the triple that the chunk starts
 * from, publishes the one behind it where that ends a group, and returns the former. `first` is
 * what the first chunk of all starts from. */
template <typename real>
__device__ inline triple<real> chain(const problem<real> &p, const place &at, real w, bool backward,
                                     const triple<real> &first, const triple<real> &summary)
{
    int group = at.order / GROUP_CHUNKS, begin = group * GROUP_CHUNKS;
    bool ends_group = at.order % GROUP_CHUNKS == GROUP_CHUNKS - 1;
    unsigned *flags = p.published + at.tile;
    if (!ends_group && at.order + 1 < p.chunks) {
        if (at.inside) {
            store_triple(plane(p.summaries, p, at.order), p.lanes, at.lane, summary);
        }
        __threadfence();
        __syncwarp();
        if (lane_index() == 0) {
            *static_cast<volatile unsigned *>(flags + static_cast<int64_t>(at.order) * p.tiles) =
                1u;
        }
    }
    for (int order = begin > 0 ? begin - 1 : 0; order < at.order; order++) {
        wait_for(flags + static_cast<int64_t>(order) * p.tiles);
    }
    __threadfence();
    triple<real> start = first;
    if (at.inside && group > 0) {
        start = load_published(plane(p.group_states, p, group - 1), p.lanes, at.lane);
    }
#pragma unroll 1
    for (int order = begin; order < at.order && at.inside; order++) {
        int chunk = backward ? p.chunks - 1 - order : order;
        start = composed(start, w * static_cast<real>(steps_within(p, chunk, p.chunk_steps)),
                         load_published(plane(p.summaries, p, order), p.lanes, at.lane));
    }
    if (ends_group) {
        if (at.inside) {
            real decay = w * static_cast<real>(steps_within(p, at.chunk, p.chunk_steps));
            store_triple(plane(p.group_states, p, group), p.lanes, at.lane,
                         composed(start, decay, summary));
        }
        __threadfence();
        __syncwarp();
        if (lane_index() == 0) {
            *static_cast<volatile unsigned *>(flags + static_cast<int64_t>(at.order) * p.tiles) =
                1u;
        }
    }
    return start;
}

/* What the warps [first, end) of the block amount to, in that order or, backward, from the last to
 * the first: the composition of their summaries, (warps, 3, 32) in shared memory. */
template <int STEPS, typename real>
__device__ inline triple<real> composed_warps(const problem<real> &p, const real *summaries,
                                              int chunk, real w, int first, int end, bool backward)
{
    triple<real> all = empty_triple<real>();
#pragma unroll 1
    for (int i = first; i < end; i++) {
        int warp = backward ? end - 1 - (i - first) : i;
        const real *of_warp = summaries + warp * 3 * WARP;
        int steps =
            steps_within(p, chunk, (warp + 1) * STEPS) - steps_within(p, chunk, warp * STEPS);
        if (steps > 0) {
            all = composed(all, w * static_cast<real>(steps),
                           load_triple(of_warp, WARP, lane_index()));
        }
    }
    return all;
}

/* A thread's inputs: its channel's STEPS steps, of which the first `count` exist. */
template <int STEPS, typename real>
__device__ inline void load_steps(const real *from, int64_t stride, int count, real *values)
{
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        values[s] = s < count ? from[s * stride] : real(0);
    }
}

template <int STEPS, typename real>
__device__ inline triple<real> summary_of(const real *k, const real *v, int count, real w)
{
    triple<real> state = empty_triple<real>();
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        if (s < count) {
            state = stepped(state, w, k[s], v[s]);
        }
    }
    return state;
}

/* ---- forward ---- */

template <typename real> struct forward_arrays {
    const real *state_in;
    real *y, *state_out, *saved;
};

template <typename real>
__global__ void __launch_bounds__(FORWARD_WARPS *WARP)
    forward_kernel(problem<real> p, forward_arrays<real> io)
{
    constexpr int STEPS = FORWARD_STEPS<real>;
    place at = take_place(p, false);
    real *summaries = reinterpret_cast<real *>(mt_shared); /* (warps, 3, 32), and the start */
    int warps = static_cast<int>(blockDim.x) / WARP, warp = warp_index();
    real *chunk_start = summaries + warps * 3 * WARP;
    int before = steps_within(p, at.chunk, warp * STEPS);
    int count = at.inside ? steps_within(p, at.chunk, (warp + 1) * STEPS) - before : 0;
    int64_t offset =
        (at.b * p.T + static_cast<int64_t>(at.chunk) * p.chunk_steps + before) * p.C + at.c;
    real k[STEPS], v[STEPS], w = p.w[at.c], u = p.u[at.c];
    load_steps<STEPS>(p.k + offset, p.C, count, k);
    load_steps<STEPS>(p.v + offset, p.C, count, v);
    store_triple(summaries + warp * 3 * WARP, WARP, lane_index(),
                 summary_of<STEPS>(k, v, count, w));
    __syncthreads();

    triple<real> earlier = composed_warps<STEPS>(p, summaries, at.chunk, w, 0, warp, false);
    if (warp == warps - 1) {
        triple<real> first = empty_triple<real>();
        if (at.inside && io.state_in != nullptr) {
            first = load_triple(io.state_in, p.lanes, at.lane);
        }
        triple<real> chunk = composed_warps<STEPS>(p, summaries, at.chunk, w, 0, warps, false);
        triple<real> start = chain(p, at, w, false, first, chunk);
        store_triple(chunk_start, WARP, lane_index(), start);
        real decay = w * static_cast<real>(steps_within(p, at.chunk, p.chunk_steps));
        triple<real> last = composed(start, decay, chunk);
        bool ends = at.inside && at.chunk == p.chunks - 1;
        if (at.inside && io.saved != nullptr) {
            store_triple(plane(io.saved, p, at.chunk), p.lanes, at.lane, start);
        }
        if (ends && io.saved != nullptr) {
            store_triple(plane(io.saved, p, p.chunks), p.lanes, at.lane, last);
        }
        if (ends && io.state_out != nullptr) {
            store_triple(io.state_out, p.lanes, at.lane, last);
        }
    }
    __syncthreads();

    triple<real> state = load_triple(chunk_start, WARP, lane_index());
    if (before > 0) {
        state = composed(state, w * static_cast<real>(before), earlier);
    }
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        if (s < count) {
            real of_state, of_first;
            relative_exps(state.max, u + k[s], &of_state, &of_first);
            io.y[offset + s * p.C] =
                (of_state * state.num + of_first * v[s]) / (of_state * state.den + of_first);
            state = stepped(state, w, k[s], v[s]);
        }
    }
}

/* ---- backward ---- */

template <typename real> struct backward_arrays {
    const real *saved, *dy, *dstate_out;
    real *dk, *dv, *dstate_in;
    real *sums; /* (chunks, B, 2, C): dw and du of each chunk */
};

/* What a step's own output sends back: q = dy / D, in multiples of e^-lead, and q y. */
template <typename real> struct step_grad {
    real q, y;
};

/* The gradient (G, H, exponent) before a step from the one behind it. */
template <typename real>
__device__ inline triple<real> stepped_back(const triple<real> &grad, real w,
                                            const step_grad<real> &own, real lead)
{
    real of_q, of_grad, decayed = grad.max + w;
    relative_exps(-lead, decayed, &of_q, &of_grad);
    return {of_q * own.q + of_grad * grad.num, of_grad * grad.den - of_q * own.q * own.y,
            fmax(-lead, decayed)};
}

template <typename real>
__device__ inline triple<real> final_grad(const problem<real> &p, const backward_arrays<real> &io,
                                          int64_t lane)
{
    if (io.dstate_out == nullptr) {
        return empty_triple<real>();
    }
    triple<real> grad = load_triple(io.dstate_out, p.lanes, lane);
    grad.max = -load_triple(plane(io.saved, p, p.chunks), p.lanes, lane).max;
    return grad;
}

/* d num = e^max dN, where max is the carried-in state's. */
template <typename real>
__device__ inline void store_initial_grad(const problem<real> &p, const backward_arrays<real> &io,
                                          int64_t lane, const triple<real> &grad)
{
    real scale = exp(io.saved[2 * p.lanes + lane] + grad.max);
    store_triple(io.dstate_in, p.lanes, lane, {scale * grad.num, scale * grad.den, real(0)});
}

template <typename real>
__global__ void __launch_bounds__(BACKWARD_WARPS *WARP)
    backward_kernel(problem<real> p, backward_arrays<real> io)
{
    constexpr int STEPS = BACKWARD_STEPS<real>;
    place at = take_place(p, true);
    real *summaries = reinterpret_cast<real *>(mt_shared); /* (warps, 3, 32), and the start */
    int warps = static_cast<int>(blockDim.x) / WARP, warp = warp_index();
    real *chunk_start = summaries + warps * 3 * WARP;
    int before = steps_within(p, at.chunk, warp * STEPS);
    int until = steps_within(p, at.chunk, (warp + 1) * STEPS);
    int count = at.inside ? until - before : 0;
    int64_t offset =
        (at.b * p.T + static_cast<int64_t>(at.chunk) * p.chunk_steps + before) * p.C + at.c;
    real k[STEPS], v[STEPS], dy[STEPS], w = p.w[at.c], u = p.u[at.c];
    load_steps<STEPS>(p.k + offset, p.C, count, k);
    load_steps<STEPS>(p.v + offset, p.C, count, v);
    load_steps<STEPS>(io.dy != nullptr ? io.dy + offset : p.k, p.C, io.dy != nullptr ? count : 0,
                      dy);

    /* The state before each of the thread's steps, and what the steps' outputs send back. */
    store_triple(summaries + warp * 3 * WARP, WARP, lane_index(),
                 summary_of<STEPS>(k, v, count, w));
    __syncthreads();
    triple<real> state = empty_triple<real>(), states[STEPS];
    if (at.inside) {
        state = load_triple(plane(io.saved, p, at.chunk), p.lanes, at.lane);
    }
    if (before > 0) {
        state = composed(state, w * static_cast<real>(before),
                         composed_warps<STEPS>(p, summaries, at.chunk, w, 0, warp, false));
    }
    step_grad<real> own[STEPS];
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        if (s < count) {
            real of_state, of_first, first = u + k[s];
            relative_exps(state.max, first, &of_state, &of_first);
            real inverse = real(1) / (of_state * state.den + of_first);
            own[s] = {dy[s] * inverse, (of_state * state.num + of_first * v[s]) * inverse};
            states[s] = state;
            state = stepped(state, w, k[s], v[s]);
        }
    }

    /* The gradient behind the warp's last step. */
    triple<real> summary = empty_triple<real>();
#pragma unroll
    for (int s = STEPS - 1; s >= 0; s--) {
        if (s < count) {
            summary = stepped_back(summary, w, own[s], fmax(states[s].max, u + k[s]));
        }
    }
    __syncthreads();
    store_triple(summaries + warp * 3 * WARP, WARP, lane_index(), summary);
    __syncthreads();
    triple<real> later = composed_warps<STEPS>(p, summaries, at.chunk, w, warp + 1, warps, true);
    if (warp == 0) {
        triple<real> first = at.inside ? final_grad(p, io, at.lane) : empty_triple<real>();
        triple<real> chunk = composed_warps<STEPS>(p, summaries, at.chunk, w, 0, warps, true);
        store_triple(chunk_start, WARP, lane_index(), chain(p, at, w, true, first, chunk));
    }
    __syncthreads();
    triple<real> grad = load_triple(chunk_start, WARP, lane_index());
    int behind = steps_within(p, at.chunk, p.chunk_steps) - until;
    if (behind > 0) {
        grad = composed(grad, w * static_cast<real>(behind), later);
    }

    real dw = real(0), du = real(0);
#pragma unroll
    for (int s = STEPS - 1; s >= 0; s--) {
        if (s < count) {
            real lead = fmax(states[s].max, u + k[s]);
            real of_first = exp(u + k[s] - lead), decayed = states[s].max + w;
            real of_old, of_key, carried = exp(fmax(decayed, k[s]) + grad.max);
            relative_exps(decayed, k[s], &of_old, &of_key);
            of_old *= carried;
            of_key *= carried;
            real direct = own[s].q * of_first * (v[s] - own[s].y);
            if (io.dv != nullptr) {
                io.dv[offset + s * p.C] = own[s].q * of_first + of_key * grad.num;
            }
            if (io.dk != nullptr) {
                io.dk[offset + s * p.C] = direct + of_key * (grad.num * v[s] + grad.den);
            }
            du += direct;
            dw += of_old * (grad.num * states[s].num + grad.den * states[s].den);
            grad = stepped_back(grad, w, own[s], lead);
        }
    }
    if (warp == 0 && at.inside && at.chunk == 0 && io.dstate_in != nullptr) {
        store_initial_grad(p, io, at.lane, grad);
    }

    /* dw and du over the warps, in order: (2, warps, 32) in shared memory. */
    __syncthreads();
    summaries[warp * WARP + lane_index()] = dw;
    summaries[(warps + warp) * WARP + lane_index()] = du;
    __syncthreads();
    if (warp < 2 && at.inside) {
        real total = real(0);
        for (int i = 0; i < warps; i++) {
            total += summaries[(warp * warps + i) * WARP + lane_index()];
        }
        io.sums[((static_cast<int64_t>(at.chunk) * p.B + at.b) * 2 + warp) * p.C + at.c] = total;
    }
}

/* ---- host ---- */

/* Steps of a chunk: as many as a block can walk, and fewer where so few blocks would leave
 * multiprocessors without one. */
template <typename real> int chunk_steps_for(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    int steps = LONGEST_CHUNK<real>;
    while (steps > SHORTEST_CHUNK<real> &&
           parts_of(B * C, WARP) * parts_of(T, steps) < of(device)->multiprocessors) {
        steps /= 2;
    }
    return steps;
}

/* Warps of a block, a power of 2: no more than a chunk, or the sequence, has steps for; backward
 * needs two, for its two sums. */
template <typename real> int warps_for(const problem<real> &p, int steps, int least)
{
    int warps = p.chunk_steps / steps;
    while (warps / 2 >= least && (warps / 2) * steps >= p.T) {
        warps /= 2;
    }
    return warps;
}

size_t rounded(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* Lays out what the blocks share in the workspace, with `extra` bytes more for the caller, and
 * clears the flags. */
template <typename real>
mt_status share(mt_device *device, problem<real> *p, size_t extra, void **more)
{
    p->lanes = p->B * p->C;
    p->chunk_steps = chunk_steps_for<real>(device, p->B, p->T, p->C);
    int64_t tiles = parts_of(p->lanes, WARP), chunks = parts_of(p->T, p->chunk_steps);
    if (tiles > INT_MAX / chunks) {
        return mt_fail(MT_ERROR_INVALID, "wkv: (%lld, %lld, %lld) is too large for one launch",
                       static_cast<long long>(p->B), static_cast<long long>(p->T),
                       static_cast<long long>(p->C));
    }
    p->tiles = static_cast<int>(tiles);
    p->chunks = static_cast<int>(chunks);
    size_t triples = static_cast<size_t>(3 * p->lanes) * sizeof(real);
    size_t flags = rounded(static_cast<size_t>(1 + chunks * tiles) * sizeof(unsigned));
    size_t summaries = rounded(static_cast<size_t>(p->chunks) * triples);
    size_t groups = rounded(static_cast<size_t>(p->chunks / GROUP_CHUNKS) * triples);
    void *memory;
    mt_status status = workspace(device, flags + summaries + groups + extra, &memory);
    if (status != MT_OK) {
        return status;
    }
    unsigned char *bytes = static_cast<unsigned char *>(memory);
    p->next = reinterpret_cast<unsigned *>(bytes);
    p->published = p->next + 1;
    p->summaries = reinterpret_cast<real *>(bytes + flags);
    p->group_states = reinterpret_cast<real *>(bytes + flags + summaries);
    *more = bytes + flags + summaries + groups;
    return check(cudaMemsetAsync(memory, 0, flags, of(device)->stream), "wkv");
}

template <typename real, typename given> problem<real> problem_of(const given *args)
{
    problem<real> p = {};
    p.B = args->B;
    p.T = args->T;
    p.C = args->C;
    p.w = static_cast<const real *>(args->w);
    p.u = static_cast<const real *>(args->u);
    p.k = static_cast<const real *>(args->k);
    p.v = static_cast<const real *>(args->v);
    return p;
}

} // namespace

template <typename real> size_t wkv_saved_size(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    int64_t chunks = parts_of(T, chunk_steps_for<real>(device, B, T, C));
    return static_cast<size_t>((chunks + 1) * 3 * B * C) * sizeof(real);
}

template <typename real> mt_status wkv_forward(mt_device *device, const mt_wkv_forward_args *args)
{
    void *unused = nullptr;
    problem<real> p = problem_of<real>(args);
    mt_status status = share(device, &p, 0, &unused);
    if (status != MT_OK) {
        return status;
    }
    forward_arrays<real> io = {static_cast<const real *>(args->state_in),
                               static_cast<real *>(args->y), static_cast<real *>(args->state_out),
                               static_cast<real *>(args->saved)};
    int warps = warps_for(p, FORWARD_STEPS<real>, 1);
    size_t shared = static_cast<size_t>((warps + 1) * 3 * WARP) * sizeof(real);
    return launch(device, "wkv", forward_kernel<real>, static_cast<int64_t>(p.chunks) * p.tiles,
                  warps * WARP, shared, p, io);
}

template <typename real> mt_status wkv_backward(mt_device *device, const mt_wkv_backward_args *args)
{
    void *sums = nullptr;
    problem<real> p = problem_of<real>(args);
    int64_t parts = parts_of(p.T, chunk_steps_for<real>(device, p.B, p.T, p.C)) * p.B;
    mt_status status =
        share(device, &p, static_cast<size_t>(parts * 2 * p.C) * sizeof(real), &sums);
    if (status != MT_OK) {
        return status;
    }
    backward_arrays<real> io = {static_cast<const real *>(args->saved),
                                static_cast<const real *>(args->dy),
                                static_cast<const real *>(args->dstate_out),
                                static_cast<real *>(args->dk),
                                static_cast<real *>(args->dv),
                                static_cast<real *>(args->dstate_in),
                                static_cast<real *>(sums)};
    int warps = warps_for(p, BACKWARD_STEPS<real>, 2);
    size_t shared = static_cast<size_t>((warps + 1) * 3 * WARP) * sizeof(real);
    status = launch(device, "wkv backward", backward_kernel<real>, p.chunks * p.tiles, warps * WARP,
                    shared, p, io);
    if (status == MT_OK) {
        status = add_columns(device, "wkv backward", parts, 2 * p.C, p.C, io.sums, args->dw);
    }
    return status != MT_OK ? status
                           : add_columns(device, "wkv backward", parts, 2 * p.C, p.C,
                                         static_cast<const real *>(io.sums + p.C), args->du);
}

template size_t wkv_saved_size<float>(mt_device *, int64_t, int64_t, int64_t);
template size_t wkv_saved_size<double>(mt_device *, int64_t, int64_t, int64_t);
template mt_status wkv_forward<float>(mt_device *, const mt_wkv_forward_args *);
template mt_status wkv_forward<double>(mt_device *, const mt_wkv_forward_args *);
template mt_status wkv_backward<float>(mt_device *, const mt_wkv_backward_args *);
template mt_status wkv_backward<double>(mt_device *, const mt_wkv_backward_args *);

} // namespace mt_cuda
