/* WKV on CUDA, parallel in batch, channels and time.
 *
 *     time ->         chunk 0               chunk 1            chunk 2
 *                +----+----+----+----+ +----+----+----+----+ +----+----+-+
 *     channels   | w0 | w1 | w2 | w3 | | w0 | w1 | w2 | w3 | | w0 | w1 | |   tiles 0, 2, 4
 *      0 .. 31   +----+----+----+----+ +----+----+----+----+ +----+----+-+
 *                +----+----+----+----+ +----+----+----+----+ +----+----+-+
 *     32 .. 63   | w0 | w1 | w2 | w3 | | w0 | w1 | w2 | w3 | | w0 | w1 | |   tiles 1, 3, 5
 *                +----+----+----+----+ +----+----+----+----+ +----+----+-+
 *
 * A tile is 32 neighbouring channels (of the B C in all) by one chunk of time; a block works on a
 * tile, a lane on a channel, and a warp (w0 to w3) on STEPS consecutive steps, whose inputs it
 * loads into registers all at once: 32 numbers of a row are one coalesced access, and every load of
 * a thread is in flight together. Each input is read once, each output written once. Chunks are as
 * long as a block can walk, and shorter where that leaves multiprocessors without a block.
 *
 * Forward: each warp summarises its steps from an empty state. Summaries compose (a stretch of L
 * steps maps a state by num -> e^(L w) num + num_stretch), within a block from warp to warp, and
 * between blocks by the chain of wkv_chain.cuh. In one block, with S s for "s composed after S":
 *
 *                      w0        w1        w2           w3
 *     summary_of       s0        s1        s2           s3        of the warp's steps
 *     scan_warps       -         s0        s0 s1        s0 s1 s2  and S = s0 s1 s2 s3, of the chunk
 *     the chain        lets later chunks have S, and finds X, the state before this chunk
 *     the walk from    X         X s0      X s0 s1      X s0 s1 s2
 *
 * Backward is the same in reverse. Forward left the states before each chunk; a warp's own start
 * comes from summaries within the block. The gradients of num and den travel backwards at the
 * state's own max, so the way back takes the factors of the way there (docs/mathematics.md): a
 * stretch maps them by G -> through G + G_stretch, where through is the product of its updates'
 * factors. That needs no exponential, and a warp finds it out on its way there. The gradients of w
 * and u are summed by steps, warps, and then chunks and batch rows, in that order. */
#include "kernels/cuda/columns.cuh"
#include "kernels/cuda/float16.cuh"
#include "kernels/cuda/kernels.cuh"
#include "kernels/cuda/wkv_chain.cuh"

#include <limits.h>

namespace mt_cuda
{

namespace
{

enum direction { FORWARDS, BACKWARDS };

/* f(0) .. f(count - 1), or from the last to the first. There are mostly STEPS of them: then none
 * has to be asked for. */
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
template <typename stored, typename real = real_of<stored>>
__device__ inline void load_steps(const stored *from, int64_t stride, int count, real *values)
{
    for_steps<real>(count, [&](int s) {
        values[s] = *from;
        from += stride;
    });
}

/* Computes what a warp's steps amount to behind the last of them: unlike in a walk, no step waits
 * for another. */
template <typename real>
__device__ inline state_triple<real> summary_of(const real *k, const real *v, int count, real w)
{
    state_triple<real> all = empty_state<real>();
    real decayed[STEPS<real>];
    for_steps<real>(count, [&](int s) {
        int later = count - 1 - s; /* w may be -inf, which times 0 is not a number */
        decayed[s] = later == 0 ? k[s] : fma(w, static_cast<real>(later), k[s]);
        all.max = fmax(all.max, decayed[s]);
    });
    for_steps<real>(count, [&](int s) {
        real of_key = exp_negative(decayed[s] - all.max);
        all.num = fma(of_key, v[s], all.num);
        all.den += of_key;
    });
    return all;
}

/* ---- forward ---- */

template <typename stored, typename real = real_of<stored>> struct forward_arrays {
    const stored *k, *v;
    stored *y;
    const real *state_in;
    real *state_out, *saved;
};

/* The states that the caller gets: before the chunk, and behind the last. */
template <typename stored, typename real = real_of<stored>>
__device__ inline void store_states(const problem<real> &p, const forward_arrays<stored> &io,
                                    const place &at, const state_composition<real> &compose,
                                    exchange<real> &shared)
{
    state_triple<real> start = load_triple<state_triple<real>>(shared.given, WARP, lane_index());
    if (io.saved != nullptr) {
        store_triple(plane(io.saved, p, at.chunk), p.lanes, at.lane, start);
    }
    if (at.chunk == p.chunks - 1) {
        state_triple<real> last =
            compose(start, load_triple<state_triple<real>>(shared.chunk, WARP, lane_index()),
                    steps_within(p, at.chunk, p.chunk_steps));
        if (io.saved != nullptr) {
            store_triple(plane(io.saved, p, p.chunks), p.lanes, at.lane, last);
        }
        if (io.state_out != nullptr) {
            publish_triple(io.state_out + at.lane, p.lanes, last); /* see state_in */
        }
    }
}

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(THREADS, FORWARD_BLOCKS<real>)
    forward_kernel(problem<real> p, forward_arrays<stored> io)
{
    begin_kernel();
    exchange<real> &shared = *reinterpret_cast<exchange<real> *>(mt_shared);
    take_tile(p, shared);
    place at = find_place(p, shared, false);
    int warp = warp_index();
    int before = steps_within(p, at.chunk, warp * STEPS<real>);
    int count = at.inside ? steps_of(p, at.chunk, warp) : 0;
    int64_t offset = offset_of(p, at) + static_cast<int64_t>(before) * p.C;
    real k[STEPS<real>], v[STEPS<real>], w = p.w[at.c], u = p.u[at.c];
    load_steps(io.k + offset, p.C, count, k);
    load_steps(io.v + offset, p.C, count, v);
    store_triple(shared.warps[warp], WARP, lane_index(), summary_of(k, v, count, w));
    __syncthreads();

    state_composition<real> compose = {w};
    if (at.leads) {
        state_triple<real> first = empty_state<real>();
        if (at.order == 0 && at.inside && io.state_in != nullptr) {
            /* Its memory may be state_out's too. Whoever writes there has to know what the first
             * chunk publishes, which depends on what is read here. */
            first = peek_triple<state_triple<real>>(io.state_in + at.lane, p.lanes);
        }
        begin_chain(p, at, compose, first, scan_warps(p, shared, at.chunk, compose, false), shared);
    }
    gather_group(p, at, compose, shared);
    __syncthreads();
    if (at.leads) {
        end_chain(p, at, compose, shared);
        if (at.inside) {
            store_states(p, io, at, compose, shared);
        }
    }
    __syncthreads();

    if (count > 0) {
        state_triple<real> state =
            load_triple<state_triple<real>>(shared.given, WARP, lane_index());
        if (before > 0) {
            state = compose(state,
                            load_triple<state_triple<real>>(shared.warps[warp], WARP, lane_index()),
                            before);
        }
        at = find_place(p, shared, false); /* rather than in registers all the while */
        stored *y = io.y + offset_of(p, at) + static_cast<int64_t>(before) * p.C;
        for_steps<real>(count, [&](int s) {
            factors<real> of = find_factors(state.max, u + k[s]);
            *y = quotient(fma(of.a, state.num, of.b * v[s]), fma(of.a, state.den, of.b));
            y += p.C;
            update(&state, w, k[s], v[s]);
        });
    }
}

/* ---- backward ---- */

template <typename stored, typename real = real_of<stored>> struct backward_arrays {
    const stored *k, *v, *dy;
    stored *dk, *dv;
    const real *saved, *dstate_out;
    real *dstate_in;
    real *sums; /* (chunks, B, 2, C): dw and du of each chunk */
};

/* The memory that threads have of their steps on the way back. It lies in shared memory, which
 * leaves registers for blocks that work while others wait. */
template <typename real> struct step_memory {
    pack<real, 2> state[STEPS<real>][THREADS];  /* (num, den) before the step */
    pack<real, 2> result[STEPS<real>][THREADS]; /* the update's exponential, and y */
    real v[STEPS<real>][THREADS];
};

template <typename real> struct backward_memory {
    exchange<real> shared;
    step_memory<real> past;
};

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(THREADS, BACKWARD_BLOCKS<real>)
    backward_kernel(problem<real> p, backward_arrays<stored> io)
{
    begin_kernel();
    backward_memory<real> &memory = *reinterpret_cast<backward_memory<real> *>(mt_shared);
    exchange<real> &shared = memory.shared;
    step_memory<real> &past = memory.past;
    take_tile(p, shared);
    place at = find_place(p, shared, true);
    int thread = static_cast<int>(threadIdx.x);
    int warps = static_cast<int>(blockDim.x) / WARP, warp = warp_index();
    int before = steps_within(p, at.chunk, warp * STEPS<real>);
    int count = at.inside ? steps_of(p, at.chunk, warp) : 0;
    int64_t offset = offset_of(p, at) + static_cast<int64_t>(before) * p.C;
    real k[STEPS<real>], v[STEPS<real>], dy[STEPS<real>] = {}, w = p.w[at.c], u = p.u[at.c];
    load_steps(io.k + offset, p.C, count, k);
    load_steps(io.v + offset, p.C, count, v);
    if (io.dy != nullptr) {
        load_steps(io.dy + offset, p.C, count, dy);
    }

    state_triple<real> state = empty_state<real>();
    if (at.inside) {
        state = load_triple<state_triple<real>>(plane(io.saved, p, at.chunk), p.lanes, at.lane);
    }

    /* Forwards: the state before each of the thread's steps, and their outputs. */
    state_composition<real> compose_states = {w};
    store_triple(shared.warps[warp], WARP, lane_index(), summary_of(k, v, count, w));
    __syncthreads();
    if (at.leads) {
        scan_warps(p, shared, at.chunk, compose_states, false);
    }
    __syncthreads();
    if (before > 0) {
        state = compose_states(
            state, load_triple<state_triple<real>>(shared.warps[warp], WARP, lane_index()), before);
    }
    grad_composition<real> compose;
    grad_triple<real> summary = compose.identity(); /* of the warp's steps, for the way back */
    real q_first[STEPS<real>], q_state[STEPS<real>];
    for_steps<real>(count, [&](int s) {
        factors<real> of = find_factors(state.max, u + k[s]);
        real inverse = quotient(real(1), fma(of.a, state.den, of.b)), q = dy[s] * inverse;
        real y = fma(of.a, state.num, of.b * v[s]) * inverse;
        q_first[s] = q * of.b;
        q_state[s] = q * of.a;
        past.v[s][thread] = v[s];
        past.state[s][thread] = {state.num, state.den};
        real exponential = update(&state, w, k[s], v[s]);
        past.result[s][thread] = {exponential, y};
        real through = summary.factor * q_state[s];
        summary.num += through;
        summary.den = fma(-through, y, summary.den);
        summary.factor *= factors_of(exponential).a;
    });

    /* Backwards: the gradient behind the warp's last step. */
    store_triple(shared.warps[warp], WARP, lane_index(), summary);
    __syncthreads();
    if (at.leads) {
        grad_triple<real> first = compose.identity();
        if (at.order == 0 && at.inside && io.dstate_out != nullptr) {
            first.num = io.dstate_out[at.lane];
            first.den = io.dstate_out[p.lanes + at.lane];
        }
        begin_chain(p, at, compose, first, scan_warps(p, shared, at.chunk, compose, true), shared);
    }
    gather_group(p, at, compose, shared);
    __syncthreads();
    if (at.leads) {
        end_chain(p, at, compose, shared);
    }
    __syncthreads();

    real dw = real(0), du = real(0);
    if (count > 0) {
        grad_triple<real> grad =
            compose(load_triple<grad_triple<real>>(shared.given, WARP, lane_index()),
                    load_triple<grad_triple<real>>(shared.warps[warp], WARP, lane_index()), 0);
        int64_t step = offset + static_cast<int64_t>(count - 1) * p.C;
        for_steps<real, BACKWARDS>(count, [&](int s) {
            pack<real, 2> old = past.state[s][thread], result = past.result[s][thread];
            real y = result.at[1], value = past.v[s][thread];
            factors<real> of = factors_of(result.at[0]);
            real direct = q_first[s] * (value - y);
            if (io.dv != nullptr) {
                io.dv[step] = fma(of.b, grad.num, q_first[s]);
            }
            if (io.dk != nullptr) {
                io.dk[step] = fma(of.b, fma(grad.num, value, grad.den), direct);
            }
            du += direct;
            dw = fma(of.a, fma(grad.num, old.at[0], grad.den * old.at[1]), dw);
            grad.num = fma(of.a, grad.num, q_state[s]);
            grad.den = fma(of.a, grad.den, -q_state[s] * y);
            step -= p.C;
        });
        if (at.chunk == 0 && before == 0 && io.dstate_in != nullptr) {
            store_triple(io.dstate_in, p.lanes, at.lane,
                         grad_triple<real>{grad.num, grad.den, real(0)});
        }
    }

    /* dw and du over the warps, in order, where each warp alone has read since the last barrier. */
    shared.warps[warp][lane_index()] = dw;
    shared.warps[warp][WARP + lane_index()] = du;
    __syncthreads();
    if (warp < 2 && at.inside) {
        real total = real(0);
        for (int i = 0; i < warps; i++) {
            total += shared.warps[i][warp * WARP + lane_index()];
        }
        io.sums[((static_cast<int64_t>(at.chunk) * p.B + at.b) * 2 + warp) * p.C + at.c] = total;
    }
}

/* ---- host ---- */

constexpr size_t UNASKED_SHARED = 48 << 10; /* of a block */

#ifdef __CUDA_ARCH__
/* The most that a block may ask for on the GPU that is compiled for (NVIDIA's "CUDA C++ Programming
 * Guide", technical specifications by compute capability). One that runs another's PTX may have
 * less: it refuses what is asked. */
constexpr size_t MOST_SHARED =
    static_cast<size_t>(__CUDA_ARCH__ < 800                            ? 64
                        : __CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 870 ? 163
                        : __CUDA_ARCH__ < 900 || __CUDA_ARCH__ >= 1200 ? 99
                                                                       : 227)
    << 10;
static_assert(sizeof(backward_memory<float>) <= MOST_SHARED &&
                  sizeof(backward_memory<double>) <= MOST_SHARED,
              "fewer WARPS or STEPS");
#endif

/* Asks for the shared memory of a kernel's blocks, where it is more than any kernel may have. */
template <typename... parameters>
mt_status ask_for_shared(void (*kernel)(parameters...), size_t bytes, int carveout)
{
    cudaError_t error = cudaSuccess;
    if (bytes > UNASKED_SHARED) {
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(bytes));
    }
    if (error == cudaSuccess && carveout >= 0) {
        error =
            cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, carveout);
    }
    return check(error, "wkv");
}

/* Steps of a chunk: as many as a block can walk, and fewer where so few blocks would leave
 * multiprocessors without one. */
template <typename real> int chunk_steps_for(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    int steps = WARPS * STEPS<real>;
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

size_t rounded(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

template <typename real, typename given>
mt_status make_problem(mt_device *device, const given *args, problem<real> *p)
{
    int chunk_steps = chunk_steps_for<real>(device, args->B, args->T, args->C);
    int64_t lanes = args->B * args->C, tiles = parts_of(lanes, WARP);
    int64_t chunks = parts_of(args->T, chunk_steps);
    if (lanes > INT_MAX - WARP || tiles > INT_MAX / chunks) {
        return mt_fail(MT_ERROR_INVALID, "wkv: (%lld, %lld, %lld) is too large for one launch",
                       static_cast<long long>(args->B), static_cast<long long>(args->T),
                       static_cast<long long>(args->C));
    }
    p->T = args->T;
    p->B = static_cast<int>(args->B);
    p->C = static_cast<int>(args->C);
    p->lanes = static_cast<int>(lanes);
    p->tiles = static_cast<int>(tiles);
    p->chunks = static_cast<int>(chunks);
    p->chunk_steps = chunk_steps;
    p->by_C = divide_by(p->C);
    p->by_tiles = divide_by(p->tiles);
    p->share = GROUP_CHUNKS / warps_for(*p);
    p->w = static_cast<const real *>(args->w);
    p->u = static_cast<const real *>(args->u);
    return MT_OK;
}

/* Bytes of the workspace: what blocks publish (chunks' summaries, groups' states from behind those
 * on, the tickets at `tickets`), and behind it what backward sums. */
struct memory_plan {
    size_t summaries, tickets, published, sums;
};

template <typename real> memory_plan plan_memory(int64_t B, int64_t C, int64_t chunks)
{
    size_t triples = static_cast<size_t>(B * C) * 3 * sizeof(real);
    memory_plan plan;
    plan.summaries = rounded(static_cast<size_t>(chunks) * triples);
    size_t group_states = rounded(static_cast<size_t>(chunks / GROUP_CHUNKS) * triples);
    plan.tickets = plan.summaries + group_states;
    plan.published = chunks > 1 ? plan.tickets + rounded(sizeof(unsigned)) : 0;
    plan.sums = static_cast<size_t>(chunks * B * 2 * C) * sizeof(real);
    return plan;
}

/* Lays out the workspace: what blocks publish, nothing of it published yet, and `sums`, unless that
 * is NULL. */
template <typename real>
mt_status lay_out(mt_device *device, void *given, problem<real> *p, void **sums)
{
    memory_plan plan = plan_memory<real>(p->B, p->C, p->chunks);
    unsigned char *memory = static_cast<unsigned char *>(given);
    if (memory == nullptr) {
        void *own;
        mt_status status =
            workspace(device, plan.published + (sums != nullptr ? plan.sums : 0), &own);
        if (status != MT_OK) {
            return status;
        }
        memory = static_cast<unsigned char *>(own);
    }
    if (sums != nullptr) {
        *sums = memory + plan.published;
    }
    if (p->chunks == 1) {
        return MT_OK;
    }
    p->summaries = reinterpret_cast<real *>(memory);
    p->group_states = reinterpret_cast<real *>(memory + plan.summaries);
    p->tickets = reinterpret_cast<unsigned *>(memory + plan.tickets);
    return clear(device, "wkv clearing", memory, UNPUBLISHED, plan.published);
}

} // namespace

template <typename stored> size_t wkv_saved_size(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    typedef real_of<stored> real;
    int64_t chunks = parts_of(T, chunk_steps_for<real>(device, B, T, C));
    return static_cast<size_t>((chunks + 1) * 3 * B * C) * sizeof(real);
}

template <typename stored>
size_t wkv_workspace_size(mt_device *device, int64_t B, int64_t T, int64_t C)
{
    typedef real_of<stored> real;
    int64_t chunks = parts_of(T, chunk_steps_for<real>(device, B, T, C));
    memory_plan plan = plan_memory<real>(B, C, chunks);
    return plan.published + plan.sums;
}

template <typename stored> mt_status wkv_forward(mt_device *device, const mt_wkv_forward_args *args)
{
    typedef real_of<stored> real;
    problem<real> p = {};
    mt_status status = make_problem(device, args, &p);
    if (status == MT_OK) {
        status = lay_out(device, args->workspace, &p, nullptr);
    }
    if (status != MT_OK) {
        return status;
    }
    forward_arrays<stored> io = {
        static_cast<const stored *>(args->k), static_cast<const stored *>(args->v),
        static_cast<stored *>(args->y),       static_cast<const real *>(args->state_in),
        static_cast<real *>(args->state_out), static_cast<real *>(args->saved)};
    int warps = warps_for(p);
    return launch(device, "wkv", forward_kernel<stored>, static_cast<int64_t>(p.chunks) * p.tiles,
                  warps * WARP, sizeof(exchange<real>), p, io);
}

template <typename stored>
mt_status wkv_backward(mt_device *device, const mt_wkv_backward_args *args)
{
    typedef real_of<stored> real;
    void *sums = nullptr;
    problem<real> p = {};
    mt_status status = make_problem(device, args, &p);
    if (status == MT_OK) {
        status = lay_out(device, args->workspace, &p, &sums);
    }
    if (status != MT_OK) {
        return status;
    }
    backward_arrays<stored> io = {static_cast<const stored *>(args->k),
                                  static_cast<const stored *>(args->v),
                                  static_cast<const stored *>(args->dy),
                                  static_cast<stored *>(args->dk),
                                  static_cast<stored *>(args->dv),
                                  static_cast<const real *>(args->saved),
                                  static_cast<const real *>(args->dstate_out),
                                  static_cast<real *>(args->dstate_in),
                                  static_cast<real *>(sums)};
    int warps = warps_for(p);
    constexpr size_t shared = sizeof(backward_memory<real>);
    status = use(device);
    if (status == MT_OK) {
        status = ask_for_shared(backward_kernel<stored>, shared, MT_WKV_CARVEOUT);
    }
    if (status != MT_OK) {
        return status;
    }
    status = launch(device, "wkv backward", backward_kernel<stored>,
                    static_cast<int64_t>(p.chunks) * p.tiles, warps * WARP, shared, p, io);
    void *const totals[] = {args->dw, args->du};
    int64_t parts = static_cast<int64_t>(p.chunks) * p.B;
    return status == MT_OK ? add_columns<2>(device, "wkv totals", parts, p.C, io.sums, totals)
                           : status;
}

INSTANTIATE_F16(wkv_saved_size)
INSTANTIATE_F16(wkv_workspace_size)
INSTANTIATE_F16(wkv_forward)
INSTANTIATE_F16(wkv_backward)

} // namespace mt_cuda
