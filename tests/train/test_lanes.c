/* Lanes of windows: what follows in a row follows in its document, and a pass has every window once
 * but for those that are left over. */
#include "tests/check_main.h"
#include "train/lanes.h"

#include <mixtape/random.h>

#include <string.h>

enum { ROWS = 3, DOCUMENTS = 6, MOST = 8 };

/* Some documents have no windows; 13 in all. */
static const int64_t windows[DOCUMENTS] = {2, 0, 5, 1, 0, 5};
enum { WINDOWS = 13 };

static int64_t windows_of(const void *context, int64_t document)
{
    (void)context;
    return windows[document];
}

static const lane_source source = {NULL, DOCUMENTS, windows_of};

static run_config make_config(int64_t batch, int64_t eval_batches)
{
    return (run_config){.batch = batch, .eval_batches = eval_batches, .length = 16, .seed = 7};
}

/* Looks at a batch: which windows there are more of, and which rows begin. */
static void look(lanes *of, int64_t index, lane_window before[ROWS], int seen[DOCUMENTS][MOST])
{
    for (int64_t b = 0; b < ROWS; b++) {
        lane_window at = lanes_at(of, index, b);
        bool begins = lanes_begins(of)[b];
        if (at.number < 0) {
            ck_assert(begins);
            continue;
        }
        ck_assert_int_lt(at.number, windows[at.document]);
        seen[at.document][at.number]++;
        bool follows = at.document == before[b].document && at.number == before[b].number + 1;
        ck_assert(begins || follows);
        ck_assert(at.number > 0 || begins);
        before[b] = at;
    }
}

/* Each pass of four batches has twelve of the thirteen windows, in an order of its own. */
START_TEST(test_a_pass_has_every_window_once)
{
    enum { LENGTH = WINDOWS / ROWS, PASSES = 8 };
    const run_config config = make_config(ROWS, 100);
    lanes *of;
    int64_t first[PASSES];
    int orders = 0;
    ck_assert_int_eq(lanes_to_train(&config, &source, &of), MT_OK);
    for (int pass = 0; pass < PASSES; pass++) {
        int seen[DOCUMENTS][MOST] = {{0}}, total = 0;
        lane_window before[ROWS] = {{-1, 0}, {-1, 0}, {-1, 0}};
        for (int i = 0; i < LENGTH; i++) {
            look(of, pass * LENGTH + i, before, seen);
            for (int b = 0; b < ROWS && i == 0; b++) {
                ck_assert(lanes_begins(of)[b]); /* whatever the pass before ended with */
            }
        }
        for (int i = 0; i < DOCUMENTS * MOST; i++) {
            ck_assert_int_le(seen[i / MOST][i % MOST], 1);
            total += seen[i / MOST][i % MOST];
        }
        ck_assert_int_eq(total, ROWS * LENGTH);
        first[pass] = lanes_at(of, pass * LENGTH, 0).document;
        orders += pass > 0 && first[pass] != first[0];
    }
    ck_assert_int_gt(orders, 0);
    lanes_free(of);
}
END_TEST

/* Whatever was asked for before, and of lanes that were made anew. */
START_TEST(test_a_batch_is_a_function_of_its_number)
{
    const run_config config = make_config(ROWS, 100);
    lanes *of, *again;
    mt_random random = mt_random_make(3, 1);
    ck_assert_int_eq(lanes_to_train(&config, &source, &of), MT_OK);
    for (int i = 0; i < 50; i++) {
        int64_t index = (int64_t)mt_random_below(&random, 20), b = i % ROWS;
        lane_window one = lanes_at(of, index, b);
        ck_assert_int_eq(lanes_to_train(&config, &source, &again), MT_OK);
        lane_window other = lanes_at(again, index, b);
        ck_assert_int_eq(one.document, other.document);
        ck_assert_int_eq(one.number, other.number);
        ck_assert(lanes_begins(of)[b] == lanes_begins(again)[b]);
        lanes_free(again);
    }
    lanes_free(of);
}
END_TEST

/* In their order, the last lanes being the shorter ones; and no more than were asked for. */
START_TEST(test_a_validation_has_the_first_windows_once)
{
    static const struct {
        int64_t eval_batches, batches;
        int windows;
    } cases[] = {{100, 5, WINDOWS}, {5, 5, WINDOWS}, {4, 4, 12}, {1, 1, ROWS}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const run_config config = make_config(ROWS, cases[c].eval_batches);
        int seen[DOCUMENTS][MOST] = {{0}}, at = 0;
        lane_window before[ROWS] = {{-1, 0}, {-1, 0}, {-1, 0}};
        lanes *of;
        ck_assert_int_eq(lanes_to_validate(&config, &source, &of), MT_OK);
        for (int64_t i = 0; i < cases[c].batches; i++) {
            look(of, i, before, seen);
        }
        for (int d = 0; d < DOCUMENTS; d++) {
            for (int w = 0; w < windows[d]; w++, at++) {
                ck_assert_int_eq(seen[d][w], at < cases[c].windows);
            }
        }
        lanes_free(of);
    }
}
END_TEST

START_TEST(test_rows_without_windows_are_refused)
{
    const run_config config = make_config(WINDOWS + 1, 100);
    lanes *of;
    ck_assert_int_eq(lanes_to_train(&config, &source, &of), MT_ERROR_INVALID);
    ck_assert_ptr_null(of);
    ck_assert_str_eq(mt_error_message(),
                     "--batch 14: there are 13 windows of --length 16 to train on, and with "
                     "--carry each row goes on in windows of its own");
    ck_assert_int_eq(lanes_to_validate(&config, &source, &of), MT_OK); /* some rows have none */
    ck_assert_int_eq(lanes_at(of, 0, 12).document, 5);
    ck_assert_int_eq(lanes_at(of, 0, 13).number, -1);
    lanes_free(of);
}
END_TEST

static Suite *lanes_suite(void)
{
    return SUITE(
        "lanes", test_a_pass_has_every_window_once, test_a_batch_is_a_function_of_its_number,
        test_a_validation_has_the_first_windows_once, test_rows_without_windows_are_refused);
}

MT_TEST_MAIN(lanes_suite)
