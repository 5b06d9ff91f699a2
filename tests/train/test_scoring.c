/* Scores of sequences against what the model says of each whole one, however they are cut and put
 * side by side. */
#include <mixtape/scoring.h>

#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

enum { V = 7, CONTEXT = 9, SEQUENCES = 8, LONGEST = 31 };

static const int64_t lengths[SEQUENCES] = {3, 9, 0, 1, LONGEST, 2, 8, 10};
static int32_t labels[SEQUENCES][LONGEST];
static mt_sequence sequences[SEQUENCES];

static void scoring_setup(void)
{
    graph_setup();
    mt_random random = mt_random_make(4, 0);
    for (int i = 0; i < SEQUENCES; i++) {
        for (int t = 0; t < LONGEST; t++) {
            labels[i][t] = (int32_t)mt_random_below(&random, V);
        }
        sequences[i] = (mt_sequence){labels[i], lengths[i]};
    }
}

static mt_model *make_model(mt_dtype dtype, int64_t attention_size)
{
    mt_model *model;
    mt_model_config config = mt_model_config_default(V, 8);
    config.attention_size = attention_size;
    config.num_blocks = 2;
    config.context_size = CONTEXT;
    config.padding_index = -1;
    ck_assert_msg(mt_model_create(test_device, dtype, &config, 5, &model) == MT_OK, "%s",
                  mt_error_message());
    return model;
}

static mt_scorer *make_scorer(mt_model *model, mt_scoring scoring)
{
    mt_scorer *scorer;
    ck_assert_msg(mt_scorer_create(model, &scoring, &scorer) == MT_OK, "%s", mt_error_message());
    return scorer;
}

/* The same by the definition: the whole sequence in rows of B, of which the first is looked at. */
static mt_score score_whole(mt_model *model, const mt_sequence *sequence, int32_t start, int64_t B)
{
    int32_t input[32 * (LONGEST + 1)];
    double logits[32 * (LONGEST + 1) * V];
    mt_score score = {0.0};
    bool started = start >= 0;
    int64_t steps = started ? sequence->count : sequence->count - 1;
    if (steps < 1) {
        return score;
    }
    for (int64_t b = 0; b < B; b++) {
        for (int64_t t = 0; t < steps; t++) {
            int64_t at = started ? t - 1 : t;
            input[b * steps + t] = at < 0 ? start : sequence->labels[at];
        }
    }
    mt_model_set_context_size(model, LONGEST);
    mt_tape_reset(test_tape);
    mt_tape_set_recording(test_tape, false);
    mt_tensor *x =
        mt_model_decode(test_tape, model, mt_tape_labels(test_tape, B, steps, input), NULL, false);
    mt_tensor *y = mt_model_head(test_tape, model, x);
    ck_assert_msg(y != NULL, "%s", mt_tape_error(test_tape));
    ck_assert_int_eq(mt_tensor_read_doubles(y, logits), MT_OK);
    mt_model_set_context_size(model, CONTEXT);
    for (int64_t t = 0; t < steps; t++) {
        const double *row = logits + t * V;
        double sum = 0.0;
        int best = 0;
        int32_t label = sequence->labels[started ? t : t + 1];
        for (int i = 0; i < V; i++) {
            sum += exp(row[i]);
            best = row[i] > row[best] ? i : best;
        }
        score.log_likelihood += row[label] - log(sum);
        score.hits += best == label;
        score.counted++;
    }
    return score;
}

static void check_score(const mt_score *found, const mt_score *expected, mt_dtype dtype)
{
    double tolerance = dtype == MT_F64 ? 1e-11 : 2e-5;
    ck_assert_double_eq_tol(found->log_likelihood, expected->log_likelihood, tolerance);
    ck_assert_int_eq(found->counted, expected->counted);
    ck_assert_int_eq(found->hits, expected->hits);
}

static void check_all(mt_dtype dtype, int64_t attention_size, int64_t B, mt_scoring scoring)
{
    mt_model *model = make_model(dtype, attention_size);
    mt_scorer *scorer = make_scorer(model, scoring);
    mt_score scores[SEQUENCES];
    ck_assert_msg(mt_scorer_score(scorer, SEQUENCES, sequences, scores) == MT_OK, "%s",
                  mt_error_message());
    for (int i = 0; i < SEQUENCES; i++) {
        mt_score expected = score_whole(model, &sequences[i], scoring.start, B);
        check_score(&scores[i], &expected, dtype);
    }
    mt_scorer_destroy(scorer);
    mt_model_destroy(model);
}

START_TEST(test_scores_are_those_of_whole_sequences)
{
    for (mt_dtype dtype = MT_F32; dtype <= MT_F64; dtype++) {
        for (int32_t start = -1; start <= 2; start++) {
            check_all(dtype, 8, 1, mt_scoring_default(start));
            check_all(dtype, 8, 1, (mt_scoring){start, 1, 1});
            check_all(dtype, 8, 1, (mt_scoring){start, 4, 3});
            check_all(dtype, 8, 1, (mt_scoring){start, CONTEXT, 20});
        }
    }
}
END_TEST

/* WKV takes batches of four rows and their multiples alone. */
START_TEST(test_sizes_that_cannot_stream_alone_are_scored)
{
    check_all(MT_F64, 40, 4, mt_scoring_default(0));
    check_all(MT_F64, 40, 4, (mt_scoring){-1, 4, 1});
}
END_TEST

START_TEST(test_pieces_of_a_sequence_add_up)
{
    const int64_t cuts[] = {0, 1, 12, 13, LONGEST};
    mt_model *model = make_model(MT_F64, 8);
    for (int32_t start = -1; start <= 0; start++) {
        mt_scorer *scorer = make_scorer(model, (mt_scoring){start, 5, 2});
        for (int round = 0; round < 2; round++) {
            mt_score score = {0.0};
            ck_assert_int_eq(mt_scorer_begin(scorer), MT_OK);
            for (int i = 0; i < 4; i++) {
                ck_assert_int_eq(
                    mt_scorer_add(scorer, cuts[i + 1] - cuts[i], labels[4] + cuts[i], &score),
                    MT_OK);
                ck_assert_int_eq(mt_scorer_add(scorer, 0, NULL, &score), MT_OK);
            }
            mt_score expected = score_whole(model, &sequences[4], start, 1);
            check_score(&score, &expected, MT_F64);
        }
        mt_scorer_destroy(scorer);
    }
    mt_model_destroy(model);
}
END_TEST

static void refuse_scoring(mt_model *model, mt_scoring scoring, const char *says)
{
    mt_scorer *scorer;
    ck_assert_int_eq(mt_scorer_create(model, &scoring, &scorer), MT_ERROR_INVALID);
    ck_assert_msg(strstr(mt_error_message(), says) != NULL, "%s", mt_error_message());
    ck_assert_ptr_null(scorer);
}

START_TEST(test_what_does_not_fit_is_refused_with_the_figure)
{
    mt_model *model = make_model(MT_F32, 8), *headless;
    mt_model_config config = mt_model_config_default(V, 8);
    const int32_t wrong[] = {1, V, 2}, negative[] = {-1};
    mt_score scores[2];
    refuse_scoring(model, (mt_scoring){V, 0, 0}, "start symbol 7");
    refuse_scoring(model, (mt_scoring){-2, 0, 0}, "start symbol -2");
    refuse_scoring(model, (mt_scoring){0, CONTEXT + 1, 0}, "window of 10, at most");
    refuse_scoring(model, (mt_scoring){0, -1, 0}, "window of -1");
    refuse_scoring(model, (mt_scoring){0, 0, -1}, "batch of -1");
    config.output_size = 0;
    ck_assert_int_eq(mt_model_create(test_device, MT_F32, &config, 1, &headless), MT_OK);
    refuse_scoring(headless, mt_scoring_default(0), "no head");
    mt_model_destroy(headless);
    mt_scorer *scorer = make_scorer(model, mt_scoring_default(0));
    mt_sequence some[] = {sequences[0], {wrong, 3}};
    ck_assert_int_eq(mt_scorer_score(scorer, 2, some, scores), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "scoring: label 1 is 7, not in 0 .. 6");
    ck_assert_int_eq(mt_scorer_add(scorer, 1, negative, scores), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_scorer_score(scorer, 1, some, scores), MT_OK); /* it works on */
    mt_scorer_destroy(scorer);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_a_score_that_is_not_finite_is_no_score)
{
    mt_model *model = make_model(MT_F32, 8);
    float bias[V] = {0.0f};
    mt_score score;
    bias[3] = 3e38f;
    mt_parameter *head = mt_parameters_find(model->parameters, "head.bias");
    ck_assert_int_eq(mt_tensor_write(&head->tensor, bias), MT_OK);
    mt_scorer *scorer = make_scorer(model, mt_scoring_default(0));
    ck_assert_int_eq(mt_scorer_score(scorer, 1, sequences, &score), MT_OK); /* merely unlikely */
    bias[3] = INFINITY;
    ck_assert_int_eq(mt_tensor_write(&head->tensor, bias), MT_OK);
    ck_assert_int_eq(mt_scorer_score(scorer, 1, sequences, &score), MT_ERROR_NUMERIC);
    mt_scorer_destroy(scorer);
    mt_model_destroy(model);
}
END_TEST

static Suite *scoring_suite(void)
{
    return SUITE_WITH(
        "scoring", scoring_setup, graph_teardown, test_scores_are_those_of_whole_sequences,
        test_sizes_that_cannot_stream_alone_are_scored, test_pieces_of_a_sequence_add_up,
        test_what_does_not_fit_is_refused_with_the_figure,
        test_a_score_that_is_not_finite_is_no_score);
}

MT_TEST_MAIN(scoring_suite)
