/* The sweep's inputs, which the device and the host make alike, and WKV as a plain loop in double
 * precision, with sums that are not scaled, to check the kernels against. Internal to
 * gpu_sweep.cu. */
#ifndef MT_BENCH_PLAIN_WKV_CUH
#define MT_BENCH_PLAIN_WKV_CUH

#include <mixtape/kernels/wkv.h>

#include "kernels/cuda/cuda.cuh"

#include <vector>

namespace mt_bench
{

enum input { INPUT_W, INPUT_U, INPUT_K, INPUT_V, INPUT_DY, INPUT_STATE, INPUT_DSTATE };

/* Between -1 and 1: a hash of the two numbers (the finalizer of MurmurHash3). */
__host__ __device__ inline float noise(unsigned seed, int64_t i)
{
    unsigned x = static_cast<unsigned>(i) * 0x9E3779B1u + (seed + 1) * 0x85EBCA6Bu;
    x = (x ^ x >> 16) * 0x85EBCA6Bu;
    x = (x ^ x >> 13) * 0xC2B2AE35u;
    x ^= x >> 16;
    return static_cast<float>(x >> 8) * (2.0f / 16777216.0f) - 1.0f;
}

/* Element i of an input. `states` is B C, the length of a plane of a state. Some w are close to 0,
 * so that much of what lies thousands of steps back still counts. */
__host__ __device__ inline float input_at(input which, int64_t i, int64_t states)
{
    float x = noise(static_cast<unsigned>(which), i);
    switch (which) {
    case INPUT_W:
        return -2.0f * x * x;
    case INPUT_K:
        return 3.0f * x;
    case INPUT_STATE:
        return i / states == 1 ? x + 1.5f : x; /* den is positive */
    default:
        return x;
    }
}

/* The outputs of WKV for one channel, in every batch row. */
struct plain_channel {
    std::vector<double> y, dk, dv;        /* (B, T) */
    std::vector<double> state, dstate_in; /* (3, B), the third plane of dstate_in zero */
    double dw, du;
};

/* With a state given and a gradient of the last state, or neither. The formulas of kernels/wkv.h
 * and docs/mathematics.md, num and den as they stand there. */
inline plain_channel plain_wkv(int64_t B, int64_t T, int64_t C, int64_t c, bool carried)
{
    size_t n = static_cast<size_t>(B * T), rows = static_cast<size_t>(B);
    plain_channel all = {std::vector<double>(n),
                         std::vector<double>(n),
                         std::vector<double>(n),
                         std::vector<double>(3 * rows),
                         std::vector<double>(3 * rows),
                         0.0,
                         0.0};
    double w = input_at(INPUT_W, c, 0), u = input_at(INPUT_U, c, 0), decay = exp(w);
    std::vector<double> num(static_cast<size_t>(T) + 1), den(static_cast<size_t>(T) + 1);
    for (int64_t b = 0; b < B; b++) {
        size_t row = static_cast<size_t>(b), first = row * static_cast<size_t>(T);
        int64_t lane = b * C + c, states = B * C;
        double max = MT_WKV_EMPTY_MAX, first_max = 0.0, G = 0.0, H = 0.0;
        num[0] = den[0] = 0.0;
        if (carried) {
            max = first_max = input_at(INPUT_STATE, 2 * states + lane, states);
            num[0] = input_at(INPUT_STATE, lane, states) * exp(max);
            den[0] = input_at(INPUT_STATE, states + lane, states) * exp(max);
        }
        for (int64_t t = 0; t < T; t++) {
            size_t i = static_cast<size_t>(t);
            double k = input_at(INPUT_K, (b * T + t) * C + c, 0);
            double v = input_at(INPUT_V, (b * T + t) * C + c, 0), e = exp(u + k);
            all.y[first + i] = (num[i] + e * v) / (den[i] + e);
            num[i + 1] = decay * num[i] + exp(k) * v;
            den[i + 1] = decay * den[i] + exp(k);
            max = fmax(max + w, k);
        }
        all.state[row] = num[static_cast<size_t>(T)] * exp(-max);
        all.state[rows + row] = den[static_cast<size_t>(T)] * exp(-max);
        all.state[2 * rows + row] = max;
        if (carried) {
            G = input_at(INPUT_DSTATE, lane, states) * exp(-max);
            H = input_at(INPUT_DSTATE, states + lane, states) * exp(-max);
        }
        for (int64_t t = T - 1; t >= 0; t--) {
            size_t i = static_cast<size_t>(t);
            double k = input_at(INPUT_K, (b * T + t) * C + c, 0);
            double v = input_at(INPUT_V, (b * T + t) * C + c, 0), e = exp(u + k);
            double y = all.y[first + i];
            double q = input_at(INPUT_DY, (b * T + t) * C + c, 0) / (den[i] + e);
            all.dv[first + i] = q * e + exp(k) * G;
            all.dk[first + i] = q * e * (v - y) + exp(k) * (G * v + H);
            all.du += q * e * (v - y);
            all.dw += decay * (G * num[i] + H * den[i]);
            G = q + decay * G;
            H = -q * y + decay * H;
        }
        all.dstate_in[row] = G * exp(first_max);
        all.dstate_in[rows + row] = H * exp(first_max);
    }
    return all;
}

} // namespace mt_bench

#endif
