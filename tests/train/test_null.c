/* Every function that works on an object refuses NULL, as it is after its creation failed. */
#include <mixtape/mixtape.h>

#include <mixtape/extend.h>

#include "tests/check_main.h"

#include <string.h>

/* The call is MT_ERROR_INVALID, and says which function it was and what had failed before. */
#define REFUSES(function, ...)                                                                     \
    do {                                                                                           \
        mt_fail(MT_ERROR_IO, "the first failure");                                                 \
        ck_assert_msg((function)(__VA_ARGS__) == MT_ERROR_INVALID, "%s", #function);               \
        ck_assert_msg(strstr(mt_error_message(), #function ": it got NULL, after: the first") ==   \
                          mt_error_message(),                                                      \
                      "%s: %s", #function, mt_error_message());                                    \
    } while (0)

static mt_device *device;
static mt_model *model;
static mt_model_config config;

static void setup(void)
{
    config = mt_model_config_default(5, 4);
    ck_assert_int_eq(mt_device_open("cpu", &device), MT_OK);
    ck_assert_int_eq(mt_model_create(device, MT_F32, &config, 1, &model), MT_OK);
}

static void teardown(void)
{
    mt_model_destroy(model);
    mt_device_close(device);
}

START_TEST(test_devices)
{
    void *memory;
    float value = 0.0f;
    mt_device *opened;
    mt_communicator *communicator;
    mt_wkv_forward_args forward = {.B = 1, .T = 1, .C = 1};
    mt_wkv_backward_args backward = {.B = 1, .T = 1, .C = 1};
    REFUSES(mt_device_synchronize, NULL);
    REFUSES(mt_device_allow_tf32, NULL, true);
    REFUSES(mt_device_allocate, NULL, 1, &memory);
    REFUSES(mt_device_write, NULL, &value, &value, sizeof value);
    REFUSES(mt_device_read, NULL, &value, &value, sizeof value);
    REFUSES(mt_wkv_forward, NULL, NULL, MT_F32, &forward);
    REFUSES(mt_wkv_backward, NULL, NULL, MT_F32, &backward);
    REFUSES(mt_communicator_open, NULL);
    REFUSES(mt_communicator_open_at, 0, 1, NULL, 1.0, &communicator);
    ck_assert_ptr_null(communicator);
    REFUSES(mt_communicator_open_at, 0, 1, "localhost:1", 1.0, NULL);
    REFUSES(mt_communicator_agree, NULL, MT_OK);
    REFUSES(mt_communicator_use_device, NULL, device);
    mt_communicator_leave_device(NULL, device);
    ck_assert_str_eq(mt_communicator_sums(NULL), "");
    REFUSES(mt_communicator_open_device, NULL, "cpu", &opened);
    REFUSES(mt_communicator_gather, NULL, 4, &value, &value);
    REFUSES(mt_communicator_broadcast, NULL, 4, &value);
    REFUSES(mt_communicator_sum, NULL, device, MT_F32, 1, &value);
    REFUSES(mt_communicator_begin_sum, NULL, device, MT_F32, 1, &value);
    REFUSES(mt_communicator_end_sums, NULL, device);
    mt_communicator_end_all(NULL, 1);
    ck_assert_int_eq(mt_communicator_rank(NULL), 0);
    ck_assert_int_eq(mt_communicator_size(NULL), 0);
    ck_assert(!mt_communicator_has_agreed(NULL));
    mt_device_release(NULL, NULL);
    ck_assert_str_eq(mt_device_name(NULL), "");
    ck_assert_uint_eq(mt_wkv_saved_size(NULL, MT_F32, 1, 1, 1), 0);
    ck_assert_uint_eq(mt_wkv_workspace_size(NULL, MT_F32, 1, 1, 1), 0);
}
END_TEST

START_TEST(test_tapes_and_tensors)
{
    mt_tape *tape = (mt_tape *)(void *)model;
    float value[20] = {0.0f};
    double wide[20];
    const int64_t shape[] = {1};
    mt_gradcheck_result result;
    REFUSES(mt_tape_create, NULL, &tape);
    ck_assert_ptr_null(tape);
    REFUSES(mt_tape_set_random, NULL, 1, 1);
    REFUSES(mt_backward, NULL, NULL);
    REFUSES(mt_gradcheck, NULL, NULL, NULL, 0, NULL, 1, &result);
    REFUSES(mt_tensor_read, NULL, value);
    REFUSES(mt_tensor_read_doubles, NULL, wide);
    REFUSES(mt_tensor_read_grad, NULL, value);
    REFUSES(mt_tensor_write, NULL, value);
    mt_tape_reset(NULL);
    ck_assert_ptr_null(mt_tape_device(NULL));
    ck_assert_int_eq(mt_tape_status(NULL), MT_ERROR_INVALID);
    ck_assert_str_eq(mt_tape_error(NULL), mt_error_message());
    ck_assert_ptr_null(mt_tape_fail(NULL, MT_ERROR_IO));
    ck_assert(!mt_tape_set_recording(NULL, true) && !mt_tape_recording(NULL));
    ck_assert_uint_eq(mt_tape_memory(NULL), 0);
    ck_assert_ptr_null(mt_tape_input(NULL, MT_F32, 1, shape, value, false));
    ck_assert_ptr_null(mt_view(NULL, model->embed, 1, shape));
    ck_assert_ptr_null(mt_detach(NULL, model->embed));
    ck_assert_int_eq(mt_tensor_count(NULL), 0);
    ck_assert_uint_eq(mt_tensor_bytes(NULL), 0);
    ck_assert_ptr_null(mt_tensor_grad(NULL));
    ck_assert(!mt_tensor_same_shape(NULL, model->embed));
}
END_TEST

START_TEST(test_operators_and_layers_without_a_tape)
{
    mt_tensor *x = model->embed, *many[3] = {NULL};
    ck_assert_ptr_null(mt_add(NULL, x, x));
    ck_assert_ptr_null(mt_subtract(NULL, x, x));
    ck_assert_ptr_null(mt_multiply(NULL, x, x));
    ck_assert_ptr_null(mt_divide(NULL, x, x));
    ck_assert_ptr_null(mt_scale(NULL, x, 2.0));
    ck_assert_ptr_null(mt_exp(NULL, x));
    ck_assert_ptr_null(mt_negative_exp(NULL, x));
    ck_assert_ptr_null(mt_log(NULL, x));
    ck_assert_ptr_null(mt_sigmoid(NULL, x));
    ck_assert_ptr_null(mt_tanh(NULL, x));
    ck_assert_ptr_null(mt_relu(NULL, x));
    ck_assert_ptr_null(mt_squared_relu(NULL, x));
    ck_assert_ptr_null(mt_gelu(NULL, x));
    ck_assert_ptr_null(mt_softmax(NULL, x));
    ck_assert_ptr_null(mt_sigmoid_gate(NULL, x, x));
    ck_assert_ptr_null(mt_sum(NULL, x));
    ck_assert_ptr_null(mt_mean(NULL, x));
    ck_assert_ptr_null(mt_matmul(NULL, x, x, false, true));
    ck_assert_ptr_null(mt_linear(NULL, x, x, NULL));
    ck_assert_ptr_null(mt_linear_squared_relu(NULL, x, x, NULL));
    ck_assert_ptr_null(mt_embedding(NULL, x, x, -1));
    ck_assert_ptr_null(mt_layer_norm(NULL, x, x, x, 1.0));
    ck_assert_ptr_null(mt_rms_norm(NULL, x, x, 1.0, -1.0));
    ck_assert_ptr_null(mt_scale_norm(NULL, x, x, 1.0));
    ck_assert_ptr_null(mt_basic_norm(NULL, x, x));
    mt_time_mix(NULL, x, NULL, 1, &x, many);
    ck_assert_ptr_null(many[0]);
    ck_assert_ptr_null(mt_slice(NULL, x, 0, 0, 1));
    ck_assert_ptr_null(mt_concatenate(NULL, 0, 1, &x));
    ck_assert_ptr_null(mt_transpose(NULL, x, 0, 1));
    ck_assert_ptr_null(mt_last_step(NULL, x));
    ck_assert_ptr_null(mt_wkv(NULL, x, x, x, x, NULL, 1, many));
    ck_assert_ptr_null(mt_dropout(NULL, x, 0.5));
    ck_assert_ptr_null(mt_cross_entropy(NULL, x, x, -1, 0.0, many));
    ck_assert_ptr_null(mt_linear_cross_entropy(NULL, x, x, NULL, x, -1, 0.0, many));
    ck_assert_ptr_null(mt_cross_entropy_l2wrap(NULL, x, x, -1, 0.0, 0.1, many));
    ck_assert_ptr_null(mt_linear_cross_entropy_l2wrap(NULL, x, x, NULL, x, -1, 0.0, 0.1, many));
    ck_assert_ptr_null(mt_mean_square(NULL, x, x));
    ck_assert_ptr_null(mt_model_decode(NULL, model, x, NULL, false));
    ck_assert_ptr_null(mt_model_decode(NULL, model, x, NULL, true));
    ck_assert_ptr_null(mt_model_decode_carried(NULL, model, x, many, true));
    ck_assert_ptr_null(mt_model_head(NULL, model, x));
    ck_assert_ptr_null(mt_model_cross_entropy(NULL, model, x, x, -1, 0.0, many));
}
END_TEST

START_TEST(test_models_and_parameters)
{
    mt_model *made = model;
    mt_model_state state;
    mt_linear_layer linear;
    mt_norm norm;
    mt_block block;
    const mt_block_config block_config = {.att = mt_self_attention_config_default(4, 4),
                                          .ffn = {.size = 4, .hidden_size = 4, .num_blocks = 1}};
    const int64_t shape[] = {1};
    REFUSES(mt_model_create, NULL, MT_F32, &config, 1, &made);
    ck_assert_ptr_null(made);
    REFUSES(mt_model_state_create, NULL, &state);
    mt_model_state_destroy(&state);
    mt_model_set_context_size(NULL, 1);
    ck_assert_ptr_null(mt_model_decode(NULL, NULL, NULL, NULL, false));
    ck_assert_ptr_null(mt_model_decode_carried(NULL, NULL, NULL, NULL, false));
    ck_assert_ptr_null(mt_model_head(NULL, NULL, NULL));
    ck_assert_ptr_null(mt_model_cross_entropy(NULL, NULL, NULL, NULL, -1, 0.0, NULL));
    ck_assert_ptr_null(mt_model_cross_entropy_l2wrap(NULL, NULL, NULL, NULL, -1, 0.0, 0.1, NULL));
    REFUSES(mt_parameters_allocate, NULL, 1);
    REFUSES(mt_parameters_settle_grad, NULL);
    REFUSES(mt_parameters_set_rate, NULL, "*", 1.0);
    REFUSES(mt_parameters_compact, NULL, MT_I8);
    ck_assert_ptr_null(mt_parameters_add(NULL, "", "a", 1, shape, mt_initial_constant(0.0)));
    ck_assert_ptr_null(mt_parameters_find(NULL, "a"));
    mt_parameters_set_padding_row(NULL, 0);
    mt_parameters_zero_grad(NULL);
    ck_assert_int_eq(mt_parameters_size(NULL), 0);
    ck_assert_int_eq(mt_linear_init(&linear, NULL, "", 1, 1, true), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_norm_init(&norm, NULL, "", 1, config.norm), MT_ERROR_INVALID);
    ck_assert_int_eq(mt_block_init(&block, NULL, "", &block_config), MT_ERROR_INVALID);
}
END_TEST

/* What mt_model_describe gives has names and shapes, but neither device nor memory. */
START_TEST(test_parameters_without_memory)
{
    mt_parameters *described;
    mt_adam *adam;
    float values[20];
    ck_assert_int_eq(mt_model_describe(&config, MT_F32, &described), MT_OK);
    mt_tensor *tensor = &described->items[0]->tensor;
    REFUSES(mt_parameters_allocate, described, 1);
    REFUSES(mt_parameters_settle_grad, described);
    REFUSES(mt_parameters_compact, described, MT_I8);
    REFUSES(mt_adam_create, described, mt_adam_config_default(), &adam);
    REFUSES(mt_tensor_read, tensor, values);
    REFUSES(mt_tensor_write, tensor, values);
    mt_parameters_destroy(described);
}
END_TEST

START_TEST(test_optimisers_and_trainers)
{
    /* What creates something leaves NULL where it fails, whatever was there. */
    mt_adam *adam = (mt_adam *)(void *)model;
    mt_trainer *trainer = (mt_trainer *)(void *)model;
    mt_update update;
    mt_evaluation evaluation;
    mt_replayed replayed;
    double norm;
    const mt_trainer_config trainer_config = mt_trainer_config_default();
    const mt_objective objective = {.put = NULL};
    REFUSES(mt_adam_create, NULL, mt_adam_config_default(), &adam);
    REFUSES(mt_adam_config_check, NULL);
    ck_assert_ptr_null(adam);
    REFUSES(mt_adam_step, NULL, 0.1, 1.0, NULL);
    REFUSES(mt_adam_set_lr, NULL, 0.1);
    REFUSES(mt_adam_update, NULL, 1.0);
    REFUSES(mt_adam_read_norm, NULL, 1.0, &norm);
    REFUSES(mt_adam_watch, NULL, model->embed);
    REFUSES(mt_adam_go_on, NULL);
    REFUSES(mt_trainer_create, NULL, &trainer_config, &objective, &trainer);
    ck_assert_ptr_null(trainer);
    mt_carried carried;
    REFUSES(mt_carried_of_model, NULL, 1, &carried);
    mt_carried_free(&carried);
    REFUSES(mt_trainer_run, NULL, 1, NULL, NULL);
    REFUSES(mt_trainer_begin, NULL);
    REFUSES(mt_trainer_finish, NULL, &update);
    REFUSES(mt_trainer_describe, NULL, NULL, NULL, NULL);
    REFUSES(mt_trainer_keep_tokenizer, NULL, NULL);
    REFUSES(mt_trainer_save, NULL, "/tmp/a.h5");
    REFUSES(mt_trainer_save_parameters, NULL, "/tmp/a.h5");
    REFUSES(mt_trainer_save_beside, NULL, "/tmp/a.h5");
    REFUSES(mt_trainer_saved, NULL);
    ck_assert(!mt_trainer_is_saving(NULL));
    REFUSES(mt_trainer_restore, NULL, NULL);
    REFUSES(mt_trainer_load, NULL, "/tmp/a.h5");
    REFUSES(mt_evaluate, NULL, &objective, 1, &evaluation);
    REFUSES(mt_trainer_evaluate, NULL, &objective, 1, &evaluation);
    REFUSES(mt_replay, "/tmp/a.h5", NULL, &objective, model->parameters, &replayed);
    mt_trainer_stop(NULL);
    ck_assert(!mt_trainer_has_room(NULL));
    ck_assert_int_eq(mt_trainer_pending(NULL), 0);
    ck_assert_ptr_null(mt_trainer_state(NULL));
    ck_assert_ptr_null(mt_trainer_tape(NULL));
}
END_TEST

START_TEST(test_streams)
{
    mt_stream *stream = (mt_stream *)(void *)model, *whole;
    const int32_t label = 0;
    int32_t drawn;
    float outputs[8];
    mt_stream_end end = {outputs, 0};
    mt_scoring scoring = mt_scoring_default(0);
    mt_scorer *scorer = (mt_scorer *)(void *)model;
    REFUSES(mt_stream_create, NULL, 4, &stream);
    ck_assert_ptr_null(stream);
    REFUSES(mt_stream_feed, NULL, 1, &label, 1, outputs);
    REFUSES(mt_stream_feed_features, NULL, 1, outputs, 1, outputs);
    REFUSES(mt_stream_reset, NULL, 0);
    REFUSES(mt_stream_save, NULL, 0, outputs);
    REFUSES(mt_stream_load, NULL, 0, outputs);
    REFUSES(mt_stream_save_file, NULL, 0, &end, "a.h5");
    REFUSES(mt_stream_load_file, NULL, 0, "a.h5", &end);
    ck_assert_int_eq(mt_stream_create(model, 4, &whole), MT_OK);
    REFUSES(mt_stream_copy, NULL, 0, whole, 0);
    REFUSES(mt_stream_copy, whole, 0, NULL, 0);
    mt_stream_destroy(whole);
    REFUSES(mt_scorer_create, NULL, &scoring, &scorer);
    ck_assert_ptr_null(scorer);
    REFUSES(mt_scorer_score, NULL, 0, NULL, NULL);
    REFUSES(mt_scorer_begin, NULL);
    REFUSES(mt_scorer_add, NULL, 0, NULL, NULL);
    mt_scorer_destroy(NULL);
    REFUSES(mt_sampler_forbid, NULL, 0);
    REFUSES(mt_sampler_reseed, NULL, 1);
    REFUSES(mt_sampler_seek, NULL, 1);
    ck_assert_int_eq(mt_sampler_position(NULL), 0);
    REFUSES(mt_sampler_draw, NULL, MT_F32, outputs, &drawn);
    ck_assert_int_eq(mt_stream_width(NULL), 0);
    ck_assert_uint_eq(mt_stream_row_bytes(NULL), 0);
}
END_TEST

START_TEST(test_files)
{
    const char *path = "/tmp/a.h5";
    const mt_train_state state = {.step = 1};
    mt_model *made;
    mt_text text;
    mt_transcripts *transcripts;
    mt_weights *none = NULL;
    float value;
    int32_t *ids;
    int64_t count;
    REFUSES(mt_checkpoint_save, path, NULL, NULL, &state, NULL, NULL);
    REFUSES(mt_checkpoint_convert, NULL, path, &state, NULL);
    REFUSES(mt_checkpoint_restore, NULL, model, NULL);
    REFUSES(mt_checkpoint_check, NULL);
    REFUSES(mt_weights_check, NULL);
    REFUSES(mt_weights_average, NULL, 0, NULL);
    REFUSES(mt_weights_compare, NULL, NULL, NULL, NULL);
    REFUSES(mt_parameters_load, path, NULL);
    REFUSES(mt_weights_read, NULL, model->parameters->items[0], 0, 1, &value);
    REFUSES(mt_weights_model, NULL, device, &made);
    ck_assert_ptr_null(made);
    REFUSES(mt_weights_restore, NULL, model);
    REFUSES(mt_weights_begin, NULL, model);
    REFUSES(mt_weights_begin_grown, NULL, model);
    REFUSES(mt_weights_convert, NULL, path, &mt_layouts[0]);
    REFUSES(mt_weights_export, NULL, path, &mt_layouts[0], MT_STORED_F16);
    REFUSES(mt_weights_save, path, NULL, &mt_layouts[0], NULL);
    REFUSES(mt_weights_save, path, model, NULL, NULL);
    REFUSES(mt_part_save, path, NULL, "rwkv_blocks.0.att");
    REFUSES(mt_part_convert, none, "rwkv_blocks.0.att", path);
    REFUSES(mt_part_load, path, "rwkv_blocks.0.att", NULL);
    REFUSES(mt_part_replace, none, "rwkv_blocks.0.att", path);
    REFUSES(mt_text_encode, "a", 1, MT_TEXT_BYTE, NULL, &text);
    REFUSES(mt_token_list_keep_whole, NULL, 0, NULL);
    REFUSES(mt_transcripts_load, path, NULL, MT_TOKEN_CHAR, &transcripts);
    REFUSES(mt_token_encode, NULL, MT_TOKEN_CHAR, "a", &ids, &count);
    REFUSES(mt_layout_check, NULL, &config);
    ck_assert_int_eq(mt_token_find(NULL, "a", 1), -1);
}
END_TEST

static Suite *null_suite(void)
{
    return SUITE_WITH("null", setup, teardown, test_devices, test_tapes_and_tensors,
                      test_operators_and_layers_without_a_tape, test_models_and_parameters,
                      test_parameters_without_memory, test_optimisers_and_trainers, test_streams,
                      test_files);
}

MT_TEST_MAIN(null_suite)
