/* Kernels that work element by element: one pass, in packs of 16 bytes. */
#include "kernels/cuda/kernels.cuh"

namespace mt_cuda
{

namespace
{

constexpr int MAP_THREADS = 256;

template <typename number, int COUNT> struct arrays {
    number *at[COUNT > 0 ? COUNT : 1];
};

/* out = f(in), element by element. An output may be an input; a NULL output is left out. */
template <int WIDTH, int INPUTS, int OUTPUTS, typename from, typename to, typename function,
          typename real = real_of<from>>
__global__ void __launch_bounds__(MAP_THREADS, ROOMY_BLOCKS)
    map_kernel(int64_t n, arrays<const from, INPUTS> in, arrays<to, OUTPUTS> out, function f)
{
    begin_kernel();
    for (int64_t i = global_thread() * WIDTH; i < n; i += global_threads() * WIDTH) {
        pack<from, WIDTH> x[INPUTS > 0 ? INPUTS : 1] = {};
        pack<to, WIDTH> y[OUTPUTS];
        if (i + WIDTH <= n) {
            for (int a = 0; a < INPUTS; a++) {
                x[a] = load<WIDTH>(in.at[a] + i);
            }
        }
        for (int k = 0; k < WIDTH && i + k < n; k++) {
            real given[INPUTS > 0 ? INPUTS : 1], made[OUTPUTS];
            for (int a = 0; a < INPUTS; a++) {
                given[a] = i + WIDTH <= n ? x[a].at[k] : in.at[a][i + k];
            }
            f(given, made);
            for (int a = 0; a < OUTPUTS; a++) {
                y[a].at[k] = made[a];
                if (i + WIDTH > n && out.at[a] != nullptr) {
                    out.at[a][i + k] = made[a];
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

template <int INPUTS, int OUTPUTS, typename from, typename to, typename function>
mt_status map(mt_device *device, const char *name, int64_t n, arrays<const from, INPUTS> in,
              arrays<to, OUTPUTS> out, function f)
{
    bool aligned = true;
    for (int a = 0; a < INPUTS; a++) {
        aligned = aligned && packable<from>(0, in.at[a]);
    }
    for (int a = 0; a < OUTPUTS; a++) {
        aligned = aligned && packable<to>(0, out.at[a]);
    }
    constexpr int WIDTH =
        full_width<from>() > full_width<to>() ? full_width<from>() : full_width<to>();
    return aligned
               ? launch(device, name, map_kernel<WIDTH, INPUTS, OUTPUTS, from, to, function>,
                        grid_for(device, parts_of(n, MAP_THREADS * WIDTH)), MAP_THREADS, 0, n, in,
                        out, f)
               : launch(device, name, map_kernel<1, INPUTS, OUTPUTS, from, to, function>,
                        grid_for(device, parts_of(n, MAP_THREADS)), MAP_THREADS, 0, n, in, out, f);
}

template <typename from, typename to, typename function>
mt_status map_one(mt_device *device, const char *name, int64_t n, const void *x, void *y,
                  function f)
{
    return map(device, name, n, arrays<const from, 1>{{static_cast<const from *>(x)}},
               arrays<to, 1>{{static_cast<to *>(y)}}, f);
}

template <typename stored, typename function>
mt_status map_two(mt_device *device, const char *name, int64_t n, const void *a, const void *b,
                  void *y, function f)
{
    return map(
        device, name, n,
        arrays<const stored, 2>{{static_cast<const stored *>(a), static_cast<const stored *>(b)}},
        arrays<stored, 1>{{static_cast<stored *>(y)}}, f);
}

/* The functions that are not defined by MAP_ONE and MAP_TWO below: from x to y. */
template <typename real> struct filling {
    real value;
    __device__ void operator()(const real *, real *y) const
    {
        y[0] = value;
    }
};

template <typename real> struct copying {
    __device__ void operator()(const real *x, real *y) const
    {
        y[0] = x[0];
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
template <int WIDTH, typename stored, typename real = real_of<stored>>
__global__ void __launch_bounds__(MAP_THREADS)
    bias_squared_relu(int64_t N, int64_t C, const stored *x, const real *bias, stored *y)
{
    begin_kernel();
    int64_t in_row = C / WIDTH, column = global_thread() % in_row,
            onward = global_threads() % in_row;
    for (int64_t i = global_thread(); i < N * in_row; i += global_threads()) {
        pack<stored, WIDTH> value = load<WIDTH>(x + i * WIDTH);
        pack<real, WIDTH> added = load<WIDTH>(bias + column * WIDTH);
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

template <typename stored> mt_status fill(mt_device *device, int64_t n, double value, void *y)
{
    typedef real_of<stored> real;
    return map(device, "fill", n, arrays<const stored, 0>{},
               arrays<stored, 1>{{static_cast<stored *>(y)}},
               filling<real>{static_cast<real>(value)});
}

template <typename stored> mt_status widen(mt_device *device, int64_t n, const void *x, void *y)
{
    typedef real_of<stored> real;
    return map_one<stored, real>(device, "widen", n, x, y, copying<real>{});
}

template <typename stored> mt_status narrow(mt_device *device, int64_t n, const void *x, void *y)
{
    typedef real_of<stored> real;
    return map_one<real, stored>(device, "narrow", n, x, y, copying<real>{});
}

template <typename stored>
mt_status scale(mt_device *device, int64_t n, double alpha, const void *x, void *y)
{
    typedef real_of<stored> real;
    return map_one<stored, stored>(device, "scale", n, x, y,
                                   scaling<real>{static_cast<real>(alpha)});
}

template <typename stored>
mt_status scale_by(mt_device *device, int64_t n, const void *alpha, const void *x, void *y)
{
    typedef real_of<stored> real;
    return map_one<stored, stored>(device, "scale", n, x, y,
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
    template <typename stored>                                                                     \
    mt_status name(mt_device *device, int64_t n, const void *x, void *y)                           \
    {                                                                                              \
        return map_one<stored, stored>(device, called, n, x, y,                                    \
                                       name##_function<real_of<stored>>{});                        \
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
    template <typename stored>                                                                     \
    mt_status name(mt_device *device, int64_t n, const void *a, const void *b, void *y)            \
    {                                                                                              \
        return map_two<stored>(device, called, n, a, b, y, name##_function<real_of<stored>>{});    \
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

template <typename stored>
mt_status squared_relu_forward(mt_device *device, int64_t N, int64_t C, const void *x,
                               const void *bias, void *y)
{
    typedef real_of<stored> real;
    const char *name = "squared relu";
    if (bias == nullptr) {
        return map_one<stored, stored>(device, name, N * C, x, y, squared_relu_of<real>{});
    }
    constexpr int WIDTH = full_width<stored>();
    bool packs = packable<stored>(C, x) && packable<real>(C, bias) && packable<stored>(C, y);
    int64_t threads = N * C / (packs ? WIDTH : 1);
    return launch(
        device, name, packs ? bias_squared_relu<WIDTH, stored> : bias_squared_relu<1, stored>,
        grid_for(device, parts_of(threads, MAP_THREADS)), MAP_THREADS, 0, N, C,
        static_cast<const stored *>(x), static_cast<const real *>(bias), static_cast<stored *>(y));
}

template <typename stored>
mt_status sigmoid_gate_backward(mt_device *device, int64_t n, const void *r, const void *x,
                                const void *dy, void *dr, void *dx)
{
    return map(
        device, "sigmoid gate backward", n,
        arrays<const stored, 3>{{static_cast<const stored *>(r), static_cast<const stored *>(x),
                                 static_cast<const stored *>(dy)}},
        arrays<stored, 2>{{static_cast<stored *>(dr), static_cast<stored *>(dx)}},
        sigmoid_gate_grad<real_of<stored>>{});
}

INSTANTIATE(fill)
INSTANTIATE(widen)
INSTANTIATE(narrow)
INSTANTIATE(scale)
INSTANTIATE(scale_by)
INSTANTIATE(squared_relu_forward)
INSTANTIATE(sigmoid_gate_backward)

} // namespace mt_cuda
