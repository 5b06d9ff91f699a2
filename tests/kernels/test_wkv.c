/* WKV and its gradients against the reference: at the borders of chunks, with carried states, and
 * with numbers that overflow an exponential; cut anywhere; with arrays left out. */
#include "kernels/reference/reference.h"
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

typedef struct wkv_case {
    int64_t B, T, C;
    bool carried;
    double key_range, decay_range; /* k in +- key_range, w in -decay_range .. 0 */
} wkv_case;

/* One problem: arrays on the device, and as doubles for the reference. */
typedef struct wkv_data {
    mt_wkv_forward_args args, plain;
    double *k, *v, *state; /* of `plain`; state is the empty one where none is carried */
} wkv_data;

static wkv_data make_data(kernel_build *build, const wkv_case *c)
{
    int64_t n = c->B * c->T * c->C, states = c->B * c->C;
    wkv_data data = {.args = {.B = c->B, .T = c->T, .C = c->C}};
    mt_wkv_forward_args *args = &data.args;
    args->w = uniform_wide(build, c->C, -c->decay_range, 0.0, 1);
    args->u = uniform_wide(build, c->C, -1.0, 1.0, 2);
    args->k = uniform(build, n, -c->key_range, c->key_range, 3);
    args->v = uniform(build, n, -1.0, 1.0, 4);
    data.k = values_of(build, args->k, n);
    data.v = values_of(build, args->v, n);
    data.state = host_doubles(build, 3 * states);
    if (c->carried) {
        const double *num = draw(build, states, -1.0, 1.0, 5);
        const double *den = draw(build, states, 0.5, 1.5, 6);
        const double *max = draw(build, states, -1.0, 1.0, 7);
        memcpy(data.state, num, (size_t)states * sizeof(double));
        memcpy(data.state + states, den, (size_t)states * sizeof(double));
        memcpy(data.state + 2 * states, max, (size_t)states * sizeof(double));
        args->state_in = upload_wide(build, data.state, 3 * states);
        data.state = values_of(build, args->state_in, 3 * states);
    } else {
        for (int64_t i = 2 * states; i < 3 * states; i++) {
            data.state[i] = MT_WKV_EMPTY_MAX;
        }
    }
    args->y = blank(build, n);
    args->state_out = blank_wide(build, 3 * states);
    args->saved =
        blank_bytes(build, build->kernels->wkv_saved_size(build->device, c->B, c->T, c->C));
    data.plain = (mt_wkv_forward_args){.B = c->B,
                                       .T = c->T,
                                       .C = c->C,
                                       .w = values_of(build, args->w, c->C),
                                       .u = values_of(build, args->u, c->C),
                                       .k = data.k,
                                       .v = data.v,
                                       .state_in = c->carried ? data.state : NULL,
                                       .y = host_doubles(build, n),
                                       .state_out = host_doubles(build, 3 * states),
                                       .saved = host_doubles(build, 3 * n)};
    return data;
}

/* Forward, on the device and by the reference. */
static void compare_forward(kernel_build *build, const wkv_data *data, double units)
{
    const mt_wkv_forward_args *args = &data->args;
    assert_ok(build->kernels->wkv_forward(build->device, args));
    mt_reference_wkv_forward(&data->plain);
    assert_close(build, "y", args->y, data->plain.y, args->B * args->T * args->C, units);
}

static const wkv_case small_cases[] = {
    {1, 1, 1, false, 1.0, 1.0},   {2, 1, 17, true, 1.0, 1.0},     {1, 2, 3, false, 3.0, 1.0},
    {2, 31, 3, true, 1.0, 0.1},   {1, 32, 17, false, 1.0, 1.0},   {1, 33, 33, true, 2.0, 2.0},
    {3, 63, 2, false, 1.0, 0.01}, {2, 64, 5, true, 1.0, 1.0},     {2, 65, 5, true, 1.0, 1.0},
    {1, 97, 70, true, 1.0, 0.5},  {1, 130, 1, false, 1.0, 1.0},   {17, 40, 3, true, 1.0, 1.0},
    {1, 97, 130, true, 1.0, 1.0}, {2, 70, 300, true, 1.0, 1.0},   {2, 70, 5, true, 30.0, 30.0},
    {1, 33, 9, true, 60.0, 60.0}, {2, 40, 5, true, 300.0, 300.0}, {1, 97, 3, true, 500.0, 500.0},
};

enum { SMALL_CASES = sizeof small_cases / sizeof *small_cases };

/* Units of rounding that outputs may be off: more where exponents are large, which are rounded
 * too. */
static double units_of(const wkv_case *c)
{
    double exponents = c->key_range + (c->decay_range <= 1e4 ? c->decay_range : 0.0);
    return exponents <= 5.0 ? 64.0 : 64.0 + 8.0 * exponents;
}

static void check_outputs(kernel_build *build)
{
    for (int i = 0; i < SMALL_CASES; i++) {
        const wkv_case *c = &small_cases[i];
        int64_t states = c->B * c->C;
        wkv_data data = make_data(build, c);
        compare_forward(build, &data, units_of(c));
        const double *state = values_of(build, data.args.state_out, 3 * states);
        const double *expected = data.plain.state_out;
        for (int64_t s = 0; s < states; s++) {
            double scale = exp(state[2 * states + s] - expected[2 * states + s]);
            double num = state[s] * scale, den = state[states + s] * scale;
            double expected_num = expected[s], expected_den = expected[states + s];
            double bound = 4.0 * units_of(c) * build->epsilon * (1.0 + expected_den);
            ck_assert_msg(fabs(num - expected_num) <= bound && fabs(den - expected_den) <= bound,
                          "%s: case %d: state %lld is (%g, %g), expected (%g, %g)", build->name, i,
                          (long long)s, num, den, expected_num, expected_den);
        }
    }
}

START_TEST(test_output_and_state_are_the_references)
{
    for_each_table(check_outputs);
}
END_TEST

/* A first key of -1e30, or the least that there is, is no different from any other: y[0] is
 * v[0]. */
static void check_very_negative(kernel_build *build)
{
    const wkv_case c = {1, 3, 17, false, 1.0, 1.0};
    wkv_data data = make_data(build, &c);
    for (int i = 0; i < 51; i++) {
        data.k[i] = build->dtype == MT_F16 ? -65504.0 : -1e30;
    }
    data.args.k = upload(build, data.k, 51);
    assert_ok(build->kernels->wkv_forward(build->device, &data.args));
    assert_close(build, "y", data.args.y, data.v, 17, 4.0);
}

START_TEST(test_first_output_is_the_first_value_however_small_its_key)
{
    for_each_table(check_very_negative);
}
END_TEST

/* With time_decay above 88.7, w is -inf in float32: a step remembers the one before, and no
 * other. */
static void check_forgetting(kernel_build *build)
{
    enum { T = 70, C = 3 };
    const wkv_case c = {1, T, C, false, 1.0, 1.0};
    wkv_data data = make_data(build, &c);
    const double forgets[C] = {-INFINITY, -INFINITY, -INFINITY};
    const double *u = data.plain.u;
    double expected[T * C];
    for (int i = 0; i < T * C; i++) {
        double now = exp(u[i % C] + data.k[i]), before = i < C ? 0.0 : exp(data.k[i - C]);
        expected[i] = (now * data.v[i] + (i < C ? 0.0 : before * data.v[i - C])) / (now + before);
    }
    data.args.w = upload_wide(build, forgets, C);
    assert_ok(build->kernels->wkv_forward(build->device, &data.args));
    assert_close(build, "y", data.args.y, expected, T * C, 16.0);
}

START_TEST(test_an_infinite_decay_forgets_all_but_the_last_step)
{
    for_each_table(check_forgetting);
}
END_TEST

/* ---- gradients ---- */

/* Gradients on the device, and by the reference. The gradient of the last state is given at the max
 * of each, which may differ: the same gradient of unscaled sums. */
typedef struct wkv_grads {
    mt_wkv_backward_args args, plain;
} wkv_grads;

static mt_wkv_backward_args backward_of(const mt_wkv_forward_args *forward)
{
    return (mt_wkv_backward_args){.B = forward->B,
                                  .T = forward->T,
                                  .C = forward->C,
                                  .w = forward->w,
                                  .u = forward->u,
                                  .k = forward->k,
                                  .v = forward->v,
                                  .saved = forward->saved};
}

static wkv_grads run_backward(kernel_build *build, const wkv_data *data)
{
    int64_t C = data->args.C, states = data->args.B * C, n = states * data->args.T;
    wkv_grads grads = {.args = backward_of(&data->args), .plain = backward_of(&data->plain)};
    mt_wkv_backward_args *args = &grads.args, *plain = &grads.plain;
    args->dy = uniform(build, n, -1.0, 1.0, 8);
    args->dstate_out = uniform_wide(build, 3 * states, -1.0, 1.0, 9);
    args->dw = blank_wide(build, C);
    args->du = blank_wide(build, C);
    args->dk = blank(build, n);
    args->dv = blank(build, n);
    args->dstate_in = blank_wide(build, 3 * states);
    assert_ok(build->kernels->wkv_forward(build->device, &data->args));
    assert_ok(build->kernels->wkv_backward(build->device, args));
    mt_reference_wkv_forward(&data->plain);
    const double *max = values_of(build, data->args.state_out, 3 * states) + 2 * states;
    const double *plain_max = (const double *)data->plain.state_out + 2 * states;
    double *dstate_out = values_of(build, args->dstate_out, 3 * states);
    for (int64_t i = 0; i < 2 * states; i++) {
        dstate_out[i] *= exp(plain_max[i % states] - max[i % states]);
    }
    plain->dy = values_of(build, args->dy, n);
    plain->dstate_out = dstate_out;
    plain->dw = host_doubles(build, C);
    plain->du = host_doubles(build, C);
    plain->dk = host_doubles(build, n);
    plain->dv = host_doubles(build, n);
    plain->dstate_in = host_doubles(build, 3 * states);
    mt_reference_wkv_backward(plain);
    return grads;
}

/* sum_units: of what is summed over time. */
static void compare_gradients(kernel_build *build, const wkv_case *c, double units,
                              double sum_units)
{
    int64_t n = c->B * c->T * c->C;
    wkv_data data = make_data(build, c);
    wkv_grads grads = run_backward(build, &data);
    const mt_wkv_backward_args *args = &grads.args, *plain = &grads.plain;
    assert_close(build, "dw", args->dw, plain->dw, c->C, sum_units);
    assert_close(build, "du", args->du, plain->du, c->C, sum_units);
    assert_close(build, "dk", args->dk, plain->dk, n, units);
    assert_close(build, "dv", args->dv, plain->dv, n, units);
    assert_close(build, "dstate_in", args->dstate_in, plain->dstate_in, 3 * c->B * c->C, units);
}

static void check_gradients(kernel_build *build)
{
    for (int i = 0; i < SMALL_CASES; i++) {
        const wkv_case *c = &small_cases[i];
        double units = build->dtype == MT_F64 ? 1e-6 / DBL_EPSILON : 8.0 * units_of(c);
        compare_gradients(build, c, units, units);
    }
}

START_TEST(test_gradients_are_the_references)
{
    for_each_table(check_gradients);
}
END_TEST

/* Numbers at which an unscaled sum overflows or vanishes. */
static void check_extremes(kernel_build *build)
{
    static const wkv_case cases[] = {{2, 70, 3, false, 1e4, 1.0},
                                     {1, 70, 17, true, 1e4, 1e4},
                                     {1, 40, 5, true, 1.0, 1e30},
                                     {2, 100, 3, false, 100.0, 1e-6},
                                     {17, 40, 3, false, 1e4, 50.0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const wkv_case *c = &cases[i];
        wkv_data data = make_data(build, c);
        compare_forward(build, &data, units_of(c));
        compare_gradients(build, c, 8.0 * units_of(c), 8.0 * units_of(c));
    }
}

START_TEST(test_extreme_keys_and_decays_stay_finite_and_right)
{
    for_each_table(check_extremes);
}
END_TEST

/* Long sequences, with enough elements for threads: in few rows, where time is cut, and in many. */
static void check_long(kernel_build *build)
{
    static const wkv_case cases[] = {{1, 10000, 3, true, 1.0, 0.5},
                                     {2, 1000, 32, false, 1.0, 0.05},
                                     {40, 33, 40, true, 1.0, 1.0},
                                     {3, 100, 300, true, 1.0, 1.0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wkv_data data = make_data(build, &cases[i]);
        compare_forward(build, &data, 256.0);
        compare_gradients(build, &cases[i], 2048.0, 65536.0);
    }
}

START_TEST(test_long_sequences_are_the_references)
{
    for_each_table(check_long);
}
END_TEST

/* A device may hand states on from group to group of 16 chunks: here one chunk follows a whole
 * group, whichever power of 2 its chunks have as steps. */
static void check_one_chunk_more(kernel_build *build)
{
    for (int64_t steps = 16; steps <= 512; steps *= 2) {
        const wkv_case c = {1, 16 * steps + 1, 1, true, 1.0, 0.5};
        wkv_data data = make_data(build, &c);
        compare_forward(build, &data, 256.0);
        compare_gradients(build, &c, 2048.0, 65536.0);
    }
}

START_TEST(test_one_chunk_behind_a_group_is_the_references)
{
    for_each_table(check_one_chunk_more);
}
END_TEST

/* ---- streaming ---- */

/* A copy of steps first .. first + steps - 1 of an array (B, T, C). */
static double *slice(kernel_build *build, const double *array, const wkv_case *c, int64_t first,
                     int64_t steps)
{
    double *part = host_doubles(build, c->B * steps * c->C);
    for (int64_t b = 0; b < c->B; b++) {
        memcpy(part + b * steps * c->C, array + (b * c->T + first) * c->C,
               (size_t)(steps * c->C) * sizeof *part);
    }
    return part;
}

static void *upload_slice(kernel_build *build, const double *array, const wkv_case *c,
                          int64_t first, int64_t steps)
{
    return upload(build, slice(build, array, c, first, steps), c->B * steps * c->C);
}

/* The sequence in two pieces, cut before `cut`, the state handed on in place and its gradient
 * handed back, against the reference's whole. */
static void compare_pieces(kernel_build *build, const wkv_case *c, int64_t cut)
{
    wkv_data data = make_data(build, c);
    wkv_grads whole = run_backward(build, &data);
    int64_t states = c->B * c->C, first[] = {0, cut}, steps[] = {cut, c->T - cut};
    double units = 512.0, *dw_sum = host_doubles(build, c->C);
    mt_wkv_forward_args pieces[2];
    void *state = upload_wide(build, data.state, 3 * states);
    for (int p = 0; p < 2; p++) {
        pieces[p] = data.args;
        pieces[p].T = steps[p];
        pieces[p].k = upload_slice(build, data.k, c, first[p], steps[p]);
        pieces[p].v = upload_slice(build, data.v, c, first[p], steps[p]);
        pieces[p].y = blank(build, c->B * steps[p] * c->C);
        pieces[p].state_in = pieces[p].state_out = state;
        pieces[p].saved =
            blank_bytes(build, build->kernels->wkv_saved_size(build->device, c->B, steps[p], c->C));
        assert_ok(build->kernels->wkv_forward(build->device, &pieces[p]));
        assert_close(build, "y", pieces[p].y, slice(build, data.plain.y, c, first[p], steps[p]),
                     c->B * steps[p] * c->C, 64.0);
    }
    /* The last state may stand at another max than the whole's: hand over the unscaled gradient. */
    const double *max = values_of(build, state, 3 * states) + 2 * states;
    const double *whole_max = (const double *)data.plain.state_out + 2 * states;
    double *dlast = host_doubles(build, 3 * states);
    for (int64_t i = 0; i < 2 * states; i++) {
        dlast[i] = ((const double *)whole.plain.dstate_out)[i] *
                   exp(max[i % states] - whole_max[i % states]);
    }
    void *dstate = upload_wide(build, dlast, 3 * states);
    for (int p = 1; p >= 0; p--) {
        mt_wkv_backward_args args = whole.args;
        args.T = steps[p];
        args.k = pieces[p].k;
        args.v = pieces[p].v;
        args.saved = pieces[p].saved;
        args.dy = upload_slice(build, whole.plain.dy, c, first[p], steps[p]);
        args.dk = blank(build, c->B * steps[p] * c->C);
        args.dv = blank(build, c->B * steps[p] * c->C);
        args.dw = blank_wide(build, c->C);
        args.dstate_out = dstate;
        args.dstate_in = dstate = blank_wide(build, 3 * states);
        assert_ok(build->kernels->wkv_backward(build->device, &args));
        assert_close(build, "dk", args.dk, slice(build, whole.plain.dk, c, first[p], steps[p]),
                     c->B * steps[p] * c->C, units);
        assert_close(build, "dv", args.dv, slice(build, whole.plain.dv, c, first[p], steps[p]),
                     c->B * steps[p] * c->C, units);
        const double *dw = values_of(build, args.dw, c->C);
        for (int64_t e = 0; e < c->C; e++) {
            dw_sum[e] += dw[e];
        }
    }
    assert_close(build, "dw", whole.args.dw, dw_sum, c->C, units);
    if (c->carried) {
        assert_close(build, "dstate_in", whole.args.dstate_in, values_of(build, dstate, 3 * states),
                     3 * states, units);
    }
}

static void check_pieces(kernel_build *build)
{
    static const wkv_case c = {2, 70, 5, true, 1.0, 1.0}, many = {17, 70, 3, false, 1.0, 1.0};
    static const int64_t cuts[] = {1, 31, 32, 33, 64, 69};
    for (int i = 0; i < 6; i++) {
        compare_pieces(build, &c, cuts[i]);
        compare_pieces(build, &many, cuts[i]);
    }
}

START_TEST(test_pieces_with_carried_state_equal_the_whole)
{
    for_each_table(check_pieces);
}
END_TEST

/* ---- what may be left out ---- */

static void check_optional(kernel_build *build)
{
    static const wkv_case cases[] = {{2, 70, 5, true, 1.0, 1.0}, {17, 40, 3, true, 1.0, 1.0}};
    for (int i = 0; i < 2; i++) {
        const wkv_case *c = &cases[i];
        int64_t n = c->B * c->T * c->C;
        wkv_data data = make_data(build, c);
        wkv_grads all = run_backward(build, &data);
        mt_wkv_forward_args forward = data.args;
        forward.saved = forward.state_out = NULL;
        forward.y = blank(build, n);
        assert_ok(build->kernels->wkv_forward(build->device, &forward));
        /* The CPU may walk time in another way then. */
        bool other = strcmp(build->device->name, "cpu") == 0;
        const double *y = other ? data.plain.y : values_of(build, data.args.y, n);
        assert_close(build, "y alone", forward.y, y, n, other ? 64.0 : 0.0);
        mt_wkv_backward_args back = all.args;
        back.dw = back.du = back.dk = back.dv = back.dstate_in = NULL;
        const struct {
            const char *name;
            void **output;
            const void *expected;
            int64_t count;
        } alone[] = {{"dw alone", &back.dw, all.args.dw, c->C},
                     {"du alone", &back.du, all.args.du, c->C},
                     {"dk alone", &back.dk, all.args.dk, n},
                     {"dv alone", &back.dv, all.args.dv, n},
                     {"dstate_in alone", &back.dstate_in, all.args.dstate_in, 3 * c->B * c->C}};
        for (size_t j = 0; j < sizeof alone / sizeof *alone; j++) {
            mt_dtype dtype = type_of(build, alone[j].expected);
            *alone[j].output = blank_as(build, dtype, alone[j].count);
            assert_ok(build->kernels->wkv_backward(build->device, &back));
            assert_close(build, alone[j].name, *alone[j].output,
                         values_of(build, alone[j].expected, alone[j].count), alone[j].count, 0.0);
            *alone[j].output = NULL;
        }
        assert_ok(build->kernels->wkv_backward(build->device, &back));
        back.dy = back.dstate_out = NULL;
        back.dv = blank(build, n);
        back.dw = blank_wide(build, c->C);
        assert_ok(build->kernels->wkv_backward(build->device, &back));
        const double *zeros = host_doubles(build, n);
        assert_close(build, "dv of nothing", back.dv, zeros, n, 0.0);
        assert_close(build, "dw of nothing", back.dw, zeros, c->C, 0.0);
    }
}

START_TEST(test_absent_arrays_are_skipped_or_zero)
{
    for_each_table(check_optional);
}
END_TEST

/* ---- what is not a number, and what repeats ---- */

/* A key, a value, a carried number that is not a number spoils its channel from there on, and no
 * other. The bits of `blank` memory, all ones, are such a number. */
static void check_not_a_number(kernel_build *build)
{
    enum { T = 1100, C = 5, KEY = 1, VALUE = 2, STATE = 3, GRAD = 4, AT = 500 };
    const wkv_case c = {1, T, C, true, 1.0, 0.1};
    wkv_data data = make_data(build, &c);
    double nan = values_of(build, blank_wide(build, 1), 1)[0];
    data.k[AT * C + KEY] = data.v[AT * C + VALUE] = data.state[STATE] = nan;
    data.args.k = upload(build, data.k, T * C);
    data.args.v = upload(build, data.v, T * C);
    data.args.state_in = upload_wide(build, data.state, 3 * C);
    wkv_grads grads = run_backward(build, &data);
    double *dstate_out = values_of(build, grads.args.dstate_out, 3 * C);
    dstate_out[GRAD] = nan;
    grads.args.dstate_out = upload_wide(build, dstate_out, 3 * C);
    assert_ok(build->kernels->wkv_backward(build->device, &grads.args));
    const double *y = values_of(build, data.args.y, T * C);
    const double *dv = values_of(build, grads.args.dv, T * C);
    const double *dw = values_of(build, grads.args.dw, C);
    for (int i = 0; i < T * C; i++) {
        int t = i / C, channel = i % C;
        bool spoilt = channel == STATE || ((channel == KEY || channel == VALUE) && t >= AT);
        ck_assert_msg(isnan(y[i]) == spoilt, "%s: y[%d, %d] is %g", build->name, t, channel, y[i]);
        if (channel == 0 || channel == GRAD) {
            ck_assert_msg(isnan(dv[i]) == (channel == GRAD), "%s: dv[%d, %d] is %g", build->name, t,
                          channel, dv[i]);
        }
    }
    for (int channel = 0; channel < C; channel++) {
        ck_assert_msg(isnan(dw[channel]) == (channel != 0), "%s: dw[%d] is %g", build->name,
                      channel, dw[channel]);
    }
}

START_TEST(test_what_is_not_a_number_reaches_its_channel_and_no_other)
{
    for_each_table(check_not_a_number);
}
END_TEST

/* Arrays of other programs begin anywhere that a number may. */
static void check_unaligned(kernel_build *build)
{
    static const wkv_case cases[] = {{1, 1, 1, true, 1.0, 1.0}, {2, 70, 37, true, 1.0, 1.0}};
    for (int i = 0; i < 2; i++) {
        const wkv_case *c = &cases[i];
        int64_t n = c->B * c->T * c->C;
        wkv_data data = make_data(build, c);
        wkv_grads grads = run_backward(build, &data);
        mt_wkv_forward_args forward = data.args;
        mt_wkv_backward_args backward = grads.args;
        const void **const inputs[] = {&forward.k, &forward.v, &backward.dy};
        for (int j = 0; j < 3; j++) {
            void *at = without_first_real(build, blank(build, n + 1));
            size_t bytes = (size_t)n * mt_dtype_size(build->dtype);
            assert_ok(build->device->copy(build->device, at, *inputs[j], bytes));
            *inputs[j] = at;
        }
        backward.k = forward.k;
        backward.v = forward.v;
        forward.y = without_first_real(build, blank(build, n + 1));
        backward.dk = without_first_real(build, blank(build, n + 1));
        backward.dv = without_first_real(build, blank(build, n + 1));
        assert_ok(build->kernels->wkv_forward(build->device, &forward));
        assert_ok(build->kernels->wkv_backward(build->device, &backward));
        assert_close(build, "y", forward.y, values_of(build, data.args.y, n), n, 0.0);
        assert_close(build, "dk", backward.dk, values_of(build, grads.args.dk, n), n, 0.0);
        assert_close(build, "dv", backward.dv, values_of(build, grads.args.dv, n), n, 0.0);
    }
}

START_TEST(test_arrays_begin_anywhere)
{
    for_each_table(check_unaligned);
}
END_TEST

/* A device that records may need more memory for other work before the recording is replayed. */
static void check_recording(kernel_build *build)
{
    mt_device *device = build->device;
    if (device->record == NULL) {
        return;
    }
    const wkv_case small = {2, 70, 5, true, 1.0, 1.0}, large = {2, 500, 300, false, 1.0, 1.0};
    wkv_data data = make_data(build, &small), other = make_data(build, &large);
    mt_recording *recording;
    void *memory; /* may be asked for meanwhile */
    compare_forward(build, &data, 64.0);
    assert_ok(device->record(device));
    assert_ok(device->allocate(device, 1 << 20, &memory));
    assert_ok(build->kernels->wkv_forward(device, &data.args));
    assert_ok(device->recorded(device, &recording));
    device->release(device, memory);
    assert_ok(build->kernels->wkv_forward(device, &other.args));
    for (int i = 0; i < 2; i++) {
        assert_ok(device->zero(device, data.args.y, 2 * 70 * 5 * mt_dtype_size(build->dtype)));
        assert_ok(device->replay(device, recording));
        assert_close(build, "y", data.args.y, data.plain.y, 2 * 70 * 5, 64.0);
    }
    device->forget(device, recording);
}

START_TEST(test_a_recording_is_replayed_after_larger_work)
{
    for_each_table(check_recording);
}
END_TEST

START_TEST(test_contract_names_both_figures)
{
    ck_assert_int_eq(mt_wkv_check(4, 1024, 512, 1024), MT_OK);
    ck_assert_int_eq(mt_wkv_check(1, 1, 1, 1), MT_OK);
    ck_assert_int_eq(mt_wkv_check(3, 1, 7, 1), MT_OK);
    ck_assert_int_eq(mt_wkv_check(2, 1, 48, 1), MT_OK);
    assert_fails_with(mt_wkv_check(4, 2048, 512, 1024), MT_ERROR_INVALID, "2048");
    assert_fails_with(mt_wkv_check(4, 2048, 512, 1024), MT_ERROR_INVALID, "1024");
    assert_fails_with(mt_wkv_check(3, 8, 37, 8), MT_ERROR_INVALID, "37");
    assert_fails_with(mt_wkv_check(3, 8, 37, 8), MT_ERROR_INVALID, "32");
    assert_fails_with(mt_wkv_check(0, 8, 32, 8), MT_ERROR_INVALID, "0");
    assert_fails_with(mt_wkv_check(1, 0, 32, 8), MT_ERROR_INVALID, "0");
    assert_fails_with(mt_wkv_check(1, 8, -3, 8), MT_ERROR_INVALID, "-3");
}
END_TEST

static Suite *wkv_suite(void)
{
    return SUITE(
        "wkv", test_output_and_state_are_the_references,
        test_first_output_is_the_first_value_however_small_its_key,
        test_an_infinite_decay_forgets_all_but_the_last_step, test_gradients_are_the_references,
        test_extreme_keys_and_decays_stay_finite_and_right, test_long_sequences_are_the_references,
        test_one_chunk_behind_a_group_is_the_references,
        test_pieces_with_carried_state_equal_the_whole, test_absent_arrays_are_skipped_or_zero,
        test_what_is_not_a_number_reaches_its_channel_and_no_other, test_arrays_begin_anywhere,
        test_a_recording_is_replayed_after_larger_work, test_contract_names_both_figures);
}

MT_TEST_MAIN(wkv_suite)
