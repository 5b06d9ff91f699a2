/* Models of bfloat16: their gradients beside those of float64, and the copy of the weights that
 * their products take. */
#include <mixtape/adam.h>
#include <mixtape/model.h>

#include "autograd/observe.h"
#include "kernels/bfloat16.h"
#include "kernels/device.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

enum { VOCABULARY = 11, B = 2, T = 12 };

static const int32_t labels[B * T] = {3, 1,  0, 2, 6, 5, 4, 1, 1, 2, 9, 5,
                                      6, 10, 2, 4, 3, 3, 1, 8, 2, 7, 4, 1};

static mt_model_config config_of(mt_norm_kind norm)
{
    mt_model_config config = mt_model_config_default(VOCABULARY, 32);
    config.num_blocks = 2;
    config.context_size = 64;
    config.norm.kind = norm;
    config.padding_index = -1;
    config.att_dropout = config.ffn_dropout = 0.2;
    return config;
}

static mt_model *make_model(const mt_model_config *config, mt_dtype dtype)
{
    mt_model *model;
    ck_assert_msg(mt_model_create(test_device, dtype, config, 5, &model) == MT_OK, "%s",
                  mt_error_message());
    return model;
}

/* The loss of the batch, in one stretch or in two with the state carried. */
static mt_tensor *loss_of(mt_model *model, int64_t first)
{
    mt_model_state state;
    mt_tensor *sum = NULL;
    mt_tape_reset(test_tape);
    ck_assert_int_eq(mt_tape_set_random(test_tape, 3, 1), MT_OK);
    mt_parameters_zero_grad(model->parameters);
    ck_assert_int_eq(mt_model_state_create(model, &state), MT_OK);
    for (int64_t start = 0, length = first; start < T; start += length, length = T - first) {
        int32_t part[B * T];
        for (int64_t b = 0; b < B; b++) {
            memcpy(part + b * length, labels + b * T + start, (size_t)length * sizeof *part);
        }
        mt_tensor *x = mt_tape_labels(test_tape, B, length, part);
        mt_tensor *output = mt_model_decode(test_tape, model, x, first < T ? &state : NULL, true);
        mt_tensor *loss = mt_model_cross_entropy(test_tape, model, output, x, -1, 0.1, NULL);
        sum = sum != NULL ? mt_add(test_tape, sum, loss) : loss;
    }
    mt_model_state_destroy(&state);
    ck_assert_msg(sum != NULL, "%s", mt_tape_error(test_tape));
    return sum;
}

/* The gradients of all parameters, one after the other, as doubles; the caller frees them. */
static double *gradients_of(mt_model *model, int64_t first)
{
    const mt_parameters *parameters = model->parameters;
    double *all = malloc((size_t)mt_parameters_size(parameters) * sizeof *all), *to = all;
    ck_assert_ptr_nonnull(all);
    ck_assert_msg(mt_backward(test_tape, loss_of(model, first)) == MT_OK, "%s", mt_error_message());
    for (int i = 0; i < parameters->count; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        ck_assert_int_eq(mt_tensor_read_grad(tensor, to), MT_OK);
        mt_reals_widen(tensor->dtype, mt_tensor_count(tensor), to);
        to += mt_tensor_count(tensor);
    }
    return all;
}

/* Two blocks are some thirty roundings deep, which add up like steps at random. */
START_TEST(test_gradients_are_those_of_float64_to_rounding)
{
    const double most_error = 0x1p-5;
    mt_model_config config = config_of((mt_norm_kind)(_i / 2));
    int64_t first = _i % 2 == 0 ? T : 5;
    mt_model *narrow = make_model(&config, MT_BF16), *exact = make_model(&config, MT_F64);
    double *found = gradients_of(narrow, first), *expected = gradients_of(exact, first);
    double error = relative_difference(found, expected, mt_parameters_size(exact->parameters));
    ck_assert_msg(error <= most_error, "off by %g", error);
    free(found);
    free(expected);
    mt_model_destroy(narrow);
    mt_model_destroy(exact);
}
END_TEST

START_TEST(test_recomputation_gives_the_same_bits)
{
    double *gradients[2];
    int64_t n = 0;
    for (int recompute = 0; recompute < 2; recompute++) {
        mt_model_config config = config_of(MT_LAYER_NORM);
        config.recompute = recompute == 1;
        mt_model *model = make_model(&config, MT_BF16);
        gradients[recompute] = gradients_of(model, 5);
        n = mt_parameters_size(model->parameters);
        mt_model_destroy(model);
    }
    ck_assert_mem_eq(gradients[0], gradients[1], (size_t)n * sizeof(double));
    free(gradients[0]);
    free(gradients[1]);
}
END_TEST

START_TEST(test_values_inside_are_narrow_and_what_goes_in_and_out_is_wide)
{
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, MT_BF16);
    mt_model_state state;
    ck_assert_int_eq(mt_model_state_create(model, &state), MT_OK);
    mt_tensor *x = mt_tape_labels(test_tape, B, T, labels);
    mt_tensor *output = mt_model_decode(test_tape, model, x, &state, true);
    ck_assert_int_eq(output->dtype, MT_BF16);
    ck_assert_int_eq(mt_model_head(test_tape, model, output)->dtype, MT_F32);
    ck_assert_int_eq(state.blocks[1].att.x->dtype, MT_F32);
    ck_assert_int_eq(state.blocks[1].att.wkv->dtype, MT_F32);
    ck_assert_int_eq(state.blocks[1].ffn->dtype, MT_F32);
    for (int i = 0; i < model->parameters->count; i++) {
        ck_assert_int_eq(model->parameters->items[i]->tensor.dtype, MT_F32);
    }
    mt_model_state_destroy(&state);
    mt_model_destroy(model);
}
END_TEST

/* What backward keeps takes half: at this size the rest, such as the statistics of norms, is small
 * beside it. */
START_TEST(test_what_is_kept_takes_half)
{
    static const mt_dtype dtypes[] = {MT_F32, MT_BF16};
    size_t bytes[2];
    mt_model_config config = config_of(MT_LAYER_NORM);
    config.att_dropout = config.ffn_dropout = 0.0;
    for (int i = 0; i < 2; i++) {
        mt_tape *tape;
        mt_model *model = make_model(&config, dtypes[i]);
        ck_assert_int_eq(mt_tape_create(test_device, &tape), MT_OK);
        mt_tensor *x = mt_tape_labels(tape, B, T, labels);
        ck_assert_ptr_nonnull(mt_model_decode(tape, model, x, NULL, true));
        bytes[i] = mt_tape_memory(tape) - mt_tape_untouched(tape);
        mt_tape_destroy(tape);
        mt_model_destroy(model);
    }
    ck_assert_msg(bytes[1] < bytes[0] * 6 / 10, "%zu of %zu", bytes[1], bytes[0]);
}
END_TEST

/* Asserts that the copy of every parameter is the parameter, rounded. */
static void assert_copies(const mt_parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        size_t n = (size_t)mt_tensor_count(tensor);
        float *values = malloc(n * sizeof *values);
        mt_bf16 *copies = malloc(n * sizeof *copies);
        ck_assert(values != NULL && copies != NULL);
        ck_assert_int_eq(mt_tensor_read(tensor, values), MT_OK);
        ck_assert_int_eq(mt_device_read(test_device, copies, tensor->narrow, n * sizeof *copies),
                         MT_OK);
        for (size_t at = 0; at < n; at++) {
            ck_assert_msg(copies[at].bits == mt_bf16_rounded(values[at]).bits, "%s[%zu]",
                          tensor->name, at);
        }
        free(values);
        free(copies);
    }
}

START_TEST(test_the_copy_follows_every_way_that_weights_change)
{
    mt_model_config config = config_of(MT_LAYER_NORM);
    mt_model *model = make_model(&config, MT_BF16);
    mt_parameters *parameters = model->parameters;
    assert_copies(parameters);

    mt_adam *adam;
    ck_assert_int_eq(mt_adam_create(parameters, mt_adam_config_default(), &adam), MT_OK);
    free(gradients_of(model, T));
    ck_assert_msg(mt_adam_step(adam, 0.01, 1.0, NULL) == MT_OK, "%s", mt_error_message());
    assert_copies(parameters);

    float *values = calloc((size_t)mt_tensor_count(model->embed), sizeof *values);
    ck_assert_ptr_nonnull(values);
    values[3] = 1.00390625f;
    ck_assert_int_eq(mt_tensor_write(model->embed, values), MT_OK);
    assert_copies(parameters);

    values[3] = 3.0f;
    ck_assert_int_eq(mt_device_write(test_device, model->embed->data, values, 4 * sizeof *values),
                     MT_OK);
    ck_assert_int_eq(mt_parameters_renew_narrow(parameters), MT_OK);
    assert_copies(parameters);
    free(values);
    mt_adam_destroy(adam);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_parameters_themselves_are_not_of_bfloat16)
{
    mt_parameters *parameters;
    ck_assert_int_eq(mt_parameters_create(test_device, MT_BF16, &parameters), MT_ERROR_INVALID);
    ck_assert_ptr_null(parameters);
}
END_TEST

START_TEST(test_only_parameters_of_float32_have_copies)
{
    mt_parameters *parameters;
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F64, &parameters), MT_OK);
    mt_parameters_add(parameters, "", "weight", 2, (int64_t[]){2, 3}, mt_initial_constant(1.0));
    mt_parameters_set_narrow(parameters);
    ck_assert_int_eq(mt_parameters_allocate(parameters, 1), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "of f64"));
    mt_parameters_destroy(parameters);
}
END_TEST

static Suite *bfloat16_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("bfloat16", graph_setup, graph_teardown, &tcase);
    tcase_add_loop_test(tcase, test_gradients_are_those_of_float64_to_rounding, 0, 8);
    tcase_add_test(tcase, test_recomputation_gives_the_same_bits);
    tcase_add_test(tcase, test_values_inside_are_narrow_and_what_goes_in_and_out_is_wide);
    tcase_add_test(tcase, test_what_is_kept_takes_half);
    tcase_add_test(tcase, test_the_copy_follows_every_way_that_weights_change);
    tcase_add_test(tcase, test_parameters_themselves_are_not_of_bfloat16);
    tcase_add_test(tcase, test_only_parameters_of_float32_have_copies);
    return suite;
}

MT_TEST_MAIN(bfloat16_suite)
