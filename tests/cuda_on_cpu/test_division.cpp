/* Divisions as multiplications, for each divisor where rounding is most likely to go wrong. */
#include "tests/check_main.h"

#include "kernels/cuda/wkv_chain.cuh"

#include <limits.h>

static void check_quotient(int n, int divisor)
{
    int quotient = mt_cuda::divide_by(divisor).of(n);
    ck_assert_msg(quotient == n / divisor, "%d / %d is %d, not %d", n, divisor, quotient,
                  n / divisor);
}

static void check_around_multiples(int divisor)
{
    const int largest = INT_MAX / divisor, factors[] = {0, 1, 2, 3, largest / 2, largest};
    for (int factor : factors) {
        int multiple = factor <= largest ? factor * divisor : 0;
        check_quotient(multiple, divisor);
        check_quotient(multiple > 0 ? multiple - 1 : 0, divisor);
        check_quotient(multiple < INT_MAX ? multiple + 1 : INT_MAX, divisor);
    }
    check_quotient(INT_MAX, divisor);
}

START_TEST(test_quotients_are_those_of_division)
{
    for (int divisor = 1; divisor <= 5000; divisor++) {
        check_around_multiples(divisor);
    }
    for (int bits = 12; bits < 31; bits++) {
        check_around_multiples((1 << bits) - 1);
        check_around_multiples(1 << bits);
        check_around_multiples((1 << bits) + 1);
    }
    check_around_multiples(INT_MAX - 1);
    check_around_multiples(INT_MAX);
}
END_TEST

static Suite *division_suite(void)
{
    const TTest *const tests[] = {test_quotients_are_those_of_division};
    return suite_of("division", nullptr, nullptr, 1, tests);
}

MT_TEST_MAIN(division_suite)
