// The WKV operator on plain arrays from C++: a forward and a backward pass, and one derivative
// beside its central difference.
#include <mixtape/wkv.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace
{

constexpr int64_t B = 2, T = 5, C = 16;

using Device = std::unique_ptr<mt_device, decltype(&mt_device_close)>;
using Array = std::vector<double>;

void check(mt_status status)
{
    if (status != MT_OK) {
        throw std::runtime_error(mt_error_message());
    }
}

Device open(const char *name)
{
    mt_device *device = nullptr;
    check(mt_device_open(name, &device));
    return {device, mt_device_close};
}

// Fills in y, and in `saved` what backward needs.
void forward(mt_device *device, const Array &w, const Array &u, const Array &k, const Array &v,
             Array &y, std::vector<char> &saved)
{
    mt_wkv_forward_args args{};
    args.B = B;
    args.T = T;
    args.C = C;
    args.w = w.data();
    args.u = u.data();
    args.k = k.data();
    args.v = v.data();
    args.y = y.data();
    args.saved = saved.data();
    check(mt_wkv_forward(device, nullptr, MT_F64, &args));
}

// dk, where the loss is the sum of y.
Array key_gradient(mt_device *device, const Array &w, const Array &u, const Array &k,
                   const Array &v, const std::vector<char> &saved)
{
    const Array dy(k.size(), 1.0);
    Array dw(C), du(C), dk(k.size()), dv(k.size());
    mt_wkv_backward_args args{};
    args.B = B;
    args.T = T;
    args.C = C;
    args.w = w.data();
    args.u = u.data();
    args.k = k.data();
    args.v = v.data();
    args.saved = saved.data();
    args.dy = dy.data();
    args.dw = dw.data();
    args.du = du.data();
    args.dk = dk.data();
    args.dv = dv.data();
    check(mt_wkv_backward(device, nullptr, MT_F64, &args));
    return dk;
}

} // namespace

int main()
try {
    const Device device = open("cpu");
    const Array w(C, -0.5), u(C, 0.3);
    Array k(B * T * C), v(k.size()), y(k.size());
    for (size_t i = 0; i < k.size(); i++) {
        k[i] = std::sin(static_cast<double>(i));
        v[i] = std::cos(2.0 * static_cast<double>(i));
    }
    std::vector<char> saved(mt_wkv_saved_size(device.get(), MT_F64, B, T, C));
    const auto loss = [&] {
        forward(device.get(), w, u, k, v, y, saved);
        return std::accumulate(y.begin(), y.end(), 0.0);
    };
    loss();
    const Array dk = key_gradient(device.get(), w, u, k, v, saved);
    constexpr double h = 1e-6;
    constexpr size_t at = 7;
    k[at] += h;
    const double above = loss();
    k[at] -= 2.0 * h;
    const double numeric = (above - loss()) / (2.0 * h);
    std::printf("d loss / d k[%zu]: %.9f by backward, %.9f by a central difference\n", at, dk[at],
                numeric);
    return std::fabs(dk[at] - numeric) < 1e-8 ? 0 : 1;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
