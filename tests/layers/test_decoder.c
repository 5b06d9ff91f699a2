/* The layers and the model: gradients, streaming, names, shapes, initial values. */
#include <mixtape/model.h>

#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

#include <stdio.h>

enum { VOCABULARY = 7, MOST_PARAMETERS = 128 };

static const int32_t labels[] = {3, 1, 0, 2, 6, 5, 4, 1, 1, 2, 3, 5,
                                 6, 0, 2, 4, 3, 3, 1, 5, 2, 6, 4, 1};

static mt_model *make_model(const mt_model_config *config, mt_dtype dtype)
{
    mt_model *model;
    ck_assert_msg(mt_model_create(test_device, dtype, config, 5, &model) == MT_OK, "%s",
                  mt_error_message());
    return model;
}

/* Small, and with every part that a decoder can have. */
static mt_model_config small_config(void)
{
    mt_model_config config = mt_model_config_default(VOCABULARY, 4);
    config.num_blocks = 2;
    config.context_size = 64;
    config.time_first = MT_TIME_FIRST_RWKV;
    return config;
}

/* The loss of a batch in stretches of the lengths given, the state carried between them. */
typedef struct stretches {
    mt_model *model;
    int64_t B, T;
    int count;
    int64_t lengths[8];
    bool training;
} stretches;

static mt_tensor *stretched_loss(mt_tape *tape, void *context, mt_tensor *const *inputs)
{
    const stretches *s = context;
    mt_model_state state;
    (void)inputs;
    ck_assert_int_eq(mt_model_state_create(s->model, &state), MT_OK);
    mt_tensor *sum = NULL;
    for (int i = 0, start = 0; i < s->count; start += (int)s->lengths[i++]) {
        int64_t L = s->lengths[i];
        int32_t part[64];
        for (int64_t b = 0; b < s->B; b++) {
            memcpy(part + b * L, labels + b * s->T + start, (size_t)L * sizeof *part);
        }
        mt_tensor *x = mt_tape_input(tape, MT_I32, SHAPE(s->B, L), part, false);
        mt_tensor *output =
            mt_model_decode(tape, s->model, x, s->count > 1 ? &state : NULL, s->training);
        mt_tensor *logits = mt_model_head(tape, s->model, output);
        /* Weighed by the place in the whole sequence, so that every split has the same sum. */
        mt_tensor *squares = mt_multiply(tape, logits, logits);
        mt_tensor *part_sum = mt_sum(tape, mt_add(tape, squares, mt_sigmoid(tape, logits)));
        sum = sum == NULL ? part_sum : mt_add(tape, sum, part_sum);
    }
    mt_model_state_destroy(&state);
    return sum;
}

static int parameter_tensors(const mt_model *model, mt_tensor **tensors)
{
    ck_assert_int_le(model->parameters->count, MOST_PARAMETERS);
    for (int i = 0; i < model->parameters->count; i++) {
        tensors[i] = &model->parameters->items[i]->tensor;
    }
    return model->parameters->count;
}

static void assert_model_gradients(const mt_model_config *config, int64_t B, int64_t T, int count,
                                   const int64_t *lengths, bool training)
{
    stretches s = {
        .model = make_model(config, MT_F64), .B = B, .T = T, .count = count, .training = training};
    memcpy(s.lengths, lengths, (size_t)count * sizeof *lengths);
    mt_tensor *tensors[MOST_PARAMETERS];
    int parameters = parameter_tensors(s.model, tensors);
    assert_gradients(stretched_loss, &s, parameters, tensors);
    mt_model_destroy(s.model);
}

/* The change that a gradient case makes to the small configuration. */
typedef struct variation {
    const char *name;
    int64_t size, attention_size, blocks, B, T;
    mt_norm_kind norm;
    double dropout;
    bool recompute, bias, espnet;
} variation;

static const variation variations[] = {
    {"layer_norm", 4, 0, 2, 2, 5, MT_LAYER_NORM, 0.0, false, true, false},
    {"rms_norm", 5, 3, 2, 3, 4, MT_RMS_NORM, 0.0, false, true, true},
    {"scale_norm", 4, 6, 2, 3, 3, MT_SCALE_NORM, 0.0, false, true, false},
    {"basic_norm", 3, 3, 3, 1, 7, MT_BASIC_NORM, 0.0, false, true, true},
    {"one step", 4, 0, 1, 2, 1, MT_LAYER_NORM, 0.0, false, true, false},
    {"one channel", 1, 1, 2, 2, 6, MT_BASIC_NORM, 0.0, false, true, false},
    {"no biases", 4, 0, 2, 2, 5, MT_LAYER_NORM, 0.0, false, false, false},
    {"dropout", 4, 0, 2, 2, 5, MT_LAYER_NORM, 0.3, false, true, false},
    {"recomputed", 4, 0, 2, 2, 5, MT_LAYER_NORM, 0.3, true, true, false},
};

START_TEST(test_model_gradients_are_central_differences)
{
    const variation *v = &variations[_i];
    mt_model_config config = small_config();
    config.block_size = v->size;
    config.attention_size = v->attention_size;
    config.num_blocks = v->blocks;
    config.norm.kind = v->norm;
    config.embed_dropout = config.att_dropout = config.ffn_dropout = v->dropout;
    config.recompute = v->recompute;
    config.bias = v->bias;
    config.time_first = v->espnet ? MT_TIME_FIRST_ESPNET : MT_TIME_FIRST_RWKV;
    config.padding_index = -1;
    assert_model_gradients(&config, v->B, v->T, 1, (int64_t[]){v->T}, true);
}
END_TEST

enum { HELD_B = 3, HELD_T = 70, HELD_SIZE = 8, HELD = HELD_B * HELD_T * HELD_SIZE };

/* The output of a model of so many blocks, and the tape's memory behind it. */
static size_t memory_of(int64_t blocks, bool recording, double output[HELD])
{
    enum { B = HELD_B, T = HELD_T };
    mt_model_config config = small_config();
    mt_model *model;
    mt_tape *tape;
    config.num_blocks = blocks;
    config.block_size = HELD_SIZE;
    config.context_size = T;
    ck_assert_int_eq(mt_model_create(test_device, MT_F64, &config, 5, &model), MT_OK);
    ck_assert_int_eq(mt_tape_create(test_device, &tape), MT_OK);
    mt_tape_set_recording(tape, recording);
    int32_t batch[B * T];
    for (int i = 0; i < B * T; i++) {
        batch[i] = labels[i * i % 23];
    }
    mt_tensor *x = mt_tape_labels(tape, B, T, batch);
    mt_tensor *y = mt_model_decode(tape, model, x, NULL, false);
    ck_assert_msg(y != NULL, "%s", mt_tape_error(tape));
    ck_assert_int_eq(mt_tensor_count(y), HELD);
    ck_assert_int_eq(mt_tensor_read(y, output), MT_OK);
    size_t memory = mt_tape_memory(tape);
    mt_tape_destroy(tape);
    mt_model_destroy(model);
    return memory;
}

START_TEST(test_without_recording_one_block_is_held_and_the_bits_are_the_same)
{
    static double output[2][HELD];
    size_t recorded = memory_of(40, true, output[0]), inferred = memory_of(40, false, output[1]);
    ck_assert_mem_eq(output[0], output[1], sizeof output[0]);
    ck_assert_uint_lt(inferred, recorded / 4);
}
END_TEST

/* The gradients of a batch's loss with respect to every parameter, one after the other. */
static double *gradients_on(mt_device *device, const mt_model_config *config, int64_t *total)
{
    enum { B = 4, T = 70 };
    int32_t batch[B * T];
    mt_model *model;
    mt_tape *tape;
    for (int i = 0; i < B * T; i++) {
        batch[i] = labels[i * i % 23];
    }
    ck_assert_int_eq(mt_model_create(device, MT_F64, config, 5, &model), MT_OK);
    ck_assert_int_eq(mt_tape_create(device, &tape), MT_OK);
    mt_tensor *x = mt_tape_input(tape, MT_I32, SHAPE(B, T), batch, false);
    mt_tensor *logits = mt_model_head(tape, model, mt_model_decode(tape, model, x, NULL, true));
    ck_assert_msg(mt_backward(tape, mt_cross_entropy(tape, logits, x, -1, 0.0, NULL)) == MT_OK,
                  "%s", mt_tape_error(tape));
    *total = 0;
    for (int i = 0; i < model->parameters->count; i++) {
        *total += mt_tensor_count(&model->parameters->items[i]->tensor);
    }
    double *grads = malloc((size_t)*total * sizeof *grads), *to = grads;
    ck_assert_ptr_nonnull(grads);
    for (int i = 0; i < model->parameters->count; i++) {
        const mt_tensor *tensor = &model->parameters->items[i]->tensor;
        ck_assert_int_eq(mt_tensor_read_grad(tensor, to), MT_OK);
        to += mt_tensor_count(tensor);
    }
    mt_tape_destroy(tape);
    mt_model_destroy(model);
    return grads;
}

START_TEST(test_gradients_are_those_of_the_cpu)
{
    mt_model_config config = small_config();
    config.block_size = 40;
    config.attention_size = 48;
    config.context_size = 128;
    mt_device *cpu;
    int64_t count, expected_count;
    ck_assert_int_eq(mt_device_open("cpu", &cpu), MT_OK);
    double *expected = gradients_on(cpu, &config, &expected_count);
    double *grads = gradients_on(test_device, &config, &count);
    ck_assert_int_eq(count, expected_count);
    for (int64_t i = 0; i < count; i++) {
        double error = fabs(grads[i] - expected[i]);
        if (!(error <= 1e-9 * fabs(expected[i]) + 1e-12)) {
            ck_abort_msg("gradient %lld is %.17g, on the CPU %.17g", (long long)i, grads[i],
                         expected[i]);
        }
    }
    free(grads);
    free(expected);
    mt_device_close(cpu);
}
END_TEST

START_TEST(test_carried_gradients_are_central_differences)
{
    mt_model_config config = small_config();
    config.padding_index = -1;
    config.recompute = _i == 1;
    assert_model_gradients(&config, 2, 6, 3, (int64_t[]){2, 1, 3}, true);
}
END_TEST

/* Loss and gradients for one way of cutting the sequence. */
static double run_stretched(const stretches *s, double *grads)
{
    mt_tape_reset(test_tape);
    mt_parameters_zero_grad(s->model->parameters);
    mt_tensor *loss = stretched_loss(test_tape, (void *)(uintptr_t)s, NULL);
    ck_assert_msg(mt_backward(test_tape, loss) == MT_OK, "%s", mt_tape_error(test_tape));
    double value;
    ck_assert_int_eq(mt_tensor_read(loss, &value), MT_OK);
    for (int i = 0; i < s->model->parameters->count; i++) {
        const mt_tensor *tensor = &s->model->parameters->items[i]->tensor;
        ck_assert_int_eq(mt_tensor_read_grad(tensor, grads), MT_OK);
        grads += mt_tensor_count(tensor);
    }
    return value;
}

START_TEST(test_every_split_of_a_sequence_gives_the_whole)
{
    enum { T = 8 };
    mt_model_config config = small_config();
    config.norm.kind = (mt_norm_kind)_i;
    config.attention_size = 6;
    config.context_size = T;
    stretches s = {
        .model = make_model(&config, MT_F64), .B = 3, .T = T, .count = 1, .lengths = {T}};
    int64_t n = mt_parameters_size(s.model->parameters);
    double *whole = malloc((size_t)n * sizeof *whole), *split = malloc((size_t)n * sizeof *split);
    ck_assert(whole != NULL && split != NULL);
    double loss = run_stretched(&s, whole);
    for (int pattern = 1; pattern < 1 << (T - 1); pattern += 3) { /* bit t: a cut behind step t */
        s.count = 0;
        memset(s.lengths, 0, sizeof s.lengths);
        for (int t = 0; t < T; t++) {
            s.lengths[s.count]++;
            if (t == T - 1 || (pattern >> t & 1) != 0) {
                s.count++;
            }
        }
        ck_assert_double_eq_tol(run_stretched(&s, split), loss, 1e-10 * fabs(loss));
        for (int64_t i = 0; i < n; i++) {
            ck_assert_double_eq_tol(split[i], whole[i], 1e-8 * fmax(1.0, fabs(whole[i])));
        }
    }
    free(whole);
    free(split);
    mt_model_destroy(s.model);
}
END_TEST

START_TEST(test_recomputed_model_has_the_same_bits)
{
    enum { T = 6 };
    double loss[2], *grads[2];
    for (int recompute = 0; recompute < 2; recompute++) {
        mt_model_config config = small_config();
        config.recompute = recompute == 1;
        config.embed_dropout = config.att_dropout = config.ffn_dropout = 0.25;
        stretches s = {.model = make_model(&config, MT_F64),
                       .B = 2,
                       .T = T,
                       .count = 2,
                       .lengths = {2, 4},
                       .training = true};
        int64_t n = mt_parameters_size(s.model->parameters);
        grads[recompute] = calloc((size_t)n, sizeof(double));
        ck_assert_ptr_nonnull(grads[recompute]);
        loss[recompute] = run_stretched(&s, grads[recompute]);
        if (recompute == 1) {
            ck_assert_mem_eq(&loss[0], &loss[1], sizeof loss[0]);
            ck_assert_mem_eq(grads[0], grads[1], (size_t)n * sizeof(double));
        }
        mt_model_destroy(s.model);
    }
    free(grads[0]);
    free(grads[1]);
}
END_TEST

/* ESPnet's state_dict of a decoder with vocab 7, size 4, attention 6, hidden 16 and one block. */
static const struct {
    const char *name;
    int rank;
    int64_t shape[3];
} espnet_names[] = {
    {"embed.weight", 2, {7, 4}},
    {"embed_norm.weight", 1, {4}},
    {"embed_norm.bias", 1, {4}},
    {"rwkv_blocks.0.layer_norm_att.weight", 1, {4}},
    {"rwkv_blocks.0.layer_norm_att.bias", 1, {4}},
    {"rwkv_blocks.0.layer_norm_ffn.weight", 1, {4}},
    {"rwkv_blocks.0.layer_norm_ffn.bias", 1, {4}},
    {"rwkv_blocks.0.att.time_decay", 1, {6}},
    {"rwkv_blocks.0.att.time_first", 1, {6}},
    {"rwkv_blocks.0.att.time_mix_key", 3, {1, 1, 4}},
    {"rwkv_blocks.0.att.time_mix_value", 3, {1, 1, 4}},
    {"rwkv_blocks.0.att.time_mix_receptance", 3, {1, 1, 4}},
    {"rwkv_blocks.0.att.proj_key.weight", 2, {6, 4}},
    {"rwkv_blocks.0.att.proj_key.bias", 1, {6}},
    {"rwkv_blocks.0.att.proj_value.weight", 2, {6, 4}},
    {"rwkv_blocks.0.att.proj_value.bias", 1, {6}},
    {"rwkv_blocks.0.att.proj_receptance.weight", 2, {6, 4}},
    {"rwkv_blocks.0.att.proj_receptance.bias", 1, {6}},
    {"rwkv_blocks.0.att.proj_output.weight", 2, {4, 6}},
    {"rwkv_blocks.0.att.proj_output.bias", 1, {4}},
    {"rwkv_blocks.0.ffn.time_mix_key", 3, {1, 1, 4}},
    {"rwkv_blocks.0.ffn.time_mix_receptance", 3, {1, 1, 4}},
    {"rwkv_blocks.0.ffn.proj_key.weight", 2, {16, 4}},
    {"rwkv_blocks.0.ffn.proj_key.bias", 1, {16}},
    {"rwkv_blocks.0.ffn.proj_value.weight", 2, {4, 16}},
    {"rwkv_blocks.0.ffn.proj_value.bias", 1, {4}},
    {"rwkv_blocks.0.ffn.proj_receptance.weight", 2, {4, 4}},
    {"rwkv_blocks.0.ffn.proj_receptance.bias", 1, {4}},
    {"final_norm.weight", 1, {4}},
    {"final_norm.bias", 1, {4}},
};

START_TEST(test_names_and_shapes_are_espnets)
{
    enum { NAMES = sizeof espnet_names / sizeof *espnet_names };
    mt_model_config config = small_config();
    config.num_blocks = 1;
    config.attention_size = 6;
    config.output_size = 0;
    mt_model *model = make_model(&config, MT_F32);
    ck_assert_int_eq(model->parameters->count, NAMES);
    for (int i = 0; i < NAMES; i++) {
        const mt_parameter *parameter = mt_parameters_find(model->parameters, espnet_names[i].name);
        ck_assert_msg(parameter != NULL, "%s is missing", espnet_names[i].name);
        ck_assert_int_eq(parameter->tensor.rank, espnet_names[i].rank);
        ck_assert_mem_eq(parameter->tensor.shape, espnet_names[i].shape,
                         (size_t)espnet_names[i].rank * sizeof(int64_t));
    }
    ck_assert_int_eq(mt_parameters_size(model->parameters), mt_model_config_size(&config));
    mt_model_destroy(model);
}
END_TEST

static double value_of(const mt_model *model, const char *name, int64_t index)
{
    double values[512];
    const mt_parameter *parameter = mt_parameters_find(model->parameters, name);
    ck_assert_msg(parameter != NULL, "%s is missing", name);
    ck_assert_int_le(mt_tensor_count(&parameter->tensor), 512);
    ck_assert_int_eq(mt_tensor_read(&parameter->tensor, values), MT_OK);
    return values[index];
}

START_TEST(test_initial_values_are_espnets)
{
    enum { BLOCKS = 3, S = 4, A = 6 };
    mt_model_config config = small_config();
    config.num_blocks = BLOCKS;
    config.attention_size = A;
    mt_model *model = make_model(&config, MT_F64);
    for (int block = 0; block < BLOCKS; block++) {
        double r0 = block / 2.0, r1 = 1.0 - block / 3.0;
        char name[128];
        for (int h = 0; h < A; h++) {
            snprintf(name, sizeof name, "rwkv_blocks.%d.att.time_decay", block);
            ck_assert_double_eq_tol(value_of(model, name, h),
                                    -5.0 + 8.0 * pow(h / 5.0, 0.7 + 1.3 * r0), 1e-12);
            snprintf(name, sizeof name, "rwkv_blocks.%d.att.time_first", block);
            ck_assert_double_eq_tol(value_of(model, name, h), log(0.3) + 0.5 * ((h + 1) % 3 - 1),
                                    1e-12);
        }
        for (int i = 0; i < S; i++) {
            double x = i / 4.0;
            snprintf(name, sizeof name, "rwkv_blocks.%d.att.time_mix_key", block);
            ck_assert_double_eq_tol(value_of(model, name, i), pow(x, r1), 1e-12);
            snprintf(name, sizeof name, "rwkv_blocks.%d.att.time_mix_value", block);
            ck_assert_double_eq_tol(value_of(model, name, i), pow(x, r1) + 0.3 * r0, 1e-12);
            snprintf(name, sizeof name, "rwkv_blocks.%d.att.time_mix_receptance", block);
            ck_assert_double_eq_tol(value_of(model, name, i), pow(x, 0.5 * r1), 1e-12);
            snprintf(name, sizeof name, "rwkv_blocks.%d.ffn.time_mix_receptance", block);
            ck_assert_double_eq_tol(value_of(model, name, i), pow(x, r1), 1e-12);
        }
        for (int i = 0; i < S * A; i++) {
            snprintf(name, sizeof name, "rwkv_blocks.%d.att.proj_key.weight", block);
            ck_assert_double_le(fabs(value_of(model, name, i)), 0.5);
        }
    }
    for (int c = 0; c < S; c++) {
        ck_assert_double_eq(value_of(model, "embed.weight", c), 0.0); /* the padding row */
        ck_assert_double_ne(value_of(model, "embed.weight", S + c), 0.0);
    }
    mt_model_destroy(model);
}
END_TEST

/* The length of each column of a matrix, at right angles to the one before it; 0: all is 0. */
static void assert_columns(const mt_model *model, const char *name, double length)
{
    double values[512];
    const mt_parameter *parameter = mt_parameters_find(model->parameters, name);
    ck_assert_msg(parameter != NULL, "%s is missing", name);
    int64_t rows = parameter->tensor.shape[0], columns = parameter->tensor.shape[1];
    ck_assert_int_eq(mt_tensor_read(&parameter->tensor, values), MT_OK);
    for (int64_t c = 0; c < columns; c++) {
        double square = 0.0, product = 0.0;
        for (int64_t r = 0; r < rows; r++) {
            square += values[r * columns + c] * values[r * columns + c];
            product += c > 0 ? values[r * columns + c] * values[r * columns + c - 1] : 0.0;
        }
        ck_assert_msg(fabs(square - length * length) < 1e-12 && fabs(product) < 1e-12,
                      "%s, column %lld: %g, %g", name, (long long)c, square, product);
    }
}

START_TEST(test_initial_values_are_rwkv_lms)
{
    enum { S = 4 };
    static const struct {
        const char *name;
        double length;
    } matrices[] = {{"att.proj_key", 0.0},        {"att.proj_value", 1.0},
                    {"att.proj_receptance", 0.0}, {"att.proj_output", 0.0},
                    {"ffn.proj_key", 2.0},        {"ffn.proj_value", 0.0},
                    {"ffn.proj_receptance", 0.0}};
    mt_model_config config = small_config();
    config.initial_values = MT_INITIAL_RWKV_LM;
    config.embed_bound = 0.125;
    mt_model *model = make_model(&config, MT_F64);
    for (int block = 0; block < 2; block++) {
        for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
            char name[128];
            snprintf(name, sizeof name, "rwkv_blocks.%d.%s.weight", block, matrices[i].name);
            assert_columns(model, name, matrices[i].length);
            snprintf(name, sizeof name, "rwkv_blocks.%d.%s.bias", block, matrices[i].name);
            ck_assert_double_eq(value_of(model, name, 0), 0.0);
        }
    }
    assert_columns(model, "head.weight", 0.5 * sqrt((double)VOCABULARY / S));
    ck_assert_double_eq(value_of(model, "rwkv_blocks.1.att.time_decay", S - 1), 3.0);
    double largest = 0.0;
    for (int i = 0; i < VOCABULARY * S; i++) {
        double value = value_of(model, "embed.weight", i);
        ck_assert(i >= S || value == 0.0); /* the padding row */
        largest = fmax(largest, fabs(value));
    }
    ck_assert(largest > 0.0625 && largest <= 0.125);
    mt_model_destroy(model);
    config.embed_bound = 0.0;
    ck_assert_double_eq(mt_model_config_resolved(&config).embed_bound, 6e-4);
}
END_TEST

START_TEST(test_initial_values_that_are_none_are_refused)
{
    mt_model_config config = small_config();
    config.initial_values = (mt_initial_values)2;
    ck_assert_int_eq(mt_model_config_check(&config), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_error_message(), "model: initial_values is 2, which has no name");
    config.initial_values = MT_INITIAL_RWKV_LM;
    static const double wrong[] = {-1.0, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
        config.embed_bound = wrong[i];
        ck_assert_int_eq(mt_model_config_check(&config), MT_ERROR_INVALID);
        ck_assert_ptr_nonnull(strstr(mt_error_message(), "embed_bound is "));
    }
}
END_TEST

/* The input of real-valued sequences: by the rule that RWKV-LM has for other matrices. */
START_TEST(test_a_real_valued_input_is_orthogonal_too)
{
    mt_model_config config = small_config();
    config.vocab_size = 0;
    config.input_size = 2;
    config.output_size = 1;
    config.initial_values = MT_INITIAL_RWKV_LM;
    mt_model *model = make_model(&config, MT_F64);
    assert_columns(model, "input.weight", sqrt(2.0));
    double square = 0.0; /* of the head, whose only row is wide */
    for (int i = 0; i < 4; i++) {
        square += pow(value_of(model, "head.weight", i), 2.0);
    }
    ck_assert_double_eq_tol(square, 0.25, 1e-15);
    ck_assert_double_eq(value_of(model, "input.bias", 0), 0.0);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_one_block_and_one_channel_have_finite_initial_values)
{
    mt_model_config config = small_config();
    config.num_blocks = 1;
    config.block_size = config.attention_size = 1;
    config.time_first = MT_TIME_FIRST_ESPNET;
    mt_model *model = make_model(&config, MT_F64);
    ck_assert_double_eq(value_of(model, "rwkv_blocks.0.att.time_decay", 0), -5.0);
    ck_assert_double_eq(value_of(model, "rwkv_blocks.0.att.time_first", 0), 1.0);
    mt_model_destroy(model);
}
END_TEST

/* The numbers of all parameters whose names begin so. */
static int64_t values_within(const mt_parameters *parameters, const char *prefix)
{
    int64_t values = 0;
    for (int i = 0; i < parameters->count; i++) {
        const mt_parameter *parameter = parameters->items[i];
        if (strncmp(parameter->name, prefix, strlen(prefix)) == 0) {
            values += mt_tensor_count(&parameter->tensor);
        }
    }
    return values;
}

START_TEST(test_the_number_of_values_is_known_before_a_model_is_made)
{
    const mt_norm_kind kinds[] = {MT_LAYER_NORM, MT_RMS_NORM, MT_SCALE_NORM, MT_BASIC_NORM};
    for (int i = 0; i < 32; i++) {
        mt_model_config config = small_config();
        config.norm.kind = kinds[i & 3];
        config.attention_size = 6;
        config.linear_size = 5;
        config.bias = (i & 4) != 0;
        config.head_bias = (i & 8) != 0;
        config.input_size = (i & 16) != 0 ? 3 : 0;
        config.vocab_size = config.input_size > 0 ? 0 : config.vocab_size;
        mt_model *model = make_model(&config, MT_F32);
        ck_assert_int_eq(mt_model_config_size(&config), mt_parameters_size(model->parameters));
        mt_model_destroy(model);
    }
}
END_TEST

START_TEST(test_norms_begin_with_espnets_values)
{
    static const struct {
        mt_norm_kind kind;
        const char *name;
        double value;
        int64_t values, of_norm; /* of the parameter, and of all that the norm has */
    } norms[] = {{MT_LAYER_NORM, "final_norm.weight", 1.0, 4, 8},
                 {MT_RMS_NORM, "final_norm.scale", 1.0, 4, 4},
                 {MT_SCALE_NORM, "final_norm.scale", 2.0, 1, 1},
                 {MT_BASIC_NORM, "final_norm.eps", -1.3862943611198906, 1, 1}};
    for (int i = 0; i < 4; i++) {
        mt_model_config config = small_config();
        config.norm.kind = norms[i].kind;
        mt_model *model = make_model(&config, MT_F64);
        ck_assert_double_eq_tol(value_of(model, norms[i].name, 0), norms[i].value, 1e-12);
        const mt_parameter *of_name = mt_parameters_find(model->parameters, norms[i].name);
        ck_assert_int_eq(mt_tensor_count(&of_name->tensor), norms[i].values);
        ck_assert_int_eq(values_within(model->parameters, "final_norm."), norms[i].of_norm);
        mt_model_destroy(model);
    }
}
END_TEST

START_TEST(test_configurations_out_of_range_are_refused_by_name)
{
    struct {
        mt_model_config config;
        const char *part;
    } wrong[7];
    for (int i = 0; i < 7; i++) {
        wrong[i].config = small_config();
    }
    wrong[0].config.block_size = 0;
    wrong[0].part = "block_size is 0";
    wrong[1].config.num_blocks = 4096;
    wrong[1].part = "num_blocks is 4096";
    wrong[2].config.att_dropout = 1.0;
    wrong[2].part = "att_dropout is 1";
    wrong[3].config.padding_index = VOCABULARY;
    wrong[3].part = "padding_index is 7, not in -1 .. 6";
    wrong[4].config.input_size = 2;
    wrong[4].part = "input_size 2";
    wrong[5].config.linear_size = INT64_MAX;
    wrong[5].part = "linear_size is 9223372036854775807";
    wrong[6].config.norm.eps = 1e-40;
    wrong[6].part = "norm.eps is 1e-40, not in [1.17549e-38, 1e+06)";
    for (int i = 0; i < 7; i++) {
        mt_model *model;
        ck_assert_int_eq(mt_model_create(test_device, MT_F32, &wrong[i].config, 1, &model),
                         MT_ERROR_INVALID);
        ck_assert_ptr_null(model);
        ck_assert_msg(strstr(mt_error_message(), wrong[i].part) != NULL, "%s", mt_error_message());
    }
}
END_TEST

START_TEST(test_norms_have_the_names_of_their_kinds)
{
    mt_norm_kind found;
    for (int kind = MT_LAYER_NORM; kind <= MT_BASIC_NORM; kind++) {
        ck_assert_int_eq(mt_norm_kind_parse(mt_norm_kind_name((mt_norm_kind)kind), &found), MT_OK);
        ck_assert_int_eq((int)found, kind);
    }
    ck_assert_int_eq(mt_norm_kind_parse("norm", &found), MT_ERROR_INVALID);
    ck_assert_ptr_nonnull(strstr(mt_error_message(), "'norm' is none of layer_norm"));
}
END_TEST

START_TEST(test_models_of_integers_are_refused)
{
    mt_model_config config = small_config();
    mt_model *model;
    ck_assert_int_eq(mt_model_create(test_device, MT_I32, &config, 1, &model), MT_ERROR_INVALID);
    ck_assert_ptr_null(model);
}
END_TEST

START_TEST(test_labels_of_another_rank_are_refused)
{
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32);
    const int32_t three[] = {1, 2, 3};
    mt_tensor *flat = mt_tape_input(test_tape, MT_I32, 1, (int64_t[]){3}, three, false);
    ck_assert_ptr_null(mt_model_decode(test_tape, model, flat, NULL, false));
    ck_assert_ptr_nonnull(strstr(mt_tape_error(test_tape), "(3), expected (B, T)"));
    mt_tape_reset(test_tape);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_a_context_can_be_made_longer)
{
    mt_model_config config = small_config();
    config.context_size = 2;
    mt_model *model = make_model(&config, MT_F32);
    const int32_t three[] = {1, 2, 3};
    mt_tensor *input = mt_tape_input(test_tape, MT_I32, 2, (int64_t[]){1, 3}, three, false);
    ck_assert_ptr_null(mt_model_decode(test_tape, model, input, NULL, false));
    ck_assert_ptr_nonnull(strstr(mt_tape_error(test_tape), "context_size 2"));
    mt_tape_reset(test_tape);
    mt_model_set_context_size(model, 3);
    input = mt_tape_input(test_tape, MT_I32, 2, (int64_t[]){1, 3}, three, false);
    ck_assert_ptr_nonnull(mt_model_decode(test_tape, model, input, NULL, false));
    mt_model_destroy(model);
}
END_TEST

static Suite *decoder_suite(void)
{
    TCase *tcase;
    Suite *suite = suite_begin("decoder", graph_setup, graph_teardown, &tcase);
    tcase_add_loop_test(tcase, test_model_gradients_are_central_differences, 0,
                        (int)(sizeof variations / sizeof *variations));
    tcase_add_test(tcase, test_without_recording_one_block_is_held_and_the_bits_are_the_same);
    tcase_add_test(tcase, test_gradients_are_those_of_the_cpu);
    tcase_add_loop_test(tcase, test_carried_gradients_are_central_differences, 0, 2);
    tcase_add_loop_test(tcase, test_every_split_of_a_sequence_gives_the_whole, 0, 4);
    tcase_add_test(tcase, test_recomputed_model_has_the_same_bits);
    tcase_add_test(tcase, test_names_and_shapes_are_espnets);
    tcase_add_test(tcase, test_initial_values_are_espnets);
    tcase_add_test(tcase, test_initial_values_are_rwkv_lms);
    tcase_add_test(tcase, test_initial_values_that_are_none_are_refused);
    tcase_add_test(tcase, test_a_real_valued_input_is_orthogonal_too);
    tcase_add_test(tcase, test_one_block_and_one_channel_have_finite_initial_values);
    tcase_add_test(tcase, test_norms_begin_with_espnets_values);
    tcase_add_test(tcase, test_the_number_of_values_is_known_before_a_model_is_made);
    tcase_add_test(tcase, test_norms_have_the_names_of_their_kinds);
    tcase_add_test(tcase, test_models_of_integers_are_refused);
    tcase_add_test(tcase, test_labels_of_another_rank_are_refused);
    tcase_add_test(tcase, test_a_context_can_be_made_longer);
    tcase_add_test(tcase, test_configurations_out_of_range_are_refused_by_name);
    return suite;
}

MT_TEST_MAIN(decoder_suite)
