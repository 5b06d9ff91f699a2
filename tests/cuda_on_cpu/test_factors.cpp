/* WKV's factors: found directly, as forward finds them, and out of the one number that backward
 * keeps, they have the same bits. */
#define MT_WKV_DIRECT_FACTORS 1
#include "kernels/cuda/wkv_chain.cuh"
#include "tests/check_main.h"

#include <float.h>

#include <vector>

using mt_cuda::factors;

template <typename real> static void check_factors(real a, real b)
{
    factors<real> direct = mt_cuda::find_factors(a, b);
    factors<real> packed = mt_cuda::factors_of(mt_cuda::find_exponential(a, b));
    ck_assert_msg(memcmp(&direct, &packed, sizeof direct) == 0,
                  "of %.17g and %.17g: (%.17g, %.17g) directly, (%.17g, %.17g) out of one number",
                  double(a), double(b), double(direct.a), double(direct.b), double(packed.a),
                  double(packed.b));
    ck_assert((a < b ? direct.b : direct.a) == real(1));
    ck_assert((a < b ? direct.a : direct.b) <= real(1));
}

/* Maxima and keys: ordinary ones, neighbours, those of an empty state, and the largest. */
template <typename real> static void check_all_pairs(void)
{
    std::vector<real> numbers = {static_cast<real>(MT_WKV_EMPTY_MAX),
                                 real(0),
                                 -real(0),
                                 real(FLT_MIN),
                                 real(FLT_MAX),
                                 -real(FLT_MAX)};
    for (real number = real(1e-6); number < real(2e4); number *= real(1.37)) {
        numbers.insert(numbers.end(), {number, -number, nextafter(number, real(0))});
    }
    for (real a : numbers) {
        for (real b : numbers) {
            check_factors(a, b);
        }
        check_factors(a, static_cast<real>(-INFINITY)); /* what an infinite decay leaves */
        check_factors(static_cast<real>(-INFINITY), a);
    }
}

START_TEST(test_factors_have_the_same_bits_either_way)
{
    check_all_pairs<float>();
    check_all_pairs<double>();
}
END_TEST

/* What a step returns for the way back are the factors that it took. */
template <typename real> static void check_update(real max, real k)
{
    const real w = real(-0.25), v = real(0.5);
    mt_cuda::state_triple<real> before = {real(0.75), real(1.5), max}, after = before;
    factors<real> of = mt_cuda::factors_of(mt_cuda::update(&after, w, k, v));
    mt_cuda::state_triple<real> again = {fma(of.a, before.num, of.b * v),
                                         fma(of.a, before.den, of.b), fmax(max + w, k)};
    ck_assert_mem_eq(&after, &again, sizeof after);
}

START_TEST(test_a_step_returns_the_factors_that_it_took)
{
    for (int i = -3000; i <= 3000; i++) {
        check_update(0.25f, static_cast<float>(i) / 37.0f);
        check_update(0.25, i / 37.0);
    }
}
END_TEST

static Suite *factors_suite(void)
{
    const TTest *const tests[] = {test_factors_have_the_same_bits_either_way,
                                  test_a_step_returns_the_factors_that_it_took};
    return suite_of("factors", nullptr, nullptr, 2, tests);
}

MT_TEST_MAIN(factors_suite)
