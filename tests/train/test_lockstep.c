/* Sequences that go through a model side by side, each against itself alone. */
#include "train/lockstep.h"

#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

#include "train/stream_internal.h"

enum { V = 7, SEQUENCES = 11, LONGEST = 14, MOST_ROWS = 32 };

/* A prompt, and what is read behind it, one after the other. */
typedef struct sequence {
    int32_t labels[LONGEST];
    int64_t prompt, count;
    int64_t read; /* so far */
    double alone[LONGEST][V];
} sequence;

static sequence sequences[SEQUENCES];

static mt_model *make_model(mt_dtype dtype, int64_t attention_size)
{
    mt_model *model;
    mt_model_config config = mt_model_config_default(V, 4);
    config.attention_size = attention_size;
    config.num_blocks = 2;
    config.padding_index = -1;
    ck_assert_msg(mt_model_create(test_device, dtype, &config, 5, &model) == MT_OK, "%s",
                  mt_error_message());
    return model;
}

static void make_sequences(void)
{
    mt_random random = mt_random_make(4, 0);
    for (int i = 0; i < SEQUENCES; i++) {
        sequence *made = &sequences[i];
        made->prompt = 1 + (int64_t)mt_random_below(&random, 6);
        made->count = made->prompt + (int64_t)mt_random_below(&random, LONGEST - 5);
        made->read = 0;
        for (int t = 0; t < LONGEST; t++) {
            made->labels[t] = (int32_t)mt_random_below(&random, V);
        }
    }
}

/* What the model says behind each label of a sequence, in the first row: WKV may ask for more. */
static void read_alone(mt_model *model)
{
    int64_t rows = stream_least_rows(&model->config);
    mt_stream *stream;
    ck_assert_int_eq(mt_stream_create(model, rows, &stream), MT_OK);
    for (int i = 0; i < SEQUENCES; i++) {
        ck_assert_int_eq(mt_stream_reset(stream, MT_EVERY_ROW), MT_OK);
        for (int t = 0; t < LONGEST; t++) {
            int32_t labels[MOST_ROWS] = {sequences[i].labels[t]};
            double logits[MOST_ROWS * V];
            ck_assert_int_eq(mt_stream_feed(stream, 1, labels, 1, logits), MT_OK);
            mt_reals_widen(model->parameters->dtype, rows * V, logits);
            memcpy(sequences[i].alone[t], logits, sizeof sequences[i].alone[t]);
        }
    }
    mt_stream_destroy(stream);
}

static double tolerance;

static void check_logits(const sequence *of, const void *logits, mt_dtype dtype)
{
    double wide[V];
    memcpy(wide, logits, V * mt_dtype_size(dtype));
    mt_reals_widen(dtype, V, wide);
    for (int i = 0; i < V; i++) {
        ck_assert_double_le(fabs(wide[i] - of->alone[of->read - 1][i]), tolerance);
    }
}

/* Begins sequences in rows that are empty. Gives how many rows are not. */
static int64_t begin_sequences(lockstep *rows, int *next)
{
    int64_t begun = 0;
    for (int64_t row = 0; row < lockstep_count(rows); row++) {
        if (lockstep_owner(rows, row) == NULL && *next < SEQUENCES) {
            sequence *of = &sequences[(*next)++];
            ck_assert_int_eq(lockstep_begin(rows, row, of, of->labels, of->prompt), MT_OK);
        }
        begun += lockstep_owner(rows, row) != NULL;
    }
    return begun;
}

static void take_logits(lockstep *rows, int64_t row, mt_dtype dtype)
{
    sequence *of = lockstep_owner(rows, row);
    if (of == NULL) {
        ck_assert_ptr_null(lockstep_logits(rows, row));
        return;
    }
    const void *logits = lockstep_logits(rows, row);
    ck_assert_int_eq(logits != NULL, ++of->read >= of->prompt);
    if (logits == NULL) {
        return;
    }
    check_logits(of, logits, dtype);
    if (of->read == of->count) {
        lockstep_end(rows, row);
    } else {
        lockstep_read(rows, row, &of->labels[of->read], 1);
    }
}

static void check_rows(mt_dtype dtype, int64_t attention_size, int64_t count)
{
    mt_model *model = make_model(dtype, attention_size);
    lockstep *rows;
    int next = 0;
    make_sequences();
    read_alone(model);
    ck_assert_msg(lockstep_create(model, count, &rows) == MT_OK, "%s", mt_error_message());
    int64_t fewest = lockstep_count(rows), least = stream_least_rows(&model->config);
    bool few = fewest <= 4 && least == 1 && strcmp(mt_device_name(test_device), "cpu") == 0;
    /* Up to four rows are summed there as one is. */
    tolerance = few ? 0.0 : dtype == MT_F64 ? 1e-13 : 2e-6;
    while (begin_sequences(rows, &next) > 0) {
        if (next == SEQUENCES) {
            ck_assert_int_eq(lockstep_shrink(rows), MT_OK);
            ck_assert_int_le(lockstep_count(rows), fewest);
            fewest = lockstep_count(rows);
        }
        ck_assert_msg(lockstep_feed(rows) == MT_OK, "%s", mt_error_message());
        for (int64_t row = 0; row < lockstep_count(rows); row++) {
            take_logits(rows, row, dtype);
        }
    }
    for (int i = 0; i < SEQUENCES; i++) {
        ck_assert_int_eq(sequences[i].read, sequences[i].count);
    }
    ck_assert_int_eq(lockstep_shrink(rows), MT_OK);
    ck_assert_int_eq(lockstep_count(rows), least);
    lockstep_destroy(rows);
    mt_model_destroy(model);
}

START_TEST(test_each_sequence_reads_as_if_it_were_alone)
{
    for (int64_t count = 1; count <= 9; count++) {
        check_rows(MT_F64, 6, count);
        check_rows(MT_F32, 6, count);
    }
    check_rows(MT_F64, 6, 2 * SEQUENCES);
}
END_TEST

START_TEST(test_rows_are_as_many_as_wkv_takes)
{
    check_rows(MT_F64, 33, 1);
    check_rows(MT_F64, 40, 3);
    check_rows(MT_F64, 48, 5);
}
END_TEST

START_TEST(test_more_than_four_rows_come_in_fours)
{
    const int64_t asked[] = {1, 2, 3, 4, 5, 8, 9}, given[] = {1, 2, 3, 4, 8, 8, 12};
    mt_model *model = make_model(MT_F32, 6);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        lockstep *rows;
        ck_assert_int_eq(lockstep_create(model, asked[i], &rows), MT_OK);
        ck_assert_int_eq(lockstep_count(rows), given[i]);
        lockstep_destroy(rows);
    }
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_more_rows_than_memory_are_refused)
{
    mt_model *model = make_model(MT_F32, 6);
    lockstep *rows = (lockstep *)&model;
    ck_assert_int_eq(lockstep_create(model, INT64_C(1) << 60, &rows), MT_ERROR_MEMORY);
    ck_assert_ptr_null(rows);
    mt_model_destroy(model);
}
END_TEST

static Suite *lockstep_suite(void)
{
    return SUITE_WITH("lockstep", graph_setup, graph_teardown,
                      test_each_sequence_reads_as_if_it_were_alone,
                      test_rows_are_as_many_as_wkv_takes, test_more_than_four_rows_come_in_fours,
                      test_more_rows_than_memory_are_refused);
}

MT_TEST_MAIN(lockstep_suite)
