/* A stream against the whole sequence at once, its rows apart from one another, and what it
 * refuses. */
#include <mixtape/model.h>
#include <mixtape/stream.h>

#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

#include "kernels/device.h"

#include <stdio.h>

enum { B = 3, T = 11, V = 7, FEATURES = 2, MOST = B * T * V };

static int32_t labels[B * T];
static double features[B * T * FEATURES];

static mt_model *make_model(mt_dtype dtype, mt_norm_kind norm, bool takes_labels, bool head)
{
    mt_model *model;
    mt_model_config config = mt_model_config_default(takes_labels ? V : 0, 4);
    config.input_size = takes_labels ? 0 : FEATURES;
    config.output_size = !head ? 0 : takes_labels ? V : FEATURES;
    config.attention_size = 6;
    config.num_blocks = 2;
    config.context_size = T;
    config.norm.kind = norm;
    config.time_first = MT_TIME_FIRST_RWKV;
    config.padding_index = -1;
    ck_assert_msg(mt_model_create(test_device, dtype, &config, 5, &model) == MT_OK, "%s",
                  mt_error_message());
    return model;
}

/* Keys so far below 0 that only the exponent of an empty sum is further down. */
static void lower_keys(mt_model *model)
{
    const double low[6] = {-2000.0, -2000.0, -2000.0, -2000.0, -2000.0, -2000.0};
    mt_parameter *bias = mt_parameters_find(model->parameters, "rwkv_blocks.0.att.proj_key.bias");
    ck_assert_int_eq(mt_tensor_write(&bias->tensor, low), MT_OK);
}

static mt_stream *make_stream(mt_model *model, int64_t batch)
{
    mt_stream *stream;
    ck_assert_msg(mt_stream_create(model, batch, &stream) == MT_OK, "%s", mt_error_message());
    return stream;
}

static void stream_setup(void)
{
    graph_setup();
    mt_random random = mt_random_make(8, 0);
    for (int i = 0; i < B * T; i++) {
        labels[i] = (int32_t)mt_random_below(&random, V);
    }
    for (int i = 0; i < B * T * FEATURES; i++) {
        features[i] = mt_random_uniform(&random);
    }
}

/* A host array of reals in the model's type, from doubles. */
static void narrow(mt_dtype dtype, int64_t n, const double *from, void *to)
{
    for (int64_t i = 0; i < n; i++) {
        if (dtype == MT_F64) {
            ((double *)to)[i] = from[i];
        } else {
            ((float *)to)[i] = (float)from[i];
        }
    }
}

/* Computes what the model gives for whole sequences, (B, T, width), as doubles. */
static void forward(mt_model *model, double *values)
{
    double given[B * T * FEATURES];
    mt_dtype dtype = model->parameters->dtype;
    bool head = model->config.output_size > 0;
    narrow(dtype, B * T * FEATURES, features, given);
    mt_tape_reset(test_tape);
    mt_tape_set_recording(test_tape, false);
    mt_tensor *x = model->config.input_size == 0
                       ? mt_tape_labels(test_tape, B, T, labels)
                       : mt_tape_sequence(test_tape, dtype, B, T, FEATURES, given);
    mt_tensor *y = mt_model_decode(test_tape, model, x, NULL, false);
    y = head ? mt_model_head(test_tape, model, y) : y;
    ck_assert_msg(y != NULL, "%s", mt_tape_error(test_tape));
    ck_assert_int_eq(mt_tensor_read_doubles(y, values), MT_OK);
}

/* Feeds steps start .. start + length - 1 of rows first .. first + batch - 1. */
static mt_status feed(mt_stream *stream, const mt_model *model, int64_t first, int64_t batch,
                      int64_t start, int64_t length, int64_t wanted, double *outputs)
{
    int32_t given_labels[B * T];
    double given[B * T * FEATURES], all[B * T * FEATURES];
    mt_dtype dtype = model->parameters->dtype;
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t t = 0; t < length; t++) {
            int64_t from = (first + b) * T + start + t, to = b * length + t;
            given_labels[to] = labels[from];
            memcpy(all + to * FEATURES, features + from * FEATURES, FEATURES * sizeof *all);
        }
    }
    narrow(dtype, batch * length * FEATURES, all, given);
    mt_status status = model->config.input_size == 0
                           ? mt_stream_feed(stream, length, given_labels, wanted, outputs)
                           : mt_stream_feed_features(stream, length, given, wanted, outputs);
    if (status == MT_OK) {
        mt_reals_widen(dtype, batch * wanted * mt_stream_width(stream), outputs);
    }
    return status;
}

static void check_stretch(const double *whole, int64_t width, int64_t first, int64_t batch,
                          int64_t start, int64_t length, const double *outputs, double tolerance)
{
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t i = 0; i < length * width; i++) {
            ck_assert_double_eq_tol(outputs[b * length * width + i],
                                    whole[((first + b) * T + start) * width + i], tolerance);
        }
    }
}

/* In stretches of these lengths, again and again. */
static void check_cut(mt_model *model, int64_t first, int64_t batch, int count,
                      const int64_t *lengths)
{
    double whole[MOST], outputs[MOST];
    double tolerance = model->parameters->dtype == MT_F64 ? 1e-13 : 2e-6;
    mt_stream *stream = make_stream(model, batch);
    int64_t width = mt_stream_width(stream), start = 0;
    forward(model, whole);
    for (int i = 0; start < T; i++) {
        int64_t length = lengths[i % count] < T - start ? lengths[i % count] : T - start;
        ck_assert_msg(feed(stream, model, first, batch, start, length, length, outputs) == MT_OK,
                      "%s", mt_error_message());
        check_stretch(whole, width, first, batch, start, length, outputs, tolerance);
        start += length;
    }
    mt_stream_destroy(stream);
}

START_TEST(test_a_stream_gives_what_the_whole_sequence_gives)
{
    const int64_t ones[] = {1}, cut[] = {2, 1, 5}, whole[] = {T};
    for (mt_dtype dtype = MT_F32; dtype <= MT_F64; dtype++) {
        for (mt_norm_kind norm = MT_LAYER_NORM; norm <= MT_BASIC_NORM; norm++) {
            mt_model *model = make_model(dtype, norm, norm != MT_RMS_NORM, norm != MT_SCALE_NORM);
            check_cut(model, 0, B, 1, ones);
            check_cut(model, 0, B, 3, cut);
            check_cut(model, 0, B, 1, whole);
            check_cut(model, 1, 1, 1, ones);
            check_cut(model, 2, 1, 3, cut);
            mt_model_destroy(model);
        }
    }
}
END_TEST

START_TEST(test_outputs_are_those_of_the_last_steps)
{
    mt_model *model = make_model(MT_F64, MT_LAYER_NORM, true, true);
    double whole[MOST], outputs[MOST];
    forward(model, whole);
    mt_stream *stream = make_stream(model, B);
    ck_assert_int_eq(mt_stream_width(stream), V);
    ck_assert_int_eq(feed(stream, model, 0, B, 0, 4, 0, outputs), MT_OK);
    ck_assert_int_eq(feed(stream, model, 0, B, 4, 5, 2, outputs), MT_OK);
    check_stretch(whole, V, 0, B, 7, 2, outputs, 1e-13);
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

/* Calls of the device's, and of the C library's by the library's objects: the linker wraps those
 * (see tests/CMakeLists.txt). */
static struct {
    int device_allocations, host_allocations, writes, reads;
} counted;

#define COUNT_CALLS(name, parameters, arguments)                                                   \
    void *__real_##name parameters;                                                                \
    void *__wrap_##name parameters;                                                                \
    void *__wrap_##name parameters                                                                 \
    {                                                                                              \
        counted.host_allocations++;                                                                \
        return __real_##name arguments;                                                            \
    }

COUNT_CALLS(malloc, (size_t size), (size))
COUNT_CALLS(calloc, (size_t count, size_t size), (count, size))
COUNT_CALLS(realloc, (void *memory, size_t size), (memory, size))
COUNT_CALLS(aligned_alloc, (size_t alignment, size_t size), (alignment, size))

static mt_device plain; /* the device as it was */

static mt_status counting_allocate(mt_device *device, size_t bytes, void **memory)
{
    counted.device_allocations++;
    return plain.allocate(device, bytes, memory);
}

static mt_status counting_write(mt_device *device, void *to, const void *from, size_t bytes)
{
    counted.writes++;
    return plain.write(device, to, from, bytes);
}

static mt_status counting_read_back(mt_device *device, void *to, const void *from, size_t bytes)
{
    counted.reads++;
    return plain.read_back(device, to, from, bytes);
}

/* Stretches of one step and of four, of which the first of each may allocate; labels are all that
 * goes to the device, and outputs all that comes back. */
START_TEST(test_later_calls_allocate_nothing_and_carry_nothing_through_the_host)
{
    mt_model *model = make_model(MT_F32, MT_LAYER_NORM, true, true);
    mt_stream *stream = make_stream(model, B);
    double outputs[MOST];
    plain = *test_device;
    test_device->allocate = counting_allocate;
    test_device->write = counting_write;
    test_device->read_back = counting_read_back;
    for (int i = 0; i < 8; i++) {
        memset(&counted, 0, sizeof counted);
        mt_status status = feed(stream, model, 0, B, 0, i % 2 == 0 ? 1 : 4, 1, outputs);
        int device_allocations = counted.device_allocations, on_host = counted.host_allocations;
        ck_assert_int_eq(status, MT_OK);
        if (i == 0) {
            ck_assert_int_gt(device_allocations, 0); /* what counts them does count */
            ck_assert_int_gt(on_host, 0);
        } else if (i > 1) {
            ck_assert_int_eq(device_allocations, 0);
            ck_assert_int_eq(on_host, 0);
        }
        ck_assert_int_eq(counted.writes, 1);
        ck_assert_int_eq(counted.reads, 1);
    }
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

/* Row 1 begins anew after four steps; the others go on. */
START_TEST(test_a_row_begins_anew_by_itself)
{
    mt_model *model = make_model(MT_F64, MT_LAYER_NORM, true, true);
    double whole[MOST], outputs[MOST];
    mt_stream *stream = make_stream(model, B);
    lower_keys(model);
    forward(model, whole);
    int32_t now[B];
    for (int t = 0; t < 8; t++) {
        if (t == 4) {
            ck_assert_int_eq(mt_stream_reset(stream, 1), MT_OK);
        }
        for (int b = 0; b < B; b++) {
            now[b] = labels[b * T + (b == 1 ? t % 4 : t)];
        }
        ck_assert_int_eq(mt_stream_feed(stream, 1, now, 1, outputs), MT_OK);
        for (int b = 0; b < B; b++) {
            check_stretch(whole, V, b, 1, b == 1 ? t % 4 : t, 1, outputs + b * V, 1e-13);
        }
    }
    ck_assert_int_eq(mt_stream_reset(stream, MT_EVERY_ROW), MT_OK);
    ck_assert_int_eq(feed(stream, model, 0, B, 0, 3, 3, outputs), MT_OK);
    check_stretch(whole, V, 0, B, 0, 3, outputs, 1e-13);
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

/* Rows 0 and 2 are handed over after four steps: one to a stream of its own, one by host memory. */
START_TEST(test_a_row_goes_on_elsewhere)
{
    mt_model *model = make_model(MT_F32, MT_LAYER_NORM, true, true);
    double whole[MOST], outputs[MOST];
    mt_stream *stream = make_stream(model, B), *alone = make_stream(model, 1),
              *all = make_stream(model, B);
    forward(model, whole);
    ck_assert_int_eq(feed(stream, model, 0, B, 0, 4, 0, NULL), MT_OK);
    size_t bytes = mt_stream_row_bytes(stream);
    ck_assert_uint_eq(bytes, 2 * (2 * 4 + 3 * 6) * sizeof(float));
    char *rows = malloc(B * bytes), *again = malloc(B * bytes);
    ck_assert(rows != NULL && again != NULL);

    ck_assert_int_eq(mt_stream_copy(alone, 0, stream, 2), MT_OK);
    ck_assert_int_eq(feed(alone, model, 2, 1, 4, 5, 5, outputs), MT_OK);
    check_stretch(whole, V, 2, 1, 4, 5, outputs, 2e-6);

    ck_assert_int_eq(mt_stream_save(stream, 0, rows), MT_OK);
    ck_assert_int_eq(mt_stream_load(alone, MT_EVERY_ROW, rows), MT_OK);
    ck_assert_int_eq(feed(alone, model, 0, 1, 4, 5, 5, outputs), MT_OK);
    check_stretch(whole, V, 0, 1, 4, 5, outputs, 2e-6);

    ck_assert_int_eq(mt_stream_save(stream, MT_EVERY_ROW, rows), MT_OK);
    for (int b = 0; b < B; b++) {
        ck_assert_int_eq(mt_stream_save(stream, b, again + (size_t)b * bytes), MT_OK);
    }
    ck_assert_mem_eq(rows, again, B * bytes);
    ck_assert_int_eq(mt_stream_copy(stream, 1, stream, 1), MT_OK); /* changes nothing */
    ck_assert_int_eq(mt_stream_save(stream, MT_EVERY_ROW, again), MT_OK);
    ck_assert_mem_eq(rows, again, B * bytes);
    ck_assert_int_eq(mt_stream_load(all, MT_EVERY_ROW, rows), MT_OK);
    ck_assert_int_eq(feed(all, model, 0, B, 4, 5, 5, outputs), MT_OK);
    check_stretch(whole, V, 0, B, 4, 5, outputs, 2e-6);
    ck_assert_int_eq(mt_stream_reset(all, MT_EVERY_ROW), MT_OK);
    ck_assert_int_eq(mt_stream_copy(all, MT_EVERY_ROW, stream, MT_EVERY_ROW), MT_OK);
    ck_assert_int_eq(feed(all, model, 0, B, 4, 5, 5, outputs), MT_OK);
    check_stretch(whole, V, 0, B, 4, 5, outputs, 2e-6);
    ck_assert_int_eq(mt_stream_copy(alone, MT_EVERY_ROW, stream, MT_EVERY_ROW), MT_ERROR_INVALID);
    free(rows);
    free(again);
    mt_stream_destroy(stream);
    mt_stream_destroy(alone);
    mt_stream_destroy(all);
    mt_model_destroy(model);
}
END_TEST

/* A label beyond the vocabulary, or too many steps: the next call goes on from before. */
START_TEST(test_after_a_failure_the_stream_is_where_it_was)
{
    mt_model *model = make_model(MT_F64, MT_LAYER_NORM, true, true);
    double whole[MOST], outputs[MOST];
    const int32_t wrong[B] = {1, V, 2};
    int32_t many[B * (T + 1)] = {0};
    mt_stream *stream = make_stream(model, B);
    forward(model, whole);
    ck_assert_int_eq(feed(stream, model, 0, B, 0, 4, 0, NULL), MT_OK);
    ck_assert_int_eq(mt_stream_feed(stream, 1, wrong, 1, outputs), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "7"));
    ck_assert_int_eq(mt_stream_feed(stream, 1, wrong, 0, NULL), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_stream_feed(stream, T + 1, many, 1, outputs), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "context_size"));
    ck_assert_int_eq(mt_stream_feed(stream, 0, many, 0, outputs), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_stream_feed(stream, 1, many, 2, outputs), MT_ERROR_INVALID);
    ck_assert_int_eq(feed(stream, model, 0, B, 4, 5, 5, outputs), MT_OK);
    check_stretch(whole, V, 0, B, 4, 5, outputs, 1e-13);
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_what_does_not_fit_is_refused)
{
    mt_model *model = make_model(MT_F32, MT_LAYER_NORM, true, true);
    mt_model *wide = make_model(MT_F64, MT_LAYER_NORM, true, true);
    mt_model *real = make_model(MT_F32, MT_LAYER_NORM, false, true);
    mt_stream *stream = make_stream(model, B), *other = make_stream(wide, B),
              *reals = make_stream(real, 1), *none;
    double outputs[MOST], values[T * FEATURES] = {0.0};
    char row[1024];
    ck_assert_int_eq(mt_stream_reset(stream, B), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "stream: there is no row 3 of 3");
    ck_assert_int_eq(mt_stream_reset(stream, -2), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_stream_save(stream, B, row), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_stream_load(stream, B, row), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_stream_copy(stream, MT_EVERY_ROW, stream, 0), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_stream_copy(stream, 0, other, 0), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_stream_feed_features(stream, 1, values, 1, outputs), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "stream: the model takes labels, not features");
    ck_assert_int_eq(mt_stream_feed(reals, 1, labels, 1, outputs), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_stream_create(model, 0, &none), MT_ERROR_INVALID);
    ck_assert_ptr_null(none);
    /* Rows of 2 (2 4 + 3 6) values: times 4 bytes, this many would seem to be few. */
    ck_assert_int_eq(mt_stream_create(model, 6 * (INT64_C(1) << 59), &none), MT_ERROR_MEMORY);
    ck_assert_str_eq(mt_error_message(),
                     "stream: 3458764513820540928 rows of 208 bytes are too many");
    mt_stream_destroy(stream);
    mt_stream_destroy(other);
    mt_stream_destroy(reals);
    mt_model_destroy(real);
    mt_model_destroy(wide);

    mt_model_config config = mt_model_config_default(V, 40); /* 40 is no multiple of 32 */
    mt_model_destroy(model);
    ck_assert_int_eq(mt_model_create(test_device, MT_F32, &config, 5, &model), MT_OK);
    ck_assert_int_eq(mt_stream_create(model, 1, &none), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "40"));
    mt_model_destroy(model);
}
END_TEST

static Suite *stream_suite(void)
{
    return SUITE_WITH(
        "stream", stream_setup, graph_teardown, test_a_stream_gives_what_the_whole_sequence_gives,
        test_outputs_are_those_of_the_last_steps,
        test_later_calls_allocate_nothing_and_carry_nothing_through_the_host,
        test_a_row_begins_anew_by_itself, test_a_row_goes_on_elsewhere,
        test_after_a_failure_the_stream_is_where_it_was, test_what_does_not_fit_is_refused);
}

MT_TEST_MAIN(stream_suite)
