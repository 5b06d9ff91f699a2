/* Softmax cross-entropy, a warp to a row: one pass over the logits keeps a running largest logit
 * and the sum of exponentials relative to it. Probabilities are not stored. */
#include "kernels/cross_entropy_formulas.h"
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int LOSS_THREADS = 128, TOTAL_THREADS = 512;

/* A lane's, then a row's: the largest logit, where it stands first, the sum of e^(logit - largest),
 * and the sum of the logits. */
template <typename real> struct row_sums {
    real largest, exps, plain;
    int64_t where;
};

template <typename real>
__device__ inline row_sums<real> joined(const row_sums<real> &a, const row_sums<real> &b)
{
    bool a_leads = a.largest > b.largest || (a.largest == b.largest && a.where < b.where);
    real largest = a_leads ? a.largest : b.largest;
    return {largest, a.exps * exp(a.largest - largest) + b.exps * exp(b.largest - largest),
            a.plain + b.plain, a_leads ? a.where : b.where};
}

template <typename stored, typename real = real_of<stored>>
__device__ inline row_sums<real> sums_of_row(const stored *logits, int64_t V)
{
    /* Lanes without a logit repeat the first one with no weight. */
    row_sums<real> sums = {logits[0], real(0), real(0), V};
    for (int64_t v = lane_index(); v < V; v += WARP) {
        real logit = logits[v];
        if (logit > sums.largest || sums.where == V) {
            sums.where = logit >= sums.largest ? v : sums.where;
        }
        real largest = fmax(logit, sums.largest);
        sums.exps = fma(sums.exps, exp(sums.largest - largest), exp(logit - largest));
        sums.plain += logit;
        sums.largest = largest;
    }
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        row_sums<real> other = {__shfl_xor_sync(ALL_LANES, sums.largest, distance),
                                __shfl_xor_sync(ALL_LANES, sums.exps, distance),
                                __shfl_xor_sync(ALL_LANES, sums.plain, distance),
                                __shfl_xor_sync(ALL_LANES, sums.where, distance)};
        sums = lane_index() & distance ? joined(other, sums) : joined(sums, other);
    }
    return sums;
}

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(LOSS_THREADS, ROOMY_BLOCKS)
    row_losses(int64_t N, int64_t V, int32_t ignore_index, double smoothing, const stored *logits,
               const int32_t *targets, real *lse, int32_t *top, mt_cross_entropy_row *results,
               int64_t first_row, findings to)
{
    begin_kernel();
    for (int64_t n = global_warp(); n < N; n += global_warps()) {
        int64_t target = targets[n];
        bool ignored = target == ignore_index;
        bool wrong = !ignored && (target < 0 || target >= V);
        if (ignored || wrong) {
            if (lane_index() == 0) {
                results[n] = {ignored ? 0.0 : static_cast<double>(NAN), ignored ? 0 : 1, 0};
                if (lse != nullptr) {
                    lse[n] = ignored ? real(0) : not_a_number<real>();
                }
                if (top != nullptr) {
                    top[n] = 0;
                }
                if (wrong) {
                    report(to, WRONG_TARGET, target, first_row + n, V);
                }
            }
            continue;
        }
        row_sums<real> sums = sums_of_row(logits + n * V, V);
        if (lane_index() == 0) {
            double row_lse =
                static_cast<double>(sums.largest) + log(static_cast<double>(sums.exps));
            double mean = static_cast<double>(sums.plain) / static_cast<double>(V);
            double chosen = static_cast<double>(logits[n * V + target]);
            results[n] = {mt_cross_entropy_loss(row_lse, chosen, smoothing * mean, smoothing), 1,
                          sums.where == target ? 1 : 0};
            if (lse != nullptr) {
                lse[n] = static_cast<real>(row_lse);
            }
            if (top != nullptr) {
                top[n] = static_cast<int32_t>(sums.where);
            }
        }
    }
}

template <typename real>
__global__ void __launch_bounds__(TOTAL_THREADS)
    total_loss(int64_t N, const mt_cross_entropy_row *results, real *loss, real *stats, real *share)
{
    begin_kernel();
    double sum = 0.0;
    int counted = 0, hits = 0;
    for (int64_t n = threadIdx.x; n < N; n += TOTAL_THREADS) {
        sum += results[n].loss;
        counted += results[n].counted;
        hits += results[n].hit;
    }
    sum = block_sum(sum);
    counted = block_sum(counted);
    hits = block_sum(hits);
    if (threadIdx.x == 0) {
        *loss = static_cast<real>(mt_cross_entropy_mean(sum, counted));
        stats[0] = static_cast<real>(counted);
        stats[1] = static_cast<real>(hits);
        if (share != nullptr) {
            *share = mt_cross_entropy_factor(real(1), stats[0]);
        }
    }
}

template <typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(LOSS_THREADS)
    logit_grads(int64_t N, int64_t V, int32_t ignore_index, real smoothing, real l2wrap,
                const stored *logits, const int32_t *targets, const real *lse, const int32_t *top,
                const real *stats, const real *dloss, stored *dlogits)
{
    begin_kernel();
    real factor = mt_cross_entropy_factor(*dloss, stats[0]);
    real spread = smoothing / static_cast<real>(V);
    for (int64_t n = global_warp(); n < N; n += global_warps()) {
        int64_t target = targets[n];
        bool ignored = target == ignore_index;
        int64_t largest = top != nullptr ? top[n] : -1;
        for (int64_t v = lane_index(); v < V; v += WARP) {
            real grad = real(0);
            if (!ignored) {
                real logit = logits[n * V + v];
                grad = mt_cross_entropy_grad(factor, exp(logit - lse[n]), spread);
                grad = v == target ? grad - factor * (real(1) - smoothing) : grad;
                grad = v == largest ? grad + mt_cross_entropy_l2wrap(factor, l2wrap, logit) : grad;
            }
            dlogits[n * V + v] = grad;
        }
    }
}

int64_t row_blocks(mt_device *device, int64_t N)
{
    return grid_for(device, parts_of(N, LOSS_THREADS / WARP));
}

} // namespace

template <typename stored>
mt_status cross_entropy_total(mt_device *device, const mt_cross_entropy_total_args *args)
{
    typedef real_of<stored> real;
    return launch(device, "cross-entropy total", total_loss<real>, 1, TOTAL_THREADS,
                  WARP * sizeof(double), args->N, args->rows, static_cast<real *>(args->loss),
                  static_cast<real *>(args->stats), static_cast<real *>(args->share));
}

template <typename stored>
mt_status cross_entropy_forward(mt_device *device, const mt_cross_entropy_forward_args *args)
{
    void *memory = args->rows;
    mt_status status = MT_OK;
    if (memory == nullptr) {
        status =
            workspace(device, static_cast<size_t>(args->N) * sizeof(mt_cross_entropy_row), &memory);
    }
    mt_cross_entropy_row *rows = static_cast<mt_cross_entropy_row *>(memory);
    if (status == MT_OK) {
        status = launch(device, "cross-entropy", row_losses<stored>, row_blocks(device, args->N),
                        LOSS_THREADS, 0, args->N, args->V, args->ignore_index,
                        args->label_smoothing, static_cast<const stored *>(args->logits),
                        args->targets, static_cast<real_of<stored> *>(args->lse), args->top, rows,
                        args->first_row, of(device)->findings);
    }
    const mt_cross_entropy_total_args total = {args->N, rows, args->loss, args->stats, nullptr};
    return status == MT_OK && args->loss != nullptr ? cross_entropy_total<stored>(device, &total)
                                                    : status;
}

template <typename stored>
mt_status cross_entropy_backward(mt_device *device, const mt_cross_entropy_backward_args *args)
{
    typedef real_of<stored> real;
    return launch(device, "cross-entropy backward", logit_grads<stored>,
                  row_blocks(device, args->N), LOSS_THREADS, 0, args->N, args->V,
                  args->ignore_index, static_cast<real>(args->label_smoothing),
                  static_cast<real>(args->l2wrap), static_cast<const stored *>(args->logits),
                  args->targets, static_cast<const real *>(args->lse), args->top,
                  static_cast<const real *>(args->stats), static_cast<const real *>(args->dloss),
                  static_cast<stored *>(args->dlogits));
}

INSTANTIATE(cross_entropy_forward)
INSTANTIATE(cross_entropy_total)
INSTANTIATE(cross_entropy_backward)

} // namespace mt_cuda
