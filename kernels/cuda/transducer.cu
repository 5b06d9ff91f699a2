/* The transducer loss: a warp to a node's logits, and a block to the alphas or the betas of a row,
 * which goes from diagonal to diagonal with its threads along them. */
#include "kernels/cuda/kernels.cuh"
#include "kernels/transducer_formulas.h"

namespace mt_cuda
{

namespace
{

constexpr int NODE_THREADS = 128, WALK_THREADS = 128;

struct node_place {
    int64_t b, t, u;
};

__device__ inline node_place place_of(int64_t n, int64_t T, int64_t U)
{
    int64_t frame = n / (U + 1);
    return {frame / T, frame % T, n % (U + 1)};
}

/* Tells the host of lengths and labels that are refused; a thread to a label or a row. */
__global__ void __launch_bounds__(NODE_THREADS)
    find_faults(mt_transducer_forward_args args, findings to)
{
    begin_kernel();
    int64_t width = args.U + 1;
    for (int64_t n = global_thread(); n < args.B * width; n += global_threads()) {
        int64_t b = n / width, u = n % width;
        int32_t frames = args.frames[b], labels = args.label_lengths[b];
        mt_transducer_fault fault = mt_transducer_length_fault(args.T, args.U, frames, labels);
        bool of_frames = fault == MT_TRANSDUCER_FRAMES;
        int64_t value = of_frames ? frames : labels, most = of_frames ? args.T : args.U;
        if (fault == MT_TRANSDUCER_FINE && u < labels) {
            value = args.labels[b * args.U + u];
            most = args.V - 1;
            fault = mt_transducer_label_fault(static_cast<int32_t>(value), args.blank, args.V);
        }
        if (fault != MT_TRANSDUCER_FINE) {
            report(to, TRANSDUCER_FAULT + fault, value, u, most, b);
        }
    }
}

/* The logarithm of the sum of e^logit, in every lane. */
template <typename stored> __device__ inline double log_sum_exp(const stored *logits, int64_t V)
{
    auto largest = row_max(logits, V);
    return static_cast<double>(largest) + log(static_cast<double>(row_exp_sum(logits, largest, V)));
}

template <typename stored>
__global__ void __launch_bounds__(NODE_THREADS) log_probabilities(mt_transducer_forward_args args)
{
    begin_kernel();
    int64_t nodes = args.B * args.T * (args.U + 1);
    for (int64_t n = global_warp(); n < nodes; n += global_warps()) {
        node_place at = place_of(n, args.T, args.U);
        mt_transducer_lattice lattice = mt_transducer_lattice_of(&args, at.b);
        if (at.t >= lattice.T || at.u > lattice.U) {
            if (lane_index() == 0) {
                mt_transducer_set_padding(&args, n);
            }
            continue;
        }
        const stored *logits = static_cast<const stored *>(args.logits) + n * args.V;
        double lse = log_sum_exp(logits, args.V), label = NAN;
        int32_t place = at.u < lattice.U ? args.labels[at.b * args.U + at.u] : args.blank;
        if (place >= 0 && place < args.V && (place != args.blank || at.u == lattice.U)) {
            label = static_cast<double>(logits[place]) - lse;
        }
        if (lane_index() == 0) {
            args.nodes[n] = {static_cast<double>(logits[args.blank]) - lse, label};
        }
    }
}

__device__ inline void walk_to_start(const mt_transducer_lattice *of)
{
    for (int64_t diagonal = mt_transducer_diagonals(of) - 1; diagonal >= 0; diagonal--) {
        int64_t last = mt_transducer_last(of, diagonal);
        for (int64_t u = mt_transducer_first(of, diagonal) + threadIdx.x; u <= last;
             u += blockDim.x) {
            mt_transducer_set_beta(of, diagonal - u, u);
        }
        __syncthreads();
    }
}

__device__ inline void walk_to_end(const mt_transducer_lattice *of)
{
    for (int64_t diagonal = 0; diagonal < mt_transducer_diagonals(of); diagonal++) {
        int64_t last = mt_transducer_last(of, diagonal);
        for (int64_t u = mt_transducer_first(of, diagonal) + threadIdx.x; u <= last;
             u += blockDim.x) {
            mt_transducer_set_alpha(of, diagonal - u, u);
        }
        __syncthreads();
    }
}

template <typename real>
__global__ void __launch_bounds__(WALK_THREADS)
    walk_lattices(int64_t walks, mt_transducer_forward_args args)
{
    begin_kernel();
    for (int64_t walk = blockIdx.x; walk < walks; walk += gridDim.x) {
        mt_transducer_lattice lattice = mt_transducer_lattice_of(&args, walk % args.B);
        if (walk >= args.B) {
            walk_to_end(&lattice);
            continue;
        }
        walk_to_start(&lattice);
        if (threadIdx.x == 0) {
            static_cast<real *>(args.losses)[walk] =
                lattice.T > 0 ? static_cast<real>(-lattice.betas[0]) : not_a_number<real>();
        }
    }
}

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(NODE_THREADS, ROOMY_BLOCKS)
    logit_grads(mt_transducer_backward_args args)
{
    begin_kernel();
    int64_t nodes = args.B * args.T * (args.U + 1), V = args.V;
    for (int64_t n = global_warp(); n < nodes; n += global_warps()) {
        node_place at = place_of(n, args.T, args.U);
        const stored *logits = static_cast<const stored *>(args.logits) + n * V;
        stored *dlogits = static_cast<stored *>(args.dlogits) + n * V;
        /* Forward refuses lengths and labels out of range, but tells of it later. */
        int32_t frames = args.frames[at.b], labels = args.label_lengths[at.b];
        bool counts = at.t < frames && at.u <= labels && frames <= args.T && labels <= args.U;
        int32_t label = counts && at.u < labels ? args.labels[at.b * args.U + at.u] : args.blank;
        label = label >= 0 && label < V ? label : args.blank;
        mt_transducer_posteriors node = {0.0, 0.0, 0.0};
        if (counts) {
            node = mt_transducer_posteriors_of(&args, at.b, at.t, at.u,
                                               static_cast<double>(logits[args.blank]),
                                               static_cast<double>(logits[label]));
        }
        bool comes_by = node.blank + node.label != 0.0;
        if (comes_by && !mt_transducer_betas_tell_lse(&args, at.b)) {
            node.lse = log_sum_exp(logits, V);
        }
        __syncwarp(); /* the gradient may be written over the logits */
        double dloss = static_cast<double>(static_cast<const real *>(args.dlosses)[at.b]);
        double by_blank = dloss * node.blank;
        double by_label = dloss * node.label * (1.0 + args.fastemit_lambda);
        real scale = static_cast<real>(by_blank + by_label), high = static_cast<real>(node.lse);
        real low = static_cast<real>(node.lse - static_cast<double>(high));
        for (int64_t v = lane_index(); v < V; v += WARP) {
            real grad = comes_by ? scale * exp((logits[v] - high) - low) : real(0);
            grad = v == args.blank ? grad - static_cast<real>(by_blank) : grad;
            dlogits[v] = v == label ? grad - static_cast<real>(by_label) : grad;
        }
    }
}

int64_t warps_for(mt_device *device, int64_t nodes)
{
    return grid_for(device, parts_of(nodes, NODE_THREADS / WARP));
}

int64_t threads_for(mt_device *device, int64_t items)
{
    return grid_for(device, parts_of(items, NODE_THREADS));
}

} // namespace

template <typename stored>
mt_status transducer_forward(mt_device *device, const mt_transducer_forward_args *args)
{
    int64_t nodes = args->B * args->T * (args->U + 1);
    int64_t walks = args->alphas != nullptr ? 2 * args->B : args->B;
    mt_status status = launch(device, "transducer check", find_faults,
                              threads_for(device, args->B * (args->U + 1)), NODE_THREADS, 0, *args,
                              of(device)->findings);
    if (status == MT_OK) {
        status = launch(device, "transducer log-probabilities", log_probabilities<stored>,
                        warps_for(device, nodes), NODE_THREADS, 0, *args);
    }
    if (status == MT_OK) {
        status = launch(device, "transducer lattices", walk_lattices<real_of<stored>>,
                        grid_for(device, walks), WALK_THREADS, 0, walks, *args);
    }
    return status;
}

template <typename stored>
mt_status transducer_backward(mt_device *device, const mt_transducer_backward_args *args)
{
    return launch(device, "transducer backward", logit_grads<stored>,
                  warps_for(device, args->B * args->T * (args->U + 1)), NODE_THREADS, 0, *args);
}

INSTANTIATE(transducer_forward)
INSTANTIATE(transducer_backward)

} // namespace mt_cuda
