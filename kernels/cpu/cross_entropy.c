/* Softmax cross-entropy, a row to a thread; what is summed over rows is summed in their order. */
#include "kernels/cpu/device.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/softmax.h"

#include "kernels/cross_entropy_formulas.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Tells if the target is the first of the largest logits. */
static int row_hit(const stored *logits, int32_t target, real largest)
{
    int before = 0;
    if (value(logits[target]) != largest) {
        return 0;
    }
#pragma omp simd reduction(+ : before)
    for (int32_t v = 0; v < target; v++) {
        before += value(logits[v]) == largest;
    }
    return before == 0;
}

static double row_mean(const stored *logits, int64_t V)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t v = 0; v < V; v++) {
        sum += (double)value(logits[v]);
    }
    return sum / (double)V;
}

/* The first of the largest logits; 0 where they are no numbers. */
static int32_t row_top(const stored *logits, int64_t V, real largest)
{
    int64_t v = 0;
    while (v < V && value(logits[v]) != largest) {
        v++;
    }
    return v < V ? (int32_t)v : 0;
}

static mt_cross_entropy_row row_loss(const mt_cross_entropy_forward_args *args, int64_t n)
{
    int64_t V = args->V;
    const stored *logits = (const stored *)args->logits + n * V;
    int32_t target = args->targets[n];
    real largest = row_max(logits, V);
    double lse = (double)largest + log(row_exp_sum(logits, largest, V));
    double smoothing = args->label_smoothing;
    double spread = smoothing > 0.0 ? smoothing * row_mean(logits, V) : 0.0;
    if (args->lse != NULL) {
        ((real *)args->lse)[n] = (real)lse;
    }
    if (args->top != NULL) {
        args->top[n] = row_top(logits, V, largest);
    }
    double loss = mt_cross_entropy_loss(lse, (double)value(logits[target]), spread, smoothing);
    return (mt_cross_entropy_row){
        .loss = loss, .counted = 1, .hit = row_hit(logits, target, largest)};
}

static mt_status check_targets(const mt_cross_entropy_forward_args *args)
{
    for (int64_t n = 0; n < args->N; n++) {
        int32_t target = args->targets[n];
        if (target != args->ignore_index && (target < 0 || target >= args->V)) {
            return mt_fail(MT_ERROR_INVALID,
                           "cross_entropy: target %" PRId32 " at %" PRId64 ", not in 0 .. %" PRId64,
                           target, args->first_row + n, args->V - 1);
        }
    }
    return MT_OK;
}

typedef struct forward_loop {
    const mt_cross_entropy_forward_args *args;
    mt_cross_entropy_row *rows;
} forward_loop;

static void forward_rows(const void *loop, int64_t first, int64_t end)
{
    const mt_cross_entropy_row nothing = {.counted = 0};
    const forward_loop *of = loop;
    for (int64_t n = first; n < end; n++) {
        bool ignored = of->args->targets[n] == of->args->ignore_index;
        of->rows[n] = ignored ? nothing : row_loss(of->args, n);
    }
}

mt_status KERNEL(cross_entropy_total)(mt_device *device, const mt_cross_entropy_total_args *args)
{
    (void)device;
    double loss = 0.0;
    int64_t counted = 0, hits = 0;
    for (int64_t n = 0; n < args->N; n++) {
        loss += args->rows[n].loss;
        counted += args->rows[n].counted;
        hits += args->rows[n].hit;
    }
    *(real *)args->loss = (real)mt_cross_entropy_mean(loss, (double)counted);
    ((real *)args->stats)[0] = (real)counted;
    ((real *)args->stats)[1] = (real)hits;
    if (args->share != NULL) {
        *(real *)args->share = mt_cross_entropy_factor((real)1.0, (real)counted);
    }
    return MT_OK;
}

mt_status KERNEL(cross_entropy_forward)(mt_device *device,
                                        const mt_cross_entropy_forward_args *args)
{
    mt_cross_entropy_row *rows = args->rows;
    mt_status status = check_targets(args);
    if (status == MT_OK && rows == NULL) {
        status = mt_cpu_workspace(device, (size_t)args->N * sizeof *rows, (void **)&rows);
    }
    if (status != MT_OK) {
        return status;
    }
    forward_loop loop = {args, rows};
    mt_team_loop(args->N * args->V, args->N, forward_rows, &loop);
    const mt_cross_entropy_total_args total = {
        .N = args->N, .rows = rows, .loss = args->loss, .stats = args->stats};
    return args->loss != NULL ? KERNEL(cross_entropy_total)(device, &total) : MT_OK;
}

/* A logit's gradient that is stored already, with all its digits; `logit` is relative to lse. */
static inline real unrounded(stored kept, real factor, real logit, real spread)
{
    return sizeof(stored) == sizeof(real)
               ? value(kept)
               : mt_cross_entropy_grad(factor, real_exp_negative(logit), spread);
}

/* The numbers of a row and of all rows that its gradient is made of. */
typedef struct row_numbers {
    real factor, smoothing, spread, lse, l2wrap;
    real chosen, largest; /* logits of the target and of the top: dlogits may be logits */
} row_numbers;

/* What single logits have beside their probabilities: the target its share of the distribution to
 * be met, the largest L2Wrap's. Each is rounded once. */
static void add_shares(const row_numbers *row, int32_t target, int32_t top, stored *dlogits)
{
    real of_target = unrounded(dlogits[target], row->factor, row->chosen - row->lse, row->spread) -
                     row->factor * ((real)1.0 - row->smoothing);
    real of_top = mt_cross_entropy_l2wrap(row->factor, row->l2wrap, row->largest);
    if (top != target) {
        real before = unrounded(dlogits[top], row->factor, row->largest - row->lse, row->spread);
        dlogits[top] = rounded(before + of_top);
    }
    dlogits[target] = rounded(top == target ? of_target + of_top : of_target);
}

static void backward_rows(const void *loop, int64_t first, int64_t end)
{
    const mt_cross_entropy_backward_args *args = loop;
    int64_t V = args->V;
    const real *stats = args->stats, *dloss = args->dloss;
    row_numbers row = {.factor = mt_cross_entropy_factor(*dloss, stats[0]),
                       .smoothing = (real)args->label_smoothing,
                       .spread = (real)args->label_smoothing / (real)V,
                       .l2wrap = args->top != NULL ? (real)args->l2wrap : (real)0.0};
    for (int64_t n = first; n < end; n++) {
        const stored *logits = (const stored *)args->logits + n * V;
        stored *dlogits = (stored *)args->dlogits + n * V;
        int32_t target = args->targets[n];
        if (target == args->ignore_index) {
            memset(dlogits, 0, (size_t)V * sizeof *dlogits);
            continue;
        }
        int32_t top = args->top != NULL ? args->top[n] : target;
        const real factor = row.factor, lse = ((const real *)args->lse)[n], spread = row.spread;
        row.lse = lse;
        row.chosen = value(logits[target]);
        row.largest = value(logits[top]);
#pragma omp simd
        for (int64_t v = 0; v < V; v++) {
            real probability = real_exp_negative(value(logits[v]) - lse);
            dlogits[v] = rounded(mt_cross_entropy_grad(factor, probability, spread));
        }
        add_shares(&row, target, top, dlogits);
    }
}

mt_status KERNEL(cross_entropy_backward)(mt_device *device,
                                         const mt_cross_entropy_backward_args *args)
{
    (void)device;
    mt_team_loop(args->N * args->V, args->N, backward_rows, args);
    return MT_OK;
}
