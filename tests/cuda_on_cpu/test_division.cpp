/* Divisions as multiplications, for each divisor where rounding is most likely to go wrong. */
#include "tests/check_main.h"

#include "kernels/cuda/cuda.cuh"

#include <limits>

template <typename number> static void check_quotient(number n, number divisor)
{
    number quotient = mt_cuda::divide_by(divisor).of(n);
    ck_assert_msg(quotient == n / divisor, "%lld / %lld is %lld, not %lld",
                  static_cast<long long>(n), static_cast<long long>(divisor),
                  static_cast<long long>(quotient), static_cast<long long>(n / divisor));
}

template <typename number> static void check_around_multiples(number divisor)
{
    const number most = std::numeric_limits<number>::max(), largest = most / divisor;
    for (number factor : {number(0), number(1), number(2), number(3), largest / 2, largest}) {
        number multiple = factor <= largest ? factor * divisor : 0;
        check_quotient(multiple, divisor);
        check_quotient(multiple > 0 ? multiple - 1 : 0, divisor);
        check_quotient(multiple < most ? multiple + 1 : most, divisor);
    }
    check_quotient(most, divisor);
}

template <typename number> static void check_quotients(void)
{
    const number most = std::numeric_limits<number>::max();
    for (number divisor = 1; divisor <= 5000; divisor++) {
        check_around_multiples(divisor);
    }
    for (int bits = 12; bits < std::numeric_limits<number>::digits; bits++) {
        for (number beside : {number(-1), number(0), number(1)}) {
            check_around_multiples((number(1) << bits) + beside);
        }
    }
    check_around_multiples<number>(most - 1);
    check_around_multiples<number>(most);
}

START_TEST(test_quotients_are_those_of_division)
{
    check_quotients<int>();
    check_quotients<int64_t>();
}
END_TEST

static Suite *division_suite(void)
{
    const TTest *const tests[] = {test_quotients_are_those_of_division};
    return suite_of("division", nullptr, nullptr, 1, tests);
}

MT_TEST_MAIN(division_suite)
