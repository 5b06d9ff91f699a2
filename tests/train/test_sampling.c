/* Symbols are drawn as often as their probabilities say, from those that are kept. */
#include <mixtape/random.h>
#include <mixtape/sampling.h>

#include "kernels/bfloat16.h"
#include "tests/check_main.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { V = 6, DRAWS = 40000 };

static const double logits[V] = {0.0, 2.0, -1.0, 2.0, 0.5, -30.0};

static mt_sampler *make(mt_sampling sampling, uint64_t seed)
{
    mt_sampler *sampler;
    ck_assert_msg(mt_sampler_create(&sampling, V, seed, &sampler) == MT_OK, "%s",
                  mt_error_message());
    return sampler;
}

static int32_t draw(mt_sampler *sampler)
{
    int32_t symbol;
    ck_assert_msg(mt_sampler_draw(sampler, MT_F64, logits, &symbol) == MT_OK, "%s",
                  mt_error_message());
    ck_assert(symbol >= 0 && symbol < V);
    return symbol;
}

/* Draws many, and asserts that shares are within five standard deviations of those expected. */
static void assert_shares(mt_sampler *sampler, const double *weights)
{
    int counts[V] = {0};
    double sum = 0.0;
    for (int i = 0; i < V; i++) {
        sum += weights[i];
    }
    for (int i = 0; i < DRAWS; i++) {
        counts[draw(sampler)]++;
    }
    for (int i = 0; i < V; i++) {
        double p = weights[i] / sum, deviation = sqrt(p * (1.0 - p) / DRAWS);
        ck_assert_msg(fabs(counts[i] / (double)DRAWS - p) <= 5.0 * deviation,
                      "symbol %d was drawn %d times, its share is %g", i, counts[i], p);
    }
    mt_sampler_destroy(sampler);
}

START_TEST(test_shares_are_those_of_softmax)
{
    double weights[V];
    for (int i = 0; i < V; i++) {
        weights[i] = exp(logits[i] / 1.5);
    }
    assert_shares(make((mt_sampling){.temperature = 1.5, .top_p = 1.0}, 1), weights);
}
END_TEST

START_TEST(test_top_k_keeps_the_likeliest)
{
    const double weights[V] = {0.0, exp(2.0), 0.0, exp(2.0), exp(0.5), 0.0};
    assert_shares(make((mt_sampling){.temperature = 1.0, .top_k = 3, .top_p = 1.0}, 2), weights);
}
END_TEST

/* The two likeliest have 0.83 of the whole, three have 0.92. */
START_TEST(test_top_p_keeps_the_fewest_that_have_the_share)
{
    const double two[V] = {0.0, 1.0, 0.0, 1.0, 0.0, 0.0};
    const double three[V] = {0.0, exp(2.0), 0.0, exp(2.0), exp(0.5), 0.0};
    assert_shares(make((mt_sampling){.temperature = 1.0, .top_p = 0.82}, 3), two);
    assert_shares(make((mt_sampling){.temperature = 1.0, .top_p = 0.84}, 4), three);
}
END_TEST

/* Of the three likeliest, two have 0.9. */
START_TEST(test_top_p_is_a_share_of_what_top_k_keeps)
{
    const double two[V] = {0.0, 1.0, 0.0, 1.0, 0.0, 0.0};
    assert_shares(make((mt_sampling){.temperature = 1.0, .top_k = 3, .top_p = 0.89}, 5), two);
}
END_TEST

START_TEST(test_forbidden_symbols_are_never_drawn)
{
    const double weights[V] = {1.0, 0.0, exp(-1.0), 0.0, exp(0.5), exp(-30.0)};
    mt_sampler *sampler = make(mt_sampling_default(), 6);
    ck_assert_int_eq(mt_sampler_forbid(sampler, 1), MT_OK);
    ck_assert_int_eq(mt_sampler_forbid(sampler, 3), MT_OK);
    assert_shares(sampler, weights);
}
END_TEST

START_TEST(test_at_temperature_0_the_first_of_the_likeliest_is_taken)
{
    mt_sampler *sampler = make((mt_sampling){.temperature = 0.0, .top_p = 1.0}, 7);
    ck_assert_int_eq(draw(sampler), 1);
    ck_assert_int_eq(mt_sampler_forbid(sampler, 1), MT_OK);
    ck_assert_int_eq(draw(sampler), 3);
    mt_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_a_tiny_temperature_is_like_0)
{
    const double two[V] = {0.0, 1.0, 0.0, 1.0, 0.0, 0.0};
    assert_shares(make((mt_sampling){.temperature = 1e-300, .top_p = 1.0}, 8), two);
}
END_TEST

START_TEST(test_the_seed_tells_the_choices_in_either_type)
{
    float narrow[V];
    for (int i = 0; i < V; i++) {
        narrow[i] = (float)logits[i];
    }
    mt_sampler *one = make(mt_sampling_default(), 9), *other = make(mt_sampling_default(), 9);
    for (int i = 0; i < 1000; i++) {
        int32_t symbol;
        ck_assert_int_eq(mt_sampler_draw(other, MT_F32, narrow, &symbol), MT_OK);
        ck_assert_int_eq(draw(one), symbol);
    }
    mt_sampler_destroy(one);
    mt_sampler_destroy(other);
}
END_TEST

static void assert_refused(mt_sampling sampling, int64_t count, const char *says)
{
    mt_sampler *sampler = (mt_sampler *)&sampling;
    ck_assert_int_eq(mt_sampler_create(&sampling, count, 1, &sampler), MT_ERROR_INVALID);
    ck_assert_ptr_null(sampler);
    ck_assert_msg(strstr(mt_error_message(), says) != NULL, "%s", mt_error_message());
}

START_TEST(test_what_is_out_of_range_is_refused_with_the_figure)
{
    assert_refused((mt_sampling){.temperature = -0.5, .top_p = 1.0}, V, "temperature -0.5");
    assert_refused((mt_sampling){.temperature = INFINITY, .top_p = 1.0}, V, "temperature inf");
    assert_refused((mt_sampling){.temperature = 1.0, .top_k = -2, .top_p = 1.0}, V, "top_k -2");
    assert_refused((mt_sampling){.temperature = 1.0, .top_p = 0.0}, V, "top_p 0");
    assert_refused((mt_sampling){.temperature = 1.0, .top_p = 1.5}, V, "top_p 1.5");
    assert_refused(mt_sampling_default(), 0, "0 symbols");
}
END_TEST

START_TEST(test_a_symbol_that_is_none_or_the_last_is_not_forbidden)
{
    mt_sampler *sampler = make(mt_sampling_default(), 1);
    ck_assert_int_eq(mt_sampler_forbid(sampler, V), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "symbol 6"));
    for (int32_t i = 0; i < V - 1; i++) {
        ck_assert_int_eq(mt_sampler_forbid(sampler, i), MT_OK);
        ck_assert_int_eq(mt_sampler_forbid(sampler, i), MT_OK);
    }
    ck_assert_int_eq(mt_sampler_forbid(sampler, V - 1), MT_ERROR_INVALID);
    ck_assert_int_eq(draw(sampler), V - 1);
    mt_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_a_copy_draws_what_the_sampler_would)
{
    mt_sampler *sampler = make((mt_sampling){.temperature = 2.0, .top_k = 4, .top_p = 0.95}, 6);
    ck_assert_int_eq(mt_sampler_forbid(sampler, 3), MT_OK);
    draw(sampler);
    mt_sampler *copy;
    ck_assert_int_eq(mt_sampler_copy(sampler, &copy), MT_OK);
    ck_assert_int_eq(mt_sampler_position(copy), mt_sampler_position(sampler));
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(draw(copy), draw(sampler));
    }
    ck_assert_int_eq(mt_sampler_forbid(copy, 1), MT_OK); /* the copy's alone */
    int counts[V] = {0};
    for (int i = 0; i < 200; i++) {
        counts[draw(sampler)]++;
    }
    ck_assert_int_gt(counts[1], 0);
    mt_sampler_destroy(copy);
    ck_assert_int_eq(mt_sampler_copy(NULL, &copy), MT_ERROR_INVALID);
    ck_assert_ptr_null(copy);
    mt_sampler_destroy(sampler);
}
END_TEST

START_TEST(test_logits_are_of_any_real_type)
{
    float floats[V];
    mt_bf16 narrow[V];
    for (int i = 0; i < V; i++) { /* which the narrowest holds as they are */
        floats[i] = (float)logits[i];
        narrow[i] = mt_bf16_rounded(floats[i]);
    }
    const void *const same[] = {[MT_F32] = floats, [MT_F64] = logits, [MT_BF16] = narrow};
    int32_t drawn[MT_REAL_DTYPES][20];
    for (int dtype = 0; dtype < MT_REAL_DTYPES; dtype++) {
        mt_sampler *sampler = make(mt_sampling_default(), 1);
        for (int i = 0; i < 20; i++) {
            ck_assert_int_eq(
                mt_sampler_draw(sampler, (mt_dtype)dtype, same[dtype], &drawn[dtype][i]), MT_OK);
        }
        mt_sampler_destroy(sampler);
        ck_assert_mem_eq(drawn[dtype], drawn[0], sizeof drawn[0]);
    }
}
END_TEST

START_TEST(test_types_that_are_not_real_and_positions_below_0_are_refused)
{
    static const int32_t integers[V] = {0};
    mt_sampler *sampler = make(mt_sampling_default(), 1);
    int32_t symbol = -1;
    for (int dtype = MT_F16; dtype <= MT_I8; dtype++) {
        ck_assert_int_eq(mt_sampler_draw(sampler, (mt_dtype)dtype, integers, &symbol),
                         MT_ERROR_INVALID);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), "not real"));
    }
    ck_assert_int_eq(symbol, -1);
    ck_assert_int_eq(mt_sampler_position(sampler), 0);
    ck_assert_int_eq(mt_sampler_seek(sampler, -1), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "position -1"));
    mt_sampler_destroy(sampler);
}
END_TEST

/* After which the choices go on as if it had not been. */
START_TEST(test_a_logit_that_is_not_finite_is_named)
{
    const double wrong[V] = {0.0, 1.0, NAN, 0.0, 0.0, 0.0};
    mt_sampler *one = make(mt_sampling_default(), 2), *other = make(mt_sampling_default(), 2);
    int32_t symbol;
    ck_assert_int_eq(mt_sampler_draw(one, MT_F64, wrong, &symbol), MT_ERROR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "symbol 2 is nan"));
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(draw(one), draw(other));
    }
    mt_sampler_destroy(one);
    mt_sampler_destroy(other);
}
END_TEST

START_TEST(test_choices_go_on_elsewhere)
{
    mt_sampler *one = make(mt_sampling_default(), 9), *other = make(mt_sampling_default(), 9);
    for (int i = 0; i < 5; i++) {
        draw(one);
    }
    ck_assert_int_eq(mt_sampler_seek(other, mt_sampler_position(one)), MT_OK);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(draw(other), draw(one));
    }
    mt_sampler_destroy(one);
    mt_sampler_destroy(other);
}
END_TEST

START_TEST(test_one_sampler_serves_several_seeds)
{
    mt_sampler *both = make(mt_sampling_default(), 1);
    mt_sampler *one = make(mt_sampling_default(), 9), *other = make(mt_sampling_default(), 10);
    int64_t at_one = 0, at_other = 0;
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(mt_sampler_reseed(both, 9), MT_OK);
        ck_assert_int_eq(mt_sampler_seek(both, at_one), MT_OK);
        ck_assert_int_eq(draw(both), draw(one));
        at_one = mt_sampler_position(both);
        ck_assert_int_eq(mt_sampler_reseed(both, 10), MT_OK);
        ck_assert_int_eq(mt_sampler_position(both), 0);
        ck_assert_int_eq(mt_sampler_seek(both, at_other), MT_OK);
        ck_assert_int_eq(draw(both), draw(other));
        at_other = mt_sampler_position(both);
    }
    mt_sampler_destroy(both);
    mt_sampler_destroy(one);
    mt_sampler_destroy(other);
}
END_TEST

enum { MANY = 301 };

static double many[MANY]; /* logits, of which some are equal */

static int by_likelihood(const void *a, const void *b)
{
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return many[left] != many[right] ? (many[left] < many[right] ? 1 : -1) : left - right;
}

/* The place, among `kept` symbols in this order, where their weights add up to a share of all. */
static int32_t place_of(const int32_t *order, int32_t kept, double share)
{
    double sum = 0.0;
    for (int32_t i = 0; i < kept; i++) {
        sum += exp(many[order[i]] - many[order[0]]);
    }
    double left = share * sum;
    int32_t place = 0;
    while (place < kept - 1 && (left -= exp(many[order[place]] - many[order[0]])) >= 0.0) {
        place++;
    }
    return place;
}

/* A uniform number chooses among the symbols in the order of their likelihood. */
START_TEST(test_draws_are_those_of_symbols_that_are_all_in_order)
{
    const mt_sampling samplings[] = {{1.0, 0, 1.0}, {1.0, 40, 1.0}, {1.0, MANY, 0.7}};
    for (size_t s = 0; s < sizeof samplings / sizeof *samplings; s++) {
        mt_random values = mt_random_make(3, 0), uniform = mt_random_make(11, 0);
        mt_sampler *sampler;
        ck_assert_int_eq(mt_sampler_create(&samplings[s], MANY, 11, &sampler), MT_OK);
        for (int i = 0; i < 200; i++) {
            int32_t order[MANY], symbol;
            for (int32_t j = 0; j < MANY; j++) {
                many[j] = floor(8.0 * mt_random_normal(&values)) / 4.0;
                order[j] = j;
            }
            qsort(order, MANY, sizeof *order, by_likelihood);
            int32_t kept = samplings[s].top_k == 40 ? 40 : MANY;
            kept = samplings[s].top_p < 1.0 ? place_of(order, kept, samplings[s].top_p) + 1 : kept;
            ck_assert_int_eq(mt_sampler_draw(sampler, MT_F64, many, &symbol), MT_OK);
            ck_assert_int_eq(symbol, order[place_of(order, kept, mt_random_uniform(&uniform))]);
        }
        mt_sampler_destroy(sampler);
    }
}
END_TEST

/* So that a draw ends anywhere, and those that are forbidden are behind all. */
START_TEST(test_draws_among_many_that_are_nearly_as_likely_are_in_order_too)
{
    for (int spread = 0; spread < 3; spread++) {
        mt_random values = mt_random_make(5, 0), uniform = mt_random_make(12, 0);
        mt_sampler *sampler;
        const mt_sampling sampling = mt_sampling_default();
        ck_assert_int_eq(mt_sampler_create(&sampling, MANY, 12, &sampler), MT_OK);
        for (int32_t j = 0; j < 20; j++) {
            ck_assert_int_eq(mt_sampler_forbid(sampler, 7 * j), MT_OK);
        }
        for (int i = 0; i < 1000; i++) {
            int32_t order[MANY], kept = 0, symbol;
            for (int32_t j = 0; j < MANY; j++) {
                many[j] = floor(20.0 * mt_random_uniform(&values)) * 0.01 * spread;
                bool forbidden = j % 7 == 0 && j < 140;
                order[kept] = j;
                kept += !forbidden;
            }
            qsort(order, (size_t)kept, sizeof *order, by_likelihood);
            ck_assert_int_eq(mt_sampler_draw(sampler, MT_F64, many, &symbol), MT_OK);
            ck_assert_int_eq(symbol, order[place_of(order, kept, mt_random_uniform(&uniform))]);
        }
        mt_sampler_destroy(sampler);
    }
}
END_TEST

static Suite *sampling_suite(void)
{
    return SUITE("sampling", test_shares_are_those_of_softmax, test_top_k_keeps_the_likeliest,
                 test_top_p_keeps_the_fewest_that_have_the_share,
                 test_top_p_is_a_share_of_what_top_k_keeps, test_forbidden_symbols_are_never_drawn,
                 test_at_temperature_0_the_first_of_the_likeliest_is_taken,
                 test_a_tiny_temperature_is_like_0, test_the_seed_tells_the_choices_in_either_type,
                 test_choices_go_on_elsewhere, test_one_sampler_serves_several_seeds,
                 test_draws_are_those_of_symbols_that_are_all_in_order,
                 test_draws_among_many_that_are_nearly_as_likely_are_in_order_too,
                 test_what_is_out_of_range_is_refused_with_the_figure,
                 test_a_copy_draws_what_the_sampler_would, test_logits_are_of_any_real_type,
                 test_types_that_are_not_real_and_positions_below_0_are_refused,
                 test_a_symbol_that_is_none_or_the_last_is_not_forbidden,
                 test_a_logit_that_is_not_finite_is_named);
}

MT_TEST_MAIN(sampling_suite)
