/* WKV on CUDA, parallel in batch, channels and time.
 *
 * A tile is 32 neighbouring channels (of the B C in all) by one chunk of time; a block works on a
 * tile, a lane on a channel, and a warp on STEPS consecutive steps, whose inputs it loads into
 * registers all at once: 32 numbers of a row are one coalesced access, and every load of a thread
 * is in flight together. Each input is read once, each output written once. Chunks are as long as a
 * block can walk, and shorter where that leaves multiprocessors without a block.
 *
 * Forward: each warp summarises its steps from an empty state. Summaries compose (a stretch of L
 * steps maps a state by num -> e^(L w) num + num_stretch), within a block from warp to warp, and
 * between blocks by the chain of wkv_chain.cuh.
 *
 * Backward is the same in reverse. Forward left the states before each chunk; a warp's own start
 * comes from summaries within the block. The gradients of num and den travel backwards at the
 * state's own max, so the way back takes the factors of the way there (docs/mathematics.md): a
 * stretch maps them by G -> through G + G_stretch, where through is the product of its updates'
 * factors, and nothing of it needs an exponential. The gradients of w and u are summed by steps,
 * warps, and then chunks and batch rows, in that order. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/kernels.cuh"
#include "kernels/cuda/wkv_chain.cuh"

#include <limits.h>

namespace mt_cuda
{

namespace
{

/* Blocks that a multiprocessor shall hold at once, by their registers and shared memory: while some
 * wait for memory, others compute. */
template <typename real> constexpr int FORWARD_BLOCKS = 4;
template <typename real> constexpr int BACKWARD_BLOCKS = sizeof(real) == 4 ? 3 : 5;

enum direction { FORWARDS, BACKWARDS };

/* f(0) .. f(count - 1), or from the last to the first. There are mostly STEPS of them: then none has
 * to be asked for. */
template <typename real, direction WALK = FORWARDS, typename function>
__device__ inline void for_steps(int count, function f)
{
    if (count == STEPS<real>) {
#pragma unroll
        for (int i = 0; i < STEPS<real>; i++) {
            f(WALK == FORWARDS ? i : STEPS<real> - 1 - i);
        }
    } else {
#pragma unroll
        for (int i = 0; i < STEPS<real>; i++) {
            int s = WALK == FORWARDS ? i : STEPS<real> - 1 - i;
            if (s < count) {
                f(s);
            }
        }
    }
}

/* A thread's inputs: its channel's steps, `stride` apart. */
template <typename real>
__device__ inline void load_steps(const real *from, int64_t stride, int count, real *values)
{
    for_steps<real>(count, [&](int s) {
        values[s] = *from;
        from += stride;
    });
}

template <typename real>
__device__ inline triple<real> summary_of(const real *k, const real *v, int count, real w)
{
    triple<real> state = empty_state<real>();
    for_steps<real>(count, [&](int s) { update(&state, w, k[s], v[s]); });
    return state;
}

/* ---- forward ---- */

template <typename real> struct forward_arrays {
    const real *state_in;
    real *y, *state_out, *saved;
};

/* The states that the caller gets: before the chunk, and behind the last. */
template <typename real>
__device__ inline void store_states(const problem<real> &p, const forward_arrays<real> &io,
                                    const place &at, const state_composition<real> &compose,
                                    const exchange<real> &shared)
{
    triple<real> start = load_triple(shared.given, WARP, lane_index());
    if (io.saved != nullptr) {
        store_triple(plane(io.saved, p, at.chunk), p.lanes, at.lane, start);
    }
    if (at.chunk == p.chunks - 1) {
        triple<real> last = compose(start, load_triple(shared.chunk, WARP, lane_index()),
                                    steps_within(p, at.chunk, p.chunk_steps));
        if (io.saved != nullptr) {
            store_triple(plane(io.saved, p, p.chunks), p.lanes, at.lane, last);
        }
        if (io.state_out != nullptr) {
            store_triple(io.state_out, p.lanes, at.lane, last);
        }
    }
}

template <typename real>
__global__ void __launch_bounds__(THREADS<real>, FORWARD_BLOCKS<real>)
    forward_kernel(problem<real> p, forward_arrays<real> io)
{
    place at = take_place(p, false);
    exchange<real> shared;
    int warp = warp_index();
    int before = steps_within(p, at.chunk, warp * STEPS<real>);
    int count = at.inside ? steps_of(p, at.chunk, warp) : 0;
    int64_t offset =
        (at.b * p.T + static_cast<int64_t>(at.chunk) * p.chunk_steps + before) * p.C + at.c;
    real k[STEPS<real>], v[STEPS<real>], w = p.w[at.c], u = p.u[at.c];
    load_steps(p.k + offset, p.C, count, k);
    load_steps(p.v + offset, p.C, count, v);
    store_triple(shared.of_warp(), WARP, lane_index(), summary_of(k, v, count, w));
    __syncthreads();

    state_composition<real> compose = {w};
    if (warp == 0) {
        triple<real> first = empty_state<real>();
        if (at.order == 0 && at.inside && io.state_in != nullptr) {
            first = load_triple(io.state_in, p.lanes, at.lane);
        }
        begin_chain(p, at, compose, first, scan_warps(p, shared.warps, at.chunk, compose, false),
                    shared);
    }
    gather_group(p, at, compose, shared.shares);
    __syncthreads();
    if (warp == 0) {
        end_chain(p, at, compose, shared);
        if (at.inside) {
            store_states(p, io, at, compose, shared);
        }
    }
    __syncthreads();

    if (count > 0) {
        triple<real> state = load_triple(shared.given, WARP, lane_index());
        if (before > 0) {
            state = compose(state, load_triple(shared.of_warp(), WARP, lane_index()), before);
        }
        real *y = io.y + offset;
        for_steps<real>(count, [&](int s) {
            real relative = relative_exp(state.third, u + k[s]);
            real of_state = factor_of_a(relative), of_first = factor_of_b(relative);
            *y = quotient(of_state * state.num + of_first * v[s], of_state * state.den + of_first);
            y += p.C;
            update(&state, w, k[s], v[s]);
        });
    }
}

/* ---- backward ---- */

template <typename real> struct backward_arrays {
    const real *saved, *dy, *dstate_out;
    real *dk, *dv, *dstate_in;
    real *sums; /* (chunks, B, 2, C): dw and du of each chunk */
};

/* What a thread remembers of its steps on the way back: the state (num, den) before the step, v, the
 * relative exponential of the update, and the output y. It lies in shared memory, (FIELDS, STEPS,
 * threads), which leaves registers for blocks that work while others wait. */
enum field { NUM, DEN, VALUE, UPDATE, OUTPUT, FIELDS };

template <typename real> struct step_memory {
    real *base;
    int threads;
    __device__ real &operator()(field which, int step) const
    {
        return base[(which * STEPS<real> + step) * threads + static_cast<int>(threadIdx.x)];
    }
};

/* Takes the gradient (G, H) from behind a step to before it: of_old is the update's factor of the
 * old state, q_state is q = dy / D times the output's factor of it, y the output. */
template <typename real>
__device__ inline void step_back(triple<real> *grad, real of_old, real q_state, real y)
{
    grad->num = of_old * grad->num + q_state;
    grad->den = of_old * grad->den - q_state * y;
}

template <typename real>
__global__ void __launch_bounds__(THREADS<real>, BACKWARD_BLOCKS<real>)
    backward_kernel(problem<real> p, backward_arrays<real> io)
{
    place at = take_place(p, true);
    exchange<real> shared;
    int warps = static_cast<int>(blockDim.x) / WARP, warp = warp_index();
    int before = steps_within(p, at.chunk, warp * STEPS<real>);
    int count = at.inside ? steps_of(p, at.chunk, warp) : 0;
    int64_t offset =
        (at.b * p.T + static_cast<int64_t>(at.chunk) * p.chunk_steps + before) * p.C + at.c;
    real k[STEPS<real>], v[STEPS<real>], dy[STEPS<real>] = {}, w = p.w[at.c], u = p.u[at.c];
    load_steps(p.k + offset, p.C, count, k);
    load_steps(p.v + offset, p.C, count, v);
    if (io.dy != nullptr) {
        load_steps(io.dy + offset, p.C, count, dy);
    }

    triple<real> state = empty_state<real>();
    if (at.inside) {
        state = load_triple(plane(io.saved, p, at.chunk), p.lanes, at.lane);
    }

    /* Forwards: the state before each of the thread's steps, and their outputs. */
    state_composition<real> compose_states = {w};
    store_triple(shared.of_warp(), WARP, lane_index(), summary_of(k, v, count, w));
    __syncthreads();
    if (warp == 0) {
        scan_warps(p, shared.warps, at.chunk, compose_states, false);
    }
    __syncthreads();
    if (before > 0) {
        state = compose_states(state, load_triple(shared.of_warp(), WARP, lane_index()), before);
    }
    real q_first[STEPS<real>], q_state[STEPS<real>];
    step_memory<real> past = {shared.rest, static_cast<int>(blockDim.x)};
    for_steps<real>(count, [&](int s) {
        real relative = relative_exp(state.third, u + k[s]);
        real of_state = factor_of_a(relative), of_first = factor_of_b(relative);
        real inverse = quotient(real(1), of_state * state.den + of_first), q = dy[s] * inverse;
        q_first[s] = q * of_first;
        q_state[s] = q * of_state;
        past(NUM, s) = state.num;
        past(DEN, s) = state.den;
        past(VALUE, s) = v[s];
        past(OUTPUT, s) = (of_state * state.num + of_first * v[s]) * inverse;
        past(UPDATE, s) = update(&state, w, k[s], v[s]);
    });

    /* Backwards: the gradient behind the warp's last step. */
    grad_composition<real> compose;
    triple<real> summary = compose.identity();
    for_steps<real, BACKWARDS>(count, [&](int s) {
        real of_old = factor_of_a(past(UPDATE, s));
        step_back(&summary, of_old, q_state[s], past(OUTPUT, s));
        summary.third *= of_old;
    });
    store_triple(shared.of_warp(), WARP, lane_index(), summary);
    __syncthreads();
    if (warp == 0) {
        triple<real> first = compose.identity();
        if (at.order == 0 && at.inside && io.dstate_out != nullptr) {
            first.num = io.dstate_out[at.lane];
            first.den = io.dstate_out[p.lanes + at.lane];
        }
        begin_chain(p, at, compose, first, scan_warps(p, shared.warps, at.chunk, compose, true),
                    shared);
    }
    gather_group(p, at, compose, shared.shares);
    __syncthreads();
    if (warp == 0) {
        end_chain(p, at, compose, shared);
    }
    __syncthreads();

    real dw = real(0), du = real(0);
    if (count > 0) {
        triple<real> grad = compose(load_triple(shared.given, WARP, lane_index()),
                                    load_triple(shared.of_warp(), WARP, lane_index()), 0);
        int64_t step = offset + (count - 1) * p.C;
        for_steps<real, BACKWARDS>(count, [&](int s) {
            real relative = past(UPDATE, s), value = past(VALUE, s), y = past(OUTPUT, s);
            real of_old = factor_of_a(relative), of_key = factor_of_b(relative);
            real direct = q_first[s] * (value - y);
            if (io.dv != nullptr) {
                io.dv[step] = q_first[s] + of_key * grad.num;
            }
            if (io.dk != nullptr) {
                io.dk[step] = direct + of_key * (grad.num * value + grad.den);
            }
            du += direct;
            dw += of_old * (grad.num * past(NUM, s) + grad.den * past(DEN, s));
            step_back(&grad, of_old, q_state[s], y);
            step -= p.C;
        });
        if (at.chunk == 0 && before == 0 && io.dstate_in != nullptr) {
            store_triple(io.dstate_in, p.lanes, at.lane, {grad.num, grad.den, real(0)});
        }
    }

    /* dw and du over the warps, in order: (2, warps, 32) in shared memory. */
    __syncthreads();
    shared.warps[warp * WARP + lane_index()] = dw;
    shared.warps[(warps + warp) * WARP + lane_index()] = du;
    __syncthreads();
    if (warp < 2 && at.inside) {
        real total = real(0);
        for (int i = 0; i < warps; i++) {
            total += shared.warps[(warp * warps + i) * WARP + lane_index()];
        }
        io.sums[((static_cast<int64_t>(at.chunk) * p.B + at.b) * 2 + warp) * p.C + at.c] = total;
    }
}

/* ---- host ---- */

/* Steps of a chunk: as many as a block can walk, and fewer where so few blocks would leave
 * multiprocessors without one. */
template <typename real> int chunk_steps_for(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    int steps = WARPS<real> * STEPS<real>;
    while (steps > LEAST_WARPS * STEPS<real> &&
           parts_of(B * C, WARP) * parts_of(T, steps) < of(device)->multiprocessors) {
        steps /= 2;
    }
    return steps;
}

/* Warps of a block, a power of 2: no more than a chunk, or the sequence, has steps for. */
template <typename real> int warps_for(const problem<real> &p)
{
    int warps = p.chunk_steps / STEPS<real>;
    while (warps > LEAST_WARPS && warps / 2 * STEPS<real> >= p.T) {
        warps /= 2;
    }
    return warps;
}

/* Shared memory of a block: what its warps tell one another, and `fields` numbers for each step. */
template <typename real> size_t shared_bytes(int warps, int fields)
{
    return static_cast<size_t>((2 * warps + 2) * 3 * WARP + fields * STEPS<real> * warps * WARP) *
           sizeof(real);
}

size_t rounded(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* Lays out what the blocks share in the workspace, all of it unpublished, with `extra` bytes more for
 * the caller. */
template <typename real>
mt_status share(mt_device *device, problem<real> *p, size_t extra, void **more)
{
    p->lanes = p->B * p->C;
    p->chunk_steps = chunk_steps_for<real>(device, p->B, p->T, p->C);
    int64_t tiles = parts_of(p->lanes, WARP), chunks = parts_of(p->T, p->chunk_steps);
    if (tiles > INT_MAX / chunks || p->B > INT_MAX || p->C > INT_MAX) {
        return mt_fail(MT_ERROR_INVALID, "wkv: (%lld, %lld, %lld) is too large for one launch",
                       static_cast<long long>(p->B), static_cast<long long>(p->T),
                       static_cast<long long>(p->C));
    }
    p->tiles = static_cast<int>(tiles);
    p->chunks = static_cast<int>(chunks);
    p->share = GROUP_CHUNKS / warps_for(*p);
    size_t triples = static_cast<size_t>(3 * p->lanes) * sizeof(real);
    size_t ticket = rounded(sizeof(unsigned));
    size_t summaries = rounded(static_cast<size_t>(p->chunks) * triples);
    size_t groups = rounded(static_cast<size_t>(p->chunks / GROUP_CHUNKS) * triples);
    size_t shared = ticket + summaries + groups;
    void *memory;
    mt_status status = workspace(device, shared + extra, &memory);
    if (status != MT_OK) {
        return status;
    }
    unsigned char *bytes = static_cast<unsigned char *>(memory);
    p->ticket = reinterpret_cast<unsigned *>(bytes);
    p->summaries = reinterpret_cast<real *>(bytes + ticket);
    p->group_states = reinterpret_cast<real *>(bytes + ticket + summaries);
    *more = bytes + shared;
    return check(cudaMemsetAsync(memory, UNPUBLISHED, shared, of(device)->stream), "wkv");
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
    int warps = warps_for(p);
    return launch(device, "wkv", forward_kernel<real>, static_cast<int64_t>(p.chunks) * p.tiles,
                  warps * WARP, shared_bytes<real>(warps, 0), p, io);
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
    int warps = warps_for(p);
    status = launch(device, "wkv backward", backward_kernel<real>,
                    static_cast<int64_t>(p.chunks) * p.tiles, warps * WARP,
                    shared_bytes<real>(warps, FIELDS), p, io);
    void *const totals[] = {args->dw, args->du};
    return status == MT_OK ? add_columns<2>(device, "wkv backward", parts, p.C, io.sums, totals)
                           : status;
}

template size_t wkv_saved_size<float>(mt_device *, int64_t, int64_t, int64_t);
template size_t wkv_saved_size<double>(mt_device *, int64_t, int64_t, int64_t);
template mt_status wkv_forward<float>(mt_device *, const mt_wkv_forward_args *);
template mt_status wkv_forward<double>(mt_device *, const mt_wkv_forward_args *);
template mt_status wkv_backward<float>(mt_device *, const mt_wkv_backward_args *);
template mt_status wkv_backward<double>(mt_device *, const mt_wkv_backward_args *);

} // namespace mt_cuda
