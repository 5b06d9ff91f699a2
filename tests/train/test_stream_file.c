/* A row of a stream in a file: it goes on with the same bits, by the model alone that it is of. */
#include <mixtape/stream.h>

#include "tests/io/io_test.h"

#include <hdf5.h>
#include <math.h>

enum { V = 7, FED = 5, LATER = 4, MOST_ROW = 256 };

static const int32_t labels[FED + LATER] = {1, 4, 0, 6, 2, 2, 5, 3, 1};

static mt_model_config config_of(mt_norm_kind norm)
{
    mt_model_config config = mt_model_config_default(V, 4);
    config.attention_size = 6;
    config.num_blocks = 2;
    config.context_size = FED;
    config.norm.kind = norm;
    config.padding_index = -1;
    return config;
}

static mt_stream *make_stream(mt_model *model, int64_t batch)
{
    mt_stream *stream;
    ASSERT_OK(mt_stream_create(model, batch, &stream));
    return stream;
}

/* A file of a model's state, after FED labels. */
static const char *save_state(mt_model *model, const char *name, void *outputs)
{
    mt_stream *stream = make_stream(model, 1);
    mt_stream_end end = {outputs, 12};
    ASSERT_OK(mt_stream_feed(stream, FED, labels, 1, outputs));
    ASSERT_OK(mt_stream_save_file(stream, 0, &end, in_folder(name)));
    mt_stream_destroy(stream);
    return in_folder(name);
}

/* Row 1 of two goes on in row 0 of another stream. */
static void check_goes_on(mt_dtype dtype)
{
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, dtype, 3);
    mt_stream *whole = make_stream(model, 1), *other = make_stream(model, 2);
    double at_end[V], expected[V], found[V];
    size_t bytes = V * mt_dtype_size(dtype);
    const char *path = save_state(model, "a.h5", at_end);
    mt_stream_end end = {found, 0};
    ASSERT_OK(mt_stream_load_file(other, 1, path, &end));
    ck_assert_mem_eq(found, at_end, bytes);
    ck_assert_ptr_eq(end.outputs, found);
    ck_assert_int_eq(end.position, 12);
    ASSERT_OK(mt_stream_copy(other, 0, other, 1));
    ASSERT_OK(mt_stream_save_file(other, 1, &end, in_folder("b.h5")));
    end.outputs = NULL;
    ASSERT_OK(mt_stream_load_file(other, 0, in_folder("b.h5"), &end));
    ASSERT_OK(mt_stream_feed(whole, FED, labels, 0, NULL));
    for (int t = FED; t < FED + LATER; t++) {
        mt_stream *alone = make_stream(model, 1);
        ASSERT_OK(mt_stream_copy(alone, 0, other, 0));
        ASSERT_OK(mt_stream_feed(whole, 1, &labels[t], 1, expected));
        ASSERT_OK(mt_stream_feed(alone, 1, &labels[t], 1, found));
        ck_assert_mem_eq(found, expected, bytes);
        ASSERT_OK(mt_stream_copy(other, 0, alone, 0));
        mt_stream_destroy(alone);
    }
    mt_stream_destroy(whole);
    mt_stream_destroy(other);
    mt_model_destroy(model);
}

START_TEST(test_a_row_goes_on_from_a_file_with_the_same_bits)
{
    check_goes_on(MT_F32);
    check_goes_on(MT_F64);
}
END_TEST

START_TEST(test_a_state_without_outputs_says_so)
{
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, MT_F32, 3);
    mt_stream *stream = make_stream(model, 1);
    mt_stream_end end = {NULL, 0};
    float outputs[V];
    ASSERT_OK(mt_stream_save_file(stream, 0, &end, in_folder("a.h5")));
    end.outputs = outputs;
    ASSERT_OK(mt_stream_load_file(stream, 0, in_folder("a.h5"), &end));
    ck_assert_ptr_null(end.outputs);
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

/* What another model would be told, that has one thing otherwise. */
static void check_refused(const char *path, mt_dtype dtype, const mt_model_config *config,
                          uint64_t seed, const char *says)
{
    mt_model *model = make_model(config, dtype, seed);
    mt_stream *stream = make_stream(model, 1);
    char before[MOST_ROW * sizeof(double)], after[sizeof before];
    double outputs[2 * V];
    mt_stream_end end = {outputs, 0};
    ck_assert_uint_le(mt_stream_row_bytes(stream), sizeof before);
    ASSERT_OK(mt_stream_save(stream, 0, before));
    ASSERT_FAILS(mt_stream_load_file(stream, 0, path, &end), MT_ERROR_INVALID, path, says);
    ASSERT_OK(mt_stream_save(stream, 0, after));
    ck_assert_mem_eq(before, after, mt_stream_row_bytes(stream));
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}

START_TEST(test_the_state_of_another_model_is_refused_with_what_differs)
{
    float outputs[V];
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, MT_F32, 3);
    const char *path = save_state(model, "a.h5", outputs);
    mt_model_destroy(model);
    check_refused(path, MT_F32, &config, 4, "of other weights");
    check_refused(path, MT_F64, &config, 3, "a state of f32, where the model has f64");
    config.norm.kind = MT_RMS_NORM;
    check_refused(path, MT_F32, &config, 3, "normalization_type layer_norm, this one has rms_norm");
    config = config_of(MT_LAYER_NORM);
    config.norm.eps = 0.5;
    check_refused(path, MT_F32, &config, 3, "eps 1e-12, this one has 0.5");
    config = config_of(MT_LAYER_NORM);
    config.num_blocks = 1;
    check_refused(path, MT_F32, &config, 3, "num_blocks 2, this one has 1");
    config = config_of(MT_LAYER_NORM);
    config.vocab_size = config.output_size = V + 1;
    check_refused(path, MT_F32, &config, 3, "vocab_size 7, this one has 8");
}
END_TEST

START_TEST(test_a_state_is_not_bound_to_the_context_or_to_dropout)
{
    float outputs[V];
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, MT_F32, 3);
    const char *path = save_state(model, "a.h5", outputs);
    mt_stream_end end = {outputs, 0};
    mt_model_destroy(model);
    config.context_size = 100;
    config.att_dropout = 0.5;
    model = make_model(&config, MT_F32, 3);
    mt_stream *stream = make_stream(model, 1);
    ASSERT_OK(mt_stream_load_file(stream, 0, path, &end));
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_damaged_files_are_refused_and_the_row_stays)
{
    enum { STEP = 97 };
    float outputs[V], again[V];
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, MT_F32, 3);
    const char *path = save_state(model, "a.h5", outputs);
    mt_stream *stream = make_stream(model, 1);
    mt_stream_end end = {again, 0};
    char *bytes, before[MOST_ROW * sizeof(double)], after[sizeof before];
    size_t size;
    ASSERT_OK(mt_stream_feed(stream, 1, labels, 0, NULL));
    ASSERT_OK(mt_stream_save(stream, 0, before));
    ASSERT_OK(mt_file_read(path, &bytes, &size));
    for (size_t cut = 0; cut < size; cut += STEP) {
        const char *damaged = write_bytes("cut.h5", bytes, cut);
        ASSERT_FAILS(mt_stream_load_file(stream, 0, damaged, &end), MT_ERROR_FORMAT, "cut.h5");
    }
    ASSERT_OK(mt_stream_save(stream, 0, after));
    ck_assert_mem_eq(before, after, mt_stream_row_bytes(stream));
    for (size_t at = 0; at < size; at += STEP) { /* refused, or nothing that is read */
        bytes[at] ^= 0x40;
        mt_status status = mt_stream_load_file(stream, 0, write_bytes("b.h5", bytes, size), &end);
        bytes[at] ^= 0x40;
        if (status == MT_OK) {
            ck_assert_mem_eq(again, outputs, sizeof outputs);
        }
    }
    free(bytes);
    ASSERT_FAILS(mt_stream_load_file(stream, 0, in_folder("none.h5"), &end), MT_ERROR_IO,
                 "No such");
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

static void write_position(const char *path, int64_t position)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t attribute = H5Aopen(file, "position", H5P_DEFAULT);
    ck_assert_int_ge(H5Awrite(attribute, H5T_NATIVE_INT64, &position), 0);
    H5Aclose(attribute);
    H5Fclose(file);
}

START_TEST(test_positions_that_no_sampler_reaches_are_neither_saved_nor_loaded)
{
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, MT_F32, 3);
    mt_stream *stream = make_stream(model, 1);
    float outputs[V];
    const int64_t most = INT64_C(1) << 53, wrong[] = {-5, most + 1, INT64_C(1) << 62};
    mt_stream_end end = {NULL, most};
    ASSERT_OK(mt_stream_save_file(stream, 0, &end, in_folder("a.h5")));
    end.outputs = outputs;
    ASSERT_OK(mt_stream_load_file(stream, 0, in_folder("a.h5"), &end));
    ck_assert_int_eq(end.position, most);
    for (int i = 0; i < 3; i++) {
        write_position(in_folder("a.h5"), wrong[i]);
        ASSERT_FAILS(mt_stream_load_file(stream, 0, in_folder("a.h5"), &end), MT_ERROR_FORMAT,
                     "a.h5: position: ", "not in 0 .. 9007199254740992");
        ck_assert_int_eq(end.position, most);
        ASSERT_FAILS(
            mt_stream_save_file(stream, 0, &(mt_stream_end){NULL, wrong[i]}, in_folder("c.h5")),
            MT_ERROR_INVALID, "c.h5: position ", "not in 0 .. 9007199254740992");
    }
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_what_is_not_finite_is_not_saved)
{
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, MT_F32, 3);
    mt_stream *stream = make_stream(model, 1);
    float outputs[V] = {0.0f}, row[MOST_ROW] = {0.0f};
    mt_stream_end end = {outputs, 0};
    outputs[2] = NAN;
    ASSERT_FAILS(mt_stream_save_file(stream, 0, &end, in_folder("a.h5")), MT_ERROR_NUMERIC,
                 "outputs", "element 2");
    outputs[2] = 0.0f;
    row[9] = INFINITY;
    ASSERT_OK(mt_stream_load(stream, 0, row));
    ASSERT_FAILS(mt_stream_save_file(stream, 0, &end, in_folder("a.h5")), MT_ERROR_NUMERIC, "state",
                 "inf");
    ASSERT_FAILS(mt_stream_save_file(stream, 1, &end, in_folder("a.h5")), MT_ERROR_INVALID,
                 "no row 1 of 1");
    ASSERT_FAILS(mt_stream_load_file(stream, MT_EVERY_ROW, in_folder("a.h5"), &end),
                 MT_ERROR_INVALID, "no row -1 of 1");
    ck_assert_int_eq(files_in_folder(), 0);
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

/* A checkpoint is no state, and a state no weights. */
START_TEST(test_files_are_told_apart)
{
    float outputs[V];
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, MT_F32, 3);
    mt_stream *stream = make_stream(model, 1);
    mt_stream_end end = {outputs, 0};
    mt_weights *weights;
    ASSERT_FAILS(mt_weights_open(save_state(model, "a.h5", outputs), &weights), MT_ERROR_FORMAT,
                 "'mixtape-state'");
    ASSERT_OK(
        mt_weights_save(in_folder("b.h5"), model, &mt_layouts[0], NULL)); /* of whichever layout */
    ASSERT_FAILS(mt_stream_load_file(stream, 0, in_folder("b.h5"), &end), MT_ERROR_FORMAT,
                 "'mixtape-weights', expected mixtape-state");
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

static Suite *stream_file_suite(void)
{
    return SUITE_WITH("stream_file", io_setup, io_teardown,
                      test_a_row_goes_on_from_a_file_with_the_same_bits,
                      test_a_state_without_outputs_says_so,
                      test_the_state_of_another_model_is_refused_with_what_differs,
                      test_a_state_is_not_bound_to_the_context_or_to_dropout,
                      test_damaged_files_are_refused_and_the_row_stays,
                      test_positions_that_no_sampler_reaches_are_neither_saved_nor_loaded,
                      test_what_is_not_finite_is_not_saved, test_files_are_told_apart);
}

MT_TEST_MAIN(stream_file_suite)
