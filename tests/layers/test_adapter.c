/* Adapters: where they begin, their gradients, and that nothing else is trained. */
#include <mixtape/adapter.h>
#include <mixtape/trainer.h>

#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

#include <stdio.h>

enum { VOCABULARY = 7, MOST_PARAMETERS = 64, MOST_VALUES = 512 };

static const int32_t labels[] = {3, 1, 0, 2, 6, 5, 4, 1, 1, 2, 3, 5,
                                 6, 0, 2, 4, 3, 3, 1, 5, 2, 6, 4, 1};

/* What a case adapts, and how its batch is cut. */
typedef struct variation {
    mt_adapter_kind kind;
    int64_t size, attention_size, linear_size, B, T;
    int64_t first; /* steps of the first of two stretches; 0: one stretch */
    int64_t rank;
    const char *on;
    bool recompute;
} variation;

static const variation variations[] = {
    {.kind = MT_ADAPT_STATE, .size = 4, .B = 2, .T = 5},
    {.kind = MT_ADAPT_STATE, .size = 5, .attention_size = 3, .B = 3, .T = 4, .recompute = true},
    {.kind = MT_ADAPT_STATE, .size = 1, .B = 1, .T = 1},
    {.kind = MT_ADAPT_STATE, .size = 4, .B = 2, .T = 6, .first = 1},
    {.kind = MT_ADAPT_STATE, .size = 4, .B = 2, .T = 6, .first = 4, .recompute = true},
    {.kind = MT_ADAPT_LORA,
     .size = 4,
     .B = 2,
     .T = 5,
     .rank = 2,
     .on = "key,value,receptance,output"},
    {.kind = MT_ADAPT_LORA,
     .size = 5,
     .attention_size = 3,
     .linear_size = 7,
     .B = 3,
     .T = 4,
     .rank = 3,
     .on = "output,ffn_key,ffn_value,ffn_receptance",
     .recompute = true},
    {.kind = MT_ADAPT_LORA, .size = 1, .B = 1, .T = 1, .rank = 1, .on = "key,value,ffn_value"},
    {.kind = MT_ADAPT_LORA, .size = 4, .B = 2, .T = 6, .first = 3, .rank = 1, .on = "value"},
};
enum { VARIATIONS = sizeof variations / sizeof *variations };

static mt_model *make_model(const variation *of, mt_dtype dtype)
{
    mt_model *model;
    mt_model_config config = mt_model_config_default(VOCABULARY, of->size);
    config.attention_size = of->attention_size;
    config.linear_size = of->linear_size;
    config.num_blocks = 2;
    if (of->size == 1) { /* the other norms leave nothing of one channel but its sign */
        config.norm.kind = MT_BASIC_NORM;
    }
    config.context_size = 64;
    config.time_first = MT_TIME_FIRST_RWKV;
    config.recompute = of->recompute;
    config.att_dropout = 0.2;
    ck_assert_msg(mt_model_create(test_device, dtype, &config, 5, &model) == MT_OK, "%s",
                  mt_error_message());
    return model;
}

static mt_adapter_config config_of(const variation *of)
{
    mt_adapter_config config = mt_adapter_config_default(of->kind);
    if (of->kind == MT_ADAPT_LORA) {
        config.rank = of->rank;
        config.alpha = 3.0;
        ck_assert_int_eq(mt_projections_parse(of->on, &config.on), MT_OK);
    }
    return config;
}

static void adapt(mt_model *model, const variation *of)
{
    mt_adapter_config config = config_of(of);
    ck_assert_msg(mt_model_adapt(model, &config, 9) == MT_OK, "%s", mt_error_message());
}

/* Gives what is trained values of some size, as if it had been for a while. */
static void move(mt_parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        double values[MOST_VALUES];
        float narrow[MOST_VALUES];
        mt_random random = mt_random_make(77, (uint64_t)i);
        ck_assert_int_le(mt_tensor_count(tensor), MOST_VALUES);
        for (int64_t j = 0; j < mt_tensor_count(tensor); j++) {
            values[j] = 2.0 * mt_random_uniform(&random) - 1.0;
            narrow[j] = (float)values[j];
        }
        const void *written = tensor->dtype == MT_F64 ? (const void *)values : narrow;
        ck_assert_int_eq(mt_tensor_write((mt_tensor *)(uintptr_t)tensor, written), MT_OK);
    }
}

/* A sum over the logits of a batch, in one stretch or in two. */
typedef struct batch_of {
    mt_model *model;
    const variation *of;
    bool training;
} batch_of;

static mt_tensor *logits_of(mt_tape *tape, const batch_of *batch, int64_t start, int64_t T,
                            mt_model_state *state)
{
    int32_t part[sizeof labels / sizeof *labels];
    for (int64_t b = 0; b < batch->of->B; b++) {
        memcpy(part + b * T, labels + b * batch->of->T + start, (size_t)T * sizeof *part);
    }
    mt_tensor *x = mt_tape_labels(tape, batch->of->B, T, part);
    return mt_model_head(tape, batch->model,
                         mt_model_decode(tape, batch->model, x, state, batch->training));
}

static mt_tensor *loss_of(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    const batch_of *batch = context;
    int64_t first = batch->of->first, T = batch->of->T;
    (void)inputs;
    if (first == 0) {
        mt_tensor *all = logits_of(tape, batch, 0, T, NULL);
        return mt_sum(tape, mt_multiply(tape, all, all));
    }
    mt_model_state state;
    ck_assert_int_eq(mt_model_state_create(batch->model, &state), MT_OK);
    mt_tensor *head = logits_of(tape, batch, 0, first, &state);
    mt_tensor *tail = logits_of(tape, batch, first, T - first, &state);
    mt_model_state_destroy(&state);
    return mt_add(tape, mt_sum(tape, mt_multiply(tape, head, head)),
                  mt_sum(tape, mt_multiply(tape, tail, tail)));
}

static double value_of(const batch_of *batch)
{
    double value = 0.0;
    mt_tape_reset(test_tape);
    mt_tensor *loss = loss_of(test_tape, (void *)(uintptr_t)batch, NULL);
    ck_assert_msg(loss != NULL, "%s", mt_tape_error(test_tape));
    ck_assert_int_eq(mt_tensor_read_doubles(loss, &value), MT_OK);
    return value;
}

/* LoRA adds products with zeros; of the state den is 1e-12. */
START_TEST(test_begins_where_the_model_is)
{
    const variation *of = &variations[_i];
    batch_of batch = {make_model(of, MT_F64), of, true};
    double before = value_of(&batch);
    adapt(batch.model, of);
    double after = value_of(&batch);
    if (of->kind == MT_ADAPT_LORA) {
        ck_assert_double_eq(after, before);
    }
    ck_assert_double_eq_tol(after, before, 1e-9 * fabs(before));
    move(batch.model->adapter->parameters);
    ck_assert_double_gt(fabs(value_of(&batch) - before), 1e-6 * fabs(before));
    mt_model_destroy(batch.model);
}
END_TEST

START_TEST(test_gradients)
{
    const variation *of = &variations[_i];
    batch_of batch = {make_model(of, MT_F64), of, true};
    mt_tensor *tensors[MOST_PARAMETERS];
    adapt(batch.model, of);
    mt_parameters *parameters = batch.model->adapter->parameters;
    move(parameters);
    ck_assert_int_le(parameters->count, MOST_PARAMETERS);
    for (int i = 0; i < parameters->count; i++) {
        tensors[i] = &parameters->items[i]->tensor;
    }
    assert_gradients(loss_of, &batch, parameters->count, tensors);
    mt_model_destroy(batch.model);
}
END_TEST

START_TEST(test_recomputed_is_the_same_bits)
{
    const variation *of = &variations[_i];
    variation other = *of;
    other.recompute = !of->recompute;
    batch_of batches[] = {{make_model(of, MT_F64), of, true},
                          {make_model(&other, MT_F64), &other, true}};
    double grads[2][MOST_VALUES];
    for (int k = 0; k < 2; k++) {
        adapt(batches[k].model, of);
        mt_parameters *parameters = batches[k].model->adapter->parameters;
        move(parameters);
        mt_parameters_zero_grad(parameters);
        mt_tape_reset(test_tape);
        ck_assert_int_eq(mt_backward(test_tape, loss_of(test_tape, &batches[k], NULL)), MT_OK);
        const mt_tensor *last = &parameters->items[parameters->count - 1]->tensor;
        mt_tensor grad = *last;
        grad.data = last->grad;
        ck_assert_int_eq(mt_tensor_read_doubles(&grad, grads[k]), MT_OK);
    }
    const mt_parameters *parameters = batches[0].model->adapter->parameters;
    int64_t n = mt_tensor_count(&parameters->items[parameters->count - 1]->tensor);
    ck_assert_mem_eq(grads[0], grads[1], (size_t)n * sizeof(double));
    mt_model_destroy(batches[0].model);
    mt_model_destroy(batches[1].model);
}
END_TEST

/* What is used without recording keeps one block's values at a time. */
START_TEST(test_without_recording_is_the_same)
{
    const variation *of = &variations[_i];
    batch_of batch = {make_model(of, MT_F64), of, false};
    adapt(batch.model, of);
    move(batch.model->adapter->parameters);
    double recorded = value_of(&batch);
    mt_tape_set_recording(test_tape, false);
    ck_assert_double_eq(value_of(&batch), recorded);
    mt_tape_set_recording(test_tape, true);
    mt_model_destroy(batch.model);
}
END_TEST

/* W + (alpha / rank) B A, on the host. */
static void merge(mt_model *model, const mt_adapter *adapter)
{
    for (int i = 0; i < adapter->parameters->count; i += 2) {
        const mt_parameter *a = adapter->parameters->items[i];
        const mt_parameter *b = adapter->parameters->items[i + 1];
        char name[MT_NAME_MAX];
        double of_a[MOST_VALUES], of_b[MOST_VALUES], weight[MOST_VALUES];
        snprintf(name, sizeof name, "%.*sweight", (int)(strlen(a->name) - strlen("lora_A")),
                 a->name);
        mt_parameter *merged = mt_parameters_find(model->parameters, name);
        ck_assert_ptr_nonnull(merged);
        ck_assert_int_eq(mt_tensor_read(&a->tensor, of_a), MT_OK);
        ck_assert_int_eq(mt_tensor_read(&b->tensor, of_b), MT_OK);
        ck_assert_int_eq(mt_tensor_read(&merged->tensor, weight), MT_OK);
        int64_t out = b->tensor.shape[0], rank = b->tensor.shape[1], in = a->tensor.shape[1];
        for (int64_t o = 0; o < out; o++) {
            for (int64_t r = 0; r < rank; r++) {
                for (int64_t c = 0; c < in; c++) {
                    weight[o * in + c] += adapter->config.alpha / (double)rank *
                                          of_b[o * rank + r] * of_a[r * in + c];
                }
            }
        }
        ck_assert_int_eq(mt_tensor_write(&merged->tensor, weight), MT_OK);
    }
}

START_TEST(test_lora_is_a_change_of_the_weights)
{
    const variation *of = &variations[_i];
    if (of->kind != MT_ADAPT_LORA) {
        return;
    }
    batch_of apart = {make_model(of, MT_F64), of, true};
    batch_of merged = {make_model(of, MT_F64), of, true};
    adapt(apart.model, of);
    move(apart.model->adapter->parameters);
    merge(merged.model, apart.model->adapter);
    double expected = value_of(&merged);
    ck_assert_double_eq_tol(value_of(&apart), expected, 1e-12 * fabs(expected));
    mt_model_destroy(apart.model);
    mt_model_destroy(merged.model);
}
END_TEST

START_TEST(test_the_model_is_frozen)
{
    const variation *of = &variations[_i];
    batch_of batch = {make_model(of, MT_F64), of, true};
    mt_trainer *trainer;
    mt_trainer_config config = mt_trainer_config_default();
    mt_objective objective = {NULL, NULL, NULL};
    adapt(batch.model, of);
    const mt_parameters *parameters = batch.model->parameters;
    ck_assert_ptr_null(parameters->grad);
    mt_tape_reset(test_tape);
    ck_assert_int_eq(mt_backward(test_tape, loss_of(test_tape, &batch, NULL)), MT_OK);
    for (int i = 0; i < parameters->count; i++) {
        ck_assert(!parameters->items[i]->tensor.requires_grad);
        ck_assert_ptr_null(mt_tensor_grad(&parameters->items[i]->tensor));
    }
    for (int i = 0; i < batch.model->adapter->parameters->count; i++) {
        ck_assert_ptr_nonnull(mt_tensor_grad(&batch.model->adapter->parameters->items[i]->tensor));
    }
    mt_adam *adam;
    ck_assert_int_eq(mt_adam_create(batch.model->parameters, config.adam, &adam), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "frozen"));
    objective.put = NULL;
    ck_assert_int_eq(mt_trainer_create(batch.model->parameters, &config, &objective, &trainer),
                     MT_ERROR_INVALID);
    mt_model_destroy(batch.model);
}
END_TEST

/* A step of the other types comes to the same, to their rounding. */
START_TEST(test_other_types)
{
    static const mt_dtype types[] = {MT_F32, MT_BF16};
    static const double tolerance[] = {1e-4, 0.1};
    const variation *of = &variations[_i];
    batch_of exact = {make_model(of, MT_F64), of, true};
    adapt(exact.model, of);
    move(exact.model->adapter->parameters);
    double expected = value_of(&exact);
    mt_model_destroy(exact.model);
    for (int k = 0; k < 2; k++) {
        batch_of batch = {make_model(of, types[k]), of, true};
        adapt(batch.model, of);
        move(batch.model->adapter->parameters);
        ck_assert_double_eq_tol(value_of(&batch), expected, tolerance[k] * fabs(expected));
        mt_tape_reset(test_tape);
        ck_assert_msg(mt_backward(test_tape, loss_of(test_tape, &batch, NULL)) == MT_OK, "%s",
                      mt_error_message());
        mt_model_destroy(batch.model);
    }
}
END_TEST

static void assert_refused(const mt_adapter_config *config, const char *part)
{
    const variation *of = &variations[6]; /* S 5, A 3, H 7 */
    mt_model *model = make_model(of, MT_F32);
    mt_parameters *described;
    ck_assert_int_eq(mt_model_adapt(model, config, 1), MT_ERROR_INVALID);
    ck_assert_msg(strstr(mt_error_message(), part) != NULL, "'%s' not in '%s'", part,
                  mt_error_message());
    ck_assert_ptr_null(model->adapter);
    ck_assert_ptr_nonnull(model->parameters->grad);
    ck_assert_int_eq(mt_adapter_describe(&model->config, config, MT_F32, &described),
                     MT_ERROR_INVALID);
    ck_assert_ptr_null(described);
    mt_model_destroy(model);
}

START_TEST(test_what_does_not_fit_is_refused)
{
    mt_adapter_config config = mt_adapter_config_default(MT_ADAPT_LORA);
    assert_refused(&config, "rank 8 exceeds the sizes of key, 3 by 5");
    config.rank = 0;
    assert_refused(&config, "rank is 0, not 1 or more");
    config.rank = 2;
    config.alpha = 0.0;
    assert_refused(&config, "alpha is 0, not a number above 0");
    config.alpha = NAN;
    assert_refused(&config, "alpha is nan");
    config.alpha = 1.0;
    config.on = 0;
    assert_refused(&config, "0 is no set of projections");
    config.on = 1u << MT_PROJECTIONS;
    assert_refused(&config, "0x80 is no set of projections");
    config.kind = (mt_adapter_kind)5;
    assert_refused(&config, "no kind 5");
}
END_TEST

START_TEST(test_a_model_has_one_adapter)
{
    mt_model *model = make_model(&variations[0], MT_F32);
    mt_adapter_config config = mt_adapter_config_default(MT_ADAPT_STATE);
    adapt(model, &variations[0]);
    ck_assert_int_eq(mt_model_adapt(model, &config, 1), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "one already, of kind state"));
    ck_assert_int_eq(mt_model_adapt(NULL, &config, 1), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_model_adapt(model, NULL, 1), MT_ERROR_INVALID);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_projections_by_name)
{
    char text[MT_PROJECTIONS_TEXT];
    unsigned set = 99;
    ck_assert_int_eq(mt_projections_parse("ffn_receptance,key,key", &set), MT_OK);
    ck_assert_uint_eq(set, 1u << MT_FFN_RECEPTANCE | 1u << MT_ATT_KEY);
    ck_assert_str_eq(mt_projections_text(set, text), "key,ffn_receptance");
    static const char *const wrong[] = {"", "keys", "key,", ",key", "key, value", "ke"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(mt_projections_parse(wrong[i], &set), MT_ERROR_INVALID);
        ck_assert_ptr_nonnull(
            strstr(mt_error_message(), "key,value,receptance,output,ffn_key,ffn_value,"));
    }
    ck_assert_ptr_null(mt_projection_name(MT_PROJECTIONS));
    ck_assert_str_eq(mt_projection_name(MT_FFN_VALUE), "ffn_value");
}
END_TEST

static Suite *make_suite(void)
{
    TCase *cases;
    Suite *suite = suite_begin("adapter", graph_setup, graph_teardown, &cases);
    tcase_add_loop_test(cases, test_begins_where_the_model_is, 0, VARIATIONS);
    tcase_add_loop_test(cases, test_gradients, 0, VARIATIONS);
    tcase_add_loop_test(cases, test_recomputed_is_the_same_bits, 0, VARIATIONS);
    tcase_add_loop_test(cases, test_without_recording_is_the_same, 0, VARIATIONS);
    tcase_add_loop_test(cases, test_lora_is_a_change_of_the_weights, 0, VARIATIONS);
    tcase_add_loop_test(cases, test_the_model_is_frozen, 0, VARIATIONS);
    tcase_add_loop_test(cases, test_other_types, 0, VARIATIONS);
    tcase_add_test(cases, test_what_does_not_fit_is_refused);
    tcase_add_test(cases, test_a_model_has_one_adapter);
    tcase_add_test(cases, test_projections_by_name);
    return suite;
}

MT_TEST_MAIN(make_suite)
