/* Copies that are looked through and summed on the way: each build does what is plain. */
#include "kernels/cpu/summed_copy.h"
#include "tests/check_main.h"

#include <mixtape/device.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 14, OFFSETS = 64 };

/* Two sums, number by number: 0 for zeros alone, and 65535 for what else is 0. */
static void plain_sums(const unsigned char *bytes, size_t size, uint64_t sums[2])
{
    uint64_t first = 0, second = 0;
    for (size_t i = 0; i < size; i += 2) {
        first += bytes[i] + 256U * (i + 1 < size ? bytes[i + 1] : 0U);
        first = first > 65535 ? first - 65535 : first;
        second += first;
        second = second > 65535 ? second - 65535 : second;
    }
    sums[0] = first;
    sums[1] = second;
}

static void set(mt_dtype dtype, void *reals, size_t i, double value)
{
    if (dtype == MT_F64) {
        memcpy((double *)reals + i, &value, sizeof value);
    } else {
        float single = (float)value;
        memcpy((float *)reals + i, &single, sizeof single);
    }
}

static void fill(mt_dtype dtype, void *reals)
{
    for (size_t i = 0; i < MOST / mt_dtype_size(dtype); i++) {
        set(dtype, reals, i, sin((double)i) * exp((double)(i % 64) - 30));
    }
}

/* ---- of every build ---- */

typedef void check_build(mt_dtype dtype, mt_summed_copy *copy);

static void for_each_build(check_build *check)
{
    static const char *const isas[] = {"avx512", "avx2", "baseline"};
    int checked = 0;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        setenv("MIXTAPE_ISA", isas[i], 1);
        if (strcmp(mt_cpu_isa(), isas[i]) == 0) {
            check(MT_F32, mt_cpu_summed_copy(MT_F32));
            check(MT_F64, mt_cpu_summed_copy(MT_F64));
            checked++;
        }
    }
    unsetenv("MIXTAPE_ISA");
    ck_assert_int_gt(checked, 0);
}

static const size_t sizes[] = {0, 1, 2, 8, 510, 511, 512, 513, 520, 1024, 5000, 10240, 10247};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* What lies around the copy stays what it was; from and to memory of any alignment. */
static void check_copies(mt_dtype dtype, mt_summed_copy *copy)
{
    static unsigned char from[MOST], kept[MOST];
    static _Alignas(64) unsigned char to[MOST];
    uint64_t sums[2], plain[2];
    fill(dtype, from);
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t offset = 0; offset < OFFSETS; offset += 1 + offset % 8) {
            const size_t behind = offset + sizes[i];
            memset(to, 0x55, sizeof to);
            memcpy(kept, to, sizeof to);
            memcpy(kept + offset, from + OFFSETS - offset, sizes[i]);
            copy(sizes[i], from + OFFSETS - offset, to + offset, -HUGE_VAL, sums);
            ck_assert_mem_eq(to, kept, behind + OFFSETS);
            plain_sums(kept + offset, sizes[i], plain);
            ck_assert_uint_eq(sums[0], plain[0]);
            ck_assert_uint_eq(sums[1], plain[1]);
            memset(to, 0x55, sizeof to);
            copy(sizes[i], from + OFFSETS - offset, to + offset, -HUGE_VAL, NULL);
            ck_assert_mem_eq(to, kept, behind + OFFSETS);
        }
    }
}

START_TEST(test_a_copy_is_what_was_copied_with_its_sums)
{
    for_each_build(check_copies);
}
END_TEST

static void check_in_place(mt_dtype dtype, mt_summed_copy *copy)
{
    static unsigned char bytes[MOST], kept[MOST];
    uint64_t sums[2], plain[2];
    fill(dtype, bytes);
    memcpy(kept, bytes, sizeof bytes);
    plain_sums(bytes, sizeof bytes, plain);
    for (int in_place = 0; in_place < 2; in_place++) {
        ck_assert(copy(sizeof bytes, bytes, in_place ? bytes : NULL, -HUGE_VAL, sums));
        ck_assert_mem_eq(bytes, kept, sizeof bytes);
        ck_assert_uint_eq(sums[0], plain[0]);
        ck_assert_uint_eq(sums[1], plain[1]);
    }
}

START_TEST(test_bytes_are_summed_where_they_are)
{
    for_each_build(check_in_place);
}
END_TEST

static void check_extremes(mt_dtype dtype, mt_summed_copy *copy)
{
    static unsigned char bytes[MOST];
    uint64_t sums[2], plain[2];
    (void)dtype;
    for (int value = 0; value <= 255; value += 51) { /* zeros to the largest numbers */
        memset(bytes, value, sizeof bytes);
        copy(sizeof bytes, bytes, NULL, 0.0, sums);
        plain_sums(bytes, sizeof bytes, plain);
        ck_assert_uint_eq(sums[0], plain[0]);
        ck_assert_uint_eq(sums[1], plain[1]);
    }
}

START_TEST(test_sums_of_the_largest_numbers_do_not_overflow)
{
    for_each_build(check_extremes);
}
END_TEST

typedef struct looked_at {
    double value, least;
    bool is_fine;
} looked_at;

/* One value among others, at every place of a stretch and of the rest. */
static void check_values(mt_dtype dtype, mt_summed_copy *copy)
{
    const double greatest = dtype == MT_F64 ? 1.7976931348623157e308 : 3.4028234663852886e38;
    const looked_at values[] = {
        {NAN, -HUGE_VAL, false},
        {HUGE_VAL, -HUGE_VAL, false},
        {-HUGE_VAL, -HUGE_VAL, false},
        {greatest, -HUGE_VAL, true},
        {-greatest, -HUGE_VAL, true},
        {-1e-30, 0.0, false},
        {-0.0, 0.0, true},
        {0.0, 0.0, true},
        {NAN, 0.0, false},
        {HUGE_VAL, 0.0, false},
        {-1e-30, -HUGE_VAL, true},
        {greatest, 0.0, true},
    };
    static unsigned char bytes[1024 + 248], to[sizeof bytes];
    uint64_t sums[2];
    const size_t count = sizeof bytes / mt_dtype_size(dtype);
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        for (size_t at = 0; at < count; at++) {
            memset(bytes, 0, sizeof bytes);
            set(dtype, bytes, at, values[v].value);
            bool is_fine = copy(sizeof bytes, bytes, at % 2 ? to : NULL, values[v].least,
                                at % 4 < 2 ? sums : NULL);
            ck_assert_msg(is_fine == values[v].is_fine, "%g among values of at least %g, at %zu",
                          values[v].value, values[v].least, at);
        }
    }
}

START_TEST(test_a_value_that_is_not_finite_or_too_small_is_told_wherever_it_is)
{
    for_each_build(check_values);
}
END_TEST

static Suite *summed_copy_suite(void)
{
    Suite *suite = suite_create("kernels/summed_copy");
    TCase *tests = tcase_create("copies");
    tcase_add_test(tests, test_a_copy_is_what_was_copied_with_its_sums);
    tcase_add_test(tests, test_bytes_are_summed_where_they_are);
    tcase_add_test(tests, test_sums_of_the_largest_numbers_do_not_overflow);
    tcase_add_test(tests, test_a_value_that_is_not_finite_or_too_small_is_told_wherever_it_is);
    suite_add_tcase(suite, tests);
    return suite;
}

MT_TEST_MAIN(summed_copy_suite)
