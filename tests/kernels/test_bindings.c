/* The interface for bindings: the table's own kernels, on the caller's stream. */
#include <mixtape/wkv.h>

#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

enum { B = 2, T = 70, C = 5 };

/* NULL where none is taken. */
static void *workspace_of(kernel_build *build)
{
    size_t bytes = mt_wkv_workspace_size(build->device, build->dtype, B, T, C);
    return bytes > 0 ? blank_bytes(build, bytes) : NULL;
}

typedef struct wkv_arrays {
    mt_wkv_forward_args forward;
    mt_wkv_backward_args backward;
} wkv_arrays;

static wkv_arrays make_arrays(kernel_build *build)
{
    mt_wkv_forward_args forward = {.B = B, .T = T, .C = C};
    forward.w = uniform_wide(build, C, -1.0, 0.0, 1);
    forward.u = uniform_wide(build, C, -1.0, 1.0, 2);
    forward.k = uniform(build, B * T * C, -1.0, 1.0, 3);
    forward.v = uniform(build, B * T * C, -1.0, 1.0, 4);
    forward.y = blank(build, B * T * C);
    forward.state_out = blank_wide(build, 3 * B * C);
    forward.saved = blank_bytes(build, mt_wkv_saved_size(build->device, build->dtype, B, T, C));
    forward.workspace = workspace_of(build);
    mt_wkv_backward_args backward = {.B = B,
                                     .T = T,
                                     .C = C,
                                     .w = forward.w,
                                     .u = forward.u,
                                     .k = forward.k,
                                     .v = forward.v,
                                     .saved = forward.saved,
                                     .dy = uniform(build, B * T * C, -1.0, 1.0, 5),
                                     .dw = blank_wide(build, C),
                                     .du = blank_wide(build, C),
                                     .dk = blank(build, B * T * C),
                                     .dv = blank(build, B * T * C),
                                     .dstate_in = blank_wide(build, 3 * B * C),
                                     .workspace = workspace_of(build)};
    return (wkv_arrays){forward, backward};
}

static void check_saved_size(kernel_build *build)
{
    int64_t steps = build->dtype == MT_F64 ? 16 : 32;
    for (int64_t b = 1; b <= 64; b *= 4) {
        for (int64_t t = 1; t < 200; t++) {
            size_t most = (size_t)((t + steps - 1) / steps + 1) * 3 * (size_t)b * 65;
            ck_assert_uint_le(mt_wkv_saved_size(build->device, build->dtype, b, t, 65),
                              most * mt_dtype_size(mt_dtype_wide(build->dtype)));
        }
    }
}

START_TEST(test_saved_has_the_size_that_callers_plan_with)
{
    for_each_table(check_saved_size);
}
END_TEST

static void check_equal(kernel_build *build)
{
    wkv_arrays own = make_arrays(build), bound = make_arrays(build);
    own.forward.workspace = own.backward.workspace = NULL;
    assert_ok(build->kernels->wkv_forward(build->device, &own.forward));
    assert_ok(build->kernels->wkv_backward(build->device, &own.backward));
    assert_ok(build->device->synchronize(build->device)); /* the arrays are there */
    assert_ok(mt_wkv_forward(build->device, NULL, build->dtype, &bound.forward));
    assert_ok(mt_wkv_backward(build->device, NULL, build->dtype, &bound.backward));
    build->device->use_stream(build->device, NULL);
    assert_ok(build->device->synchronize(build->device));
    build->device->use_own_stream(build->device);
    const void *pairs[][2] = {{own.forward.y, bound.forward.y},
                              {own.backward.dk, bound.backward.dk},
                              {own.backward.dv, bound.backward.dv}};
    for (int i = 0; i < 3; i++) {
        const double *expected = values_of(build, pairs[i][0], B * T * C);
        assert_close(build, "array", pairs[i][1], expected, B * T * C, 0.0);
    }
    assert_close(build, "dw", bound.backward.dw, values_of(build, own.backward.dw, C), C, 0.0);
    assert_close(build, "dstate_in", bound.backward.dstate_in,
                 values_of(build, own.backward.dstate_in, 3 * B * C), 3 * B * C, 0.0);
}

START_TEST(test_results_are_those_of_the_table)
{
    for_each_table(check_equal);
}
END_TEST

static const struct {
    int64_t B, T, C;
    const char *says;
} wrong_sizes[] = {{0, 1, 1, "batch 0"},
                   {1, -1, 1, "sequence length -1"},
                   {1, 1, 0, "channels 0"},
                   {INT64_MAX / 4, 4, 4, "batch 2305843009213693951"}};

static void check_refused(kernel_build *build)
{
    for (size_t i = 0; i < sizeof wrong_sizes / sizeof *wrong_sizes; i++) {
        mt_wkv_forward_args forward = {
            .B = wrong_sizes[i].B, .T = wrong_sizes[i].T, .C = wrong_sizes[i].C};
        mt_wkv_backward_args backward = {
            .B = wrong_sizes[i].B, .T = wrong_sizes[i].T, .C = wrong_sizes[i].C};
        assert_fails_with(mt_wkv_forward(build->device, NULL, build->dtype, &forward),
                          MT_ERROR_INVALID, wrong_sizes[i].says);
        assert_fails_with(mt_wkv_backward(build->device, NULL, build->dtype, &backward),
                          MT_ERROR_INVALID, wrong_sizes[i].says);
        ck_assert_uint_eq(
            mt_wkv_saved_size(build->device, build->dtype, forward.B, forward.T, forward.C), 0);
        ck_assert_uint_eq(
            mt_wkv_workspace_size(build->device, build->dtype, forward.B, forward.T, forward.C), 0);
    }
    mt_wkv_forward_args forward = {.B = 1, .T = 1, .C = 1};
    for (int type = MT_I32; type <= MT_I8; type++) {
        assert_fails_with(mt_wkv_forward(build->device, NULL, (mt_dtype)type, &forward),
                          MT_ERROR_INVALID, "has no kernels");
    }
}

START_TEST(test_sizes_and_types_without_kernels_are_refused)
{
    for_each_table(check_refused);
}
END_TEST

static void check_no_workspace(kernel_build *build)
{
    wkv_arrays arrays = make_arrays(build);
    if (arrays.forward.workspace == NULL) {
        return;
    }
    arrays.forward.workspace = arrays.backward.workspace = NULL;
    assert_fails_with(mt_wkv_forward(build->device, NULL, build->dtype, &arrays.forward),
                      MT_ERROR_INVALID, "no workspace");
    assert_fails_with(mt_wkv_backward(build->device, NULL, build->dtype, &arrays.backward),
                      MT_ERROR_INVALID, "no workspace");
}

START_TEST(test_a_missing_workspace_is_refused)
{
    for_each_table(check_no_workspace);
}
END_TEST

START_TEST(test_the_version_is_the_headers)
{
    ck_assert_int_eq(mt_bindings_version(), MT_BINDINGS_VERSION);
}
END_TEST

static Suite *bindings_suite(void)
{
    return SUITE("bindings", test_saved_has_the_size_that_callers_plan_with,
                 test_results_are_those_of_the_table,
                 test_sizes_and_types_without_kernels_are_refused,
                 test_a_missing_workspace_is_refused, test_the_version_is_the_headers);
}

MT_TEST_MAIN(bindings_suite)
