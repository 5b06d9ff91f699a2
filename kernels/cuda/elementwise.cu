/* Kernels that work element by element: one pass, in packs of 16 bytes. */
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int MAP_THREADS = 256;

template <typename real, int COUNT> struct arrays {
    real *at[COUNT > 0 ? COUNT : 1];
};

/* out = f(in), element by element. An output may be an input; a NULL output is left out. */
template <int WIDTH, int INPUTS, int OUTPUTS, typename real, typename function>
__global__ void __launch_bounds__(MAP_THREADS)
    map_kernel(int64_t n, arrays<const real, INPUTS> in, arrays<real, OUTPUTS> out, function f)
{
    for (int64_t i = global_thread() * WIDTH; i < n; i += global_threads() * WIDTH) {
        pack<real, WIDTH> x[INPUTS > 0 ? INPUTS : 1] = {}, y[OUTPUTS];
        if (i + WIDTH <= n) {
            for (int a = 0; a < INPUTS; a++) {
                x[a] = load<WIDTH>(in.at[a] + i);
            }
        }
        for (int k = 0; k < WIDTH && i + k < n; k++) {
            real from[INPUTS > 0 ? INPUTS : 1], to[OUTPUTS];
            for (int a = 0; a < INPUTS; a++) {
                from[a] = i + WIDTH <= n ? x[a].at[k] : in.at[a][i + k];
            }
            f(from, to);
            for (int a = 0; a < OUTPUTS; a++) {
                y[a].at[k] = to[a];
                if (i + WIDTH > n && out.at[a] != nullptr) {
                    out.at[a][i + k] = to[a];
                }
            }
        }
        for (int a = 0; a < OUTPUTS && i + WIDTH <= n; a++) {
            if (out.at[a] != nullptr) {
                store(out.at[a] + i, y[a]);
            }
        }
    }
}

template <int INPUTS, int OUTPUTS, typename real, typename function>
mt_status map(mt_device *device, const char *name, int64_t n, arrays<const real, INPUTS> in,
              arrays<real, OUTPUTS> out, function f)
{
    bool aligned = true;
    for (int a = 0; a < INPUTS; a++) {
        aligned = aligned && packable<real>(0, in.at[a]);
    }
    for (int a = 0; a < OUTPUTS; a++) {
        aligned = aligned && packable<real>(0, out.at[a]);
    }
    constexpr int WIDTH = full_width<real>();
    return aligned
               ? launch(device, name, map_kernel<WIDTH, INPUTS, OUTPUTS, real, function>,
                        grid_for(device, parts_of(n, MAP_THREADS * WIDTH)), MAP_THREADS, 0, n, in,
                        out, f)
               : launch(device, name, map_kernel<1, INPUTS, OUTPUTS, real, function>,
                        grid_for(device, parts_of(n, MAP_THREADS)), MAP_THREADS, 0, n, in, out, f);
}

template <typename real, typename function>
mt_status map_one(mt_device *device, const char *name, int64_t n, const void *x, void *y,
                  function f)
{
    return map(device, name, n, arrays<const real, 1>{{static_cast<const real *>(x)}},
               arrays<real, 1>{{static_cast<real *>(y)}}, f);
}

template <typename real, typename function>
mt_status map_two(mt_device *device, const char *name, int64_t n, const void *a, const void *b,
                  void *y, function f)
{
    return map(device, name, n,
               arrays<const real, 2>{{static_cast<const real *>(a), static_cast<const real *>(b)}},
               arrays<real, 1>{{static_cast<real *>(y)}}, f);
}

/* The functions that are not defined by MAP_ONE and MAP_TWO below: from x to y. */
template <typename real> struct filling {
    real value;
    __device__ void operator()(const real *, real *y) const
    {
        y[0] = value;
    }
};

template <typename real> struct scaling {
    real factor;
    __device__ void operator()(const real *x, real *y) const
    {
        y[0] = factor * x[0];
    }
};

template <typename real> struct scaling_by {
    const real *factor; /* on the device */
    __device__ void operator()(const real *x, real *y) const
    {
        y[0] = *factor * x[0];
    }
};

/* The normal distribution, at 0 with variance 1: the share below x, and the density there. The
 * share in float64 takes so many registers that a second copy of it would spill them. */
template <typename real> [[gnu::noinline]] __device__ real normal_cdf(real x)
{
    return real(0.5) * erfc(x * real(-0.70710678118654752));
}

template <typename real> __device__ inline real normal_pdf(real x)
{
    return real(0.39894228040143268) * exp(real(-0.5) * x * x);
}

template <typename real> __device__ inline real squared_relu(real x)
{
    real positive = x < real(0) ? real(0) : x;
    return positive * positive;
}

template <typename real> struct squared_relu_of {
    __device__ void operator()(const real *x, real *y) const
    {
        y[0] = squared_relu(x[0]);
    }
};

/* y = max(x + bias, 0)^2, pack by pack; a thread's place in the row is kept, to divide once. */
template <int WIDTH, typename real>
__global__ void __launch_bounds__(MAP_THREADS)
    bias_squared_relu(int64_t N, int64_t C, const real *x, const real *bias, real *y)
{
    int64_t in_row = C / WIDTH, column = global_thread() % in_row,
            onward = global_threads() % in_row;
    for (int64_t i = global_thread(); i < N * in_row; i += global_threads()) {
        pack<real, WIDTH> value = load<WIDTH>(x + i * WIDTH),
                          added = load<WIDTH>(bias + column * WIDTH);
        for (int k = 0; k < WIDTH; k++) {
            value.at[k] = squared_relu(value.at[k] + added.at[k]);
        }
        store(y + i * WIDTH, value);
        column += onward;
        column -= column >= in_row ? in_row : 0;
    }
}

template <typename real> struct sigmoid_gate_grad {
    __device__ void operator()(const real *r_x_dy, real *dr_dx) const
    {
        real gate = sigmoid(r_x_dy[0]);
        dr_dx[0] = r_x_dy[2] * r_x_dy[1] * gate * (real(1) - gate);
        dr_dx[1] = r_x_dy[2] * gate;
    }
};

} // namespace

template <typename real> mt_status fill(mt_device *device, int64_t n, double value, void *y)
{
    return map(device, "fill", n, arrays<const real, 0>{},
               arrays<real, 1>{{static_cast<real *>(y)}}, filling<real>{static_cast<real>(value)});
}

template <typename real>
mt_status scale(mt_device *device, int64_t n, double alpha, const void *x, void *y)
{
    return map_one<real>(device, "scale", n, x, y, scaling<real>{static_cast<real>(alpha)});
}

template <typename real>
mt_status scale_by(mt_device *device, int64_t n, const void *alpha, const void *x, void *y)
{
    return map_one<real>(device, "scale", n, x, y,
                         scaling_by<real>{static_cast<const real *>(alpha)});
}

/* Defines a kernel y = f(x), or y = f(a, b), from the expression of an element; `called` is its
 * name in a trace. */
#define MAP_ONE(name, called, expression)                                                          \
    template <typename real> struct name##_function {                                              \
        __device__ void operator()(const real *in, real *y) const                                  \
        {                                                                                          \
            real x = in[0];                                                                        \
            y[0] = expression;                                                                     \
        }                                                                                          \
    };                                                                                             \
    template <typename real> mt_status name(mt_device *device, int64_t n, const void *x, void *y)  \
    {                                                                                              \
        return map_one<real>(device, called, n, x, y, name##_function<real>{});                    \
    }                                                                                              \
    INSTANTIATE(name)
#define MAP_TWO(name, called, expression)                                                          \
    template <typename real> struct name##_function {                                              \
        __device__ void operator()(const real *in, real *y) const                                  \
        {                                                                                          \
            real a = in[0], b = in[1];                                                             \
            y[0] = expression;                                                                     \
        }                                                                                          \
    };                                                                                             \
    template <typename real>                                                                       \
    mt_status name(mt_device *device, int64_t n, const void *a, const void *b, void *y)            \
    {                                                                                              \
        return map_two<real>(device, called, n, a, b, y, name##_function<real>{});                 \
    }                                                                                              \
    INSTANTIATE(name)

MAP_TWO(add, "add", a + b)
MAP_TWO(subtract, "subtract", a - b)
MAP_TWO(multiply, "multiply", a *b)
MAP_TWO(divide, "divide", a / b)
MAP_ONE(exp_forward, "exp", exp(x))
MAP_ONE(negative_exp_forward, "negative exp", -exp(x))
MAP_ONE(log_forward, "log", log(x))
MAP_ONE(sigmoid_forward, "sigmoid", sigmoid(x))
MAP_ONE(tanh_forward, "tanh", tanh(x))
MAP_ONE(relu_forward, "relu", x <= real(0) ? real(0) : x)
MAP_ONE(gelu_forward, "gelu", x *normal_cdf(x))
MAP_TWO(sigmoid_gate_forward, "sigmoid gate", sigmoid(a) * b)

/* Of a, the output or for gelu the input, and its gradient b. */
MAP_TWO(sigmoid_backward, "sigmoid backward", b *a *(real(1) - a))
MAP_TWO(tanh_backward, "tanh backward", b *(real(1) - a * a))
MAP_TWO(relu_backward, "relu backward", a > real(0) ? b : real(0))
MAP_TWO(gelu_backward, "gelu backward", b *fma(a, normal_pdf(a), normal_cdf(a)))
MAP_TWO(squared_relu_backward, "squared relu backward", real(2) * sqrt(a) * b)

template <typename real>
mt_status squared_relu_forward(mt_device *device, int64_t N, int64_t C, const void *x,
                               const void *bias, void *y)
{
    const char *name = "squared relu";
    if (bias == nullptr) {
        return map_one<real>(device, name, N * C, x, y, squared_relu_of<real>{});
    }
    constexpr int WIDTH = full_width<real>();
    bool packs = packable<real>(C, x) && packable<real>(C, bias) && packable<real>(C, y);
    int64_t threads = N * C / (packs ? WIDTH : 1);
    return launch(device, name, packs ? bias_squared_relu<WIDTH, real> : bias_squared_relu<1, real>,
                  grid_for(device, parts_of(threads, MAP_THREADS)), MAP_THREADS, 0, N, C,
                  static_cast<const real *>(x), static_cast<const real *>(bias),
                  static_cast<real *>(y));
}

template <typename real>
mt_status sigmoid_gate_backward(mt_device *device, int64_t n, const void *r, const void *x,
                                const void *dy, void *dr, void *dx)
{
    return map(device, "sigmoid gate backward", n,
               arrays<const real, 3>{{static_cast<const real *>(r), static_cast<const real *>(x),
                                      static_cast<const real *>(dy)}},
               arrays<real, 2>{{static_cast<real *>(dr), static_cast<real *>(dx)}},
               sigmoid_gate_grad<real>{});
}

INSTANTIATE(fill)
INSTANTIATE(scale)
INSTANTIATE(scale_by)
INSTANTIATE(squared_relu_forward)
INSTANTIATE(sigmoid_gate_backward)

} // namespace mt_cuda
