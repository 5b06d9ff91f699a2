/* Adapters trained, kept in files, and used: by a program that links the library. */
#include <mixtape/adapter.h>
#include <mixtape/operators.h>
#include <mixtape/part.h>
#include <mixtape/stream.h>
#include <mixtape/trainer.h>

#include "tests/io/io_test.h"

#include <math.h>
#include <unistd.h>

enum { B = 2, T = 6, STEPS = 4 };

static const mt_adapter_kind kinds[] = {MT_ADAPT_STATE, MT_ADAPT_LORA};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* A model that is adapted, from a file. */
typedef struct adapted {
    mt_model *model;
    mt_trainer *trainer;
    const char *file;
} adapted;

static const char *save_model(const char *name, uint64_t seed)
{
    const char *path = in_folder(name);
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, seed);
    ASSERT_OK(mt_checkpoint_save(path, model, NULL, &test_state, NULL, NULL));
    mt_model_destroy(model);
    return path;
}

static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    int32_t input[B * T], target[B * T];
    mt_random random = mt_random_make(11, (uint64_t)index);
    (void)context;
    for (int i = 0; i < B * T; i++) {
        input[i] = (int32_t)mt_random_below(&random, VOCABULARY);
        target[i] = (int32_t)mt_random_below(&random, 2);
    }
    batch->input = mt_tape_labels(tape, B, T, input);
    batch->target = mt_tape_labels(tape, B, T, target);
}

static mt_tensor *loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    mt_model *model = context;
    mt_tensor *output = mt_model_decode(tape, model, batch->input, NULL, true);
    return mt_model_cross_entropy(tape, model, output, batch->target, -1, 0.0, counts);
}

static mt_adapter_config config_of(mt_adapter_kind kind)
{
    mt_adapter_config config = mt_adapter_config_default(kind);
    config.rank = 2;
    config.on |= 1u << MT_FFN_KEY;
    return config;
}

static adapted open_adapted(const char *file, mt_adapter_kind kind)
{
    adapted made = {.file = file};
    mt_weights *weights;
    mt_adapter_config config = config_of(kind);
    mt_trainer_config trainer = mt_trainer_config_default();
    trainer.schedule.lr = 0.03;
    ASSERT_OK(mt_weights_open(file, &weights));
    ASSERT_OK(mt_weights_model(weights, test_device, &made.model));
    ASSERT_OK(mt_model_adapt(made.model, &config, 7));
    const mt_objective objective = {put, loss, made.model};
    ASSERT_OK(
        mt_trainer_create(made.model->adapter->parameters, &trainer, &objective, &made.trainer));
    ASSERT_OK(mt_trainer_describe_adapter(made.trainer, made.model, weights, NULL, NULL));
    mt_weights_close(weights);
    return made;
}

static void close_adapted(adapted *of)
{
    mt_trainer_destroy(of->trainer);
    mt_model_destroy(of->model);
}

/* Leaves a checkpoint of an adapter that has been trained. */
static const char *save_trained(const char *name, const char *file, mt_adapter_kind kind)
{
    const char *path = in_folder(name);
    adapted run = open_adapted(file, kind);
    ASSERT_OK(mt_trainer_run(run.trainer, STEPS, NULL, NULL));
    ASSERT_OK(mt_trainer_save(run.trainer, path));
    close_adapted(&run);
    return path;
}

static const int32_t shown[B * T] = {1, 2, 3, 4, 0, 1, 4, 4, 2, 1, 3, 2};
enum { LOGITS = B * T * VOCABULARY };

static void logits_of(mt_model *model, double logits[LOGITS])
{
    mt_tape *tape;
    ASSERT_OK(mt_tape_create(test_device, &tape));
    mt_tape_set_recording(tape, false);
    mt_tensor *input = mt_tape_labels(tape, B, T, shown);
    mt_tensor *found = mt_model_head(tape, model, mt_model_decode(tape, model, input, NULL, false));
    ck_assert_msg(found != NULL, "%s", mt_tape_error(tape));
    ASSERT_OK(mt_tensor_read_doubles(found, logits));
    mt_tape_destroy(tape);
}

static double largest_difference(const double a[LOGITS], const double b[LOGITS])
{
    double largest = 0.0;
    for (int i = 0; i < LOGITS; i++) {
        largest = fmax(largest, fabs(a[i] - b[i]));
    }
    return largest;
}

START_TEST(test_a_run_resumed_is_the_same_bits)
{
    const char *file = save_model("model.h5", 3), *half = in_folder("half.h5");
    adapted whole = open_adapted(file, kinds[_i]), first = open_adapted(file, kinds[_i]);
    ASSERT_OK(mt_trainer_run(whole.trainer, STEPS, NULL, NULL));
    ASSERT_OK(mt_trainer_run(first.trainer, STEPS / 2, NULL, NULL));
    ASSERT_OK(mt_trainer_save(first.trainer, half));
    close_adapted(&first);
    for (int restores = 0; restores < 2; restores++) {
        adapted second = open_adapted(file, kinds[_i]);
        mt_checkpoint *checkpoint;
        if (restores) {
            ASSERT_OK(mt_checkpoint_load(half, &checkpoint));
            ASSERT_OK(mt_trainer_restore(second.trainer, checkpoint));
            mt_checkpoint_destroy(checkpoint);
        } else {
            ASSERT_OK(mt_trainer_load(second.trainer, half));
        }
        ASSERT_OK(mt_trainer_run(second.trainer, STEPS, NULL, NULL));
        const mt_parameters *a = whole.model->adapter->parameters;
        const mt_parameters *b = second.model->adapter->parameters;
        ck_assert(same_content(a->data, b->data, (size_t)a->total * sizeof(float)));
        close_adapted(&second);
    }
    close_adapted(&whole);
}
END_TEST

START_TEST(test_training_leaves_the_model)
{
    const char *file = save_model("model.h5", 3);
    adapted run = open_adapted(file, kinds[_i]);
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, 3);
    double before[LOGITS], after[LOGITS];
    logits_of(model, before);
    ASSERT_OK(mt_trainer_run(run.trainer, STEPS, NULL, NULL));
    logits_of(run.model, after);
    ck_assert(same_model(model, run.model));
    ck_assert_double_gt(largest_difference(before, after), 1e-3);
    mt_model_destroy(model);
    close_adapted(&run);
}
END_TEST

/* What is opened computes what was trained. */
START_TEST(test_a_file_is_the_model_and_its_adapter)
{
    const char *file = save_model("model.h5", 3), *path = in_folder("adapter.h5");
    adapted run = open_adapted(file, kinds[_i]);
    mt_weights *weights;
    mt_model *model;
    double trained_logits[LOGITS], opened[LOGITS];
    ASSERT_OK(mt_trainer_run(run.trainer, STEPS, NULL, NULL));
    ASSERT_OK(mt_trainer_save_parameters(run.trainer, path));
    ASSERT_OK(mt_weights_open(path, &weights));
    ck_assert_int_eq(weights->adapter->kind, kinds[_i]);
    ASSERT_OK(mt_weights_check(weights));
    ASSERT_OK(mt_weights_model(weights, test_device, &model));
    logits_of(run.model, trained_logits);
    logits_of(model, opened);
    ck_assert_double_lt(largest_difference(trained_logits, opened), 1e-6);
    mt_model_destroy(model);
    mt_weights_close(weights);
    close_adapted(&run);
}
END_TEST

/* Another type of the adapter than of the model's file. */
START_TEST(test_types_may_differ)
{
    const char *file = save_model("model.h5", 3), *path = in_folder("adapter.h5");
    mt_weights *weights;
    mt_model *model, *opened;
    mt_trainer *trainer;
    mt_trainer_config config = mt_trainer_config_default();
    mt_adapter_config adapter = config_of(kinds[_i]);
    double trained_logits[LOGITS], found[LOGITS];
    ASSERT_OK(mt_weights_open(file, &weights));
    mt_model_config sizes = weights->config;
    ASSERT_OK(mt_model_create(test_device, MT_F64, &sizes, 1, &model));
    ASSERT_OK(mt_weights_begin(weights, model));
    ASSERT_OK(mt_model_adapt(model, &adapter, 7));
    const mt_objective objective = {put, loss, model};
    ASSERT_OK(mt_trainer_create(model->adapter->parameters, &config, &objective, &trainer));
    ASSERT_OK(mt_trainer_describe_adapter(trainer, model, weights, NULL, NULL));
    mt_weights_close(weights);
    ASSERT_OK(mt_trainer_run(trainer, STEPS, NULL, NULL));
    ASSERT_OK(mt_trainer_save(trainer, path));
    ASSERT_OK(mt_weights_open(path, &weights));
    ck_assert_int_eq(weights->dtype, MT_F64);
    ASSERT_OK(mt_weights_model(weights, test_device, &opened));
    logits_of(model, trained_logits);
    logits_of(opened, found);
    ck_assert_double_lt(largest_difference(trained_logits, found), 1e-12);
    mt_weights_close(weights);
    mt_trainer_destroy(trainer);
    mt_model_destroy(opened);
    mt_model_destroy(model);
}
END_TEST

/* What the model's file does not tell, or tells otherwise, is as it was trained. */
START_TEST(test_the_configuration_is_that_of_the_run)
{
    const char *file = save_model("model.h5", 3), *path = in_folder("adapter.h5");
    mt_weights *weights;
    mt_model *model, *opened;
    mt_trainer *trainer;
    const mt_trainer_config config = mt_trainer_config_default();
    mt_adapter_config adapter = config_of(kinds[_i]);
    double trained_logits[LOGITS], found[LOGITS];
    ASSERT_OK(mt_weights_open(file, &weights));
    mt_model_config other = weights->config;
    other.norm.eps = 0.5;
    other.context_size = 2 * weights->config.context_size;
    other.rescale_every = 3;
    ASSERT_OK(mt_model_create(test_device, MT_F32, &other, 1, &model));
    ASSERT_OK(mt_weights_begin(weights, model));
    ASSERT_OK(mt_model_adapt(model, &adapter, 7));
    const mt_objective objective = {.put = put, .loss = loss, .context = model};
    ASSERT_OK(mt_trainer_create(model->adapter->parameters, &config, &objective, &trainer));
    ASSERT_OK(mt_trainer_describe_adapter(trainer, model, weights, NULL, NULL));
    mt_weights_close(weights);
    ASSERT_OK(mt_trainer_run(trainer, 2, NULL, NULL));
    ASSERT_OK(mt_trainer_save(trainer, path));
    ASSERT_OK(mt_weights_open(path, &weights));
    ck_assert_double_eq(weights->config.norm.eps, 0.5);
    ck_assert_int_eq(weights->config.context_size, other.context_size);
    ck_assert_int_eq(weights->config.rescale_every, 3);
    ASSERT_OK(mt_weights_model(weights, test_device, &opened));
    logits_of(model, trained_logits);
    logits_of(opened, found);
    ck_assert_double_lt(largest_difference(trained_logits, found), 1e-6);
    mt_weights_close(weights);
    mt_trainer_destroy(trainer);
    mt_model_destroy(opened);
    mt_model_destroy(model);
}
END_TEST

START_TEST(test_lora_is_merged_where_it_is_exported)
{
    const char *file = save_model("model.h5", 3);
    const char *path = save_trained("adapter.h5", file, MT_ADAPT_LORA);
    static const char *const names[] = {"merged.h5", "merged.safetensors"};
    mt_weights *weights, *exported;
    const mt_layout *layout;
    ASSERT_OK(mt_layout_parse("mixtape", &layout));
    ASSERT_OK(mt_weights_open(path, &weights));
    for (int i = 0; i < 2; i++) {
        size_t bytes, found_bytes;
        ASSERT_OK(mt_weights_convert(weights, in_folder(names[i]), layout));
        ASSERT_OK(mt_weights_open(in_folder(names[i]), &exported));
        ck_assert_ptr_null(exported->adapter);
        char *values = values_of(weights, &bytes), *found = values_of(exported, &found_bytes);
        ck_assert_uint_eq(bytes, found_bytes);
        ck_assert_mem_eq(values, found, bytes);
        free(values);
        free(found);
        mt_weights_close(exported);
    }
    mt_weights_close(weights);
}
END_TEST

/* A stream begins where the whole sequence does, in any stretches; a row begun anew, too. */
START_TEST(test_streams_begin_with_the_tuned_state)
{
    const char *file = save_model("model.h5", 3);
    const char *path = save_trained("adapter.h5", file, MT_ADAPT_STATE);
    mt_weights *weights;
    mt_model *model;
    mt_stream *stream;
    double expected[LOGITS];
    float found[VOCABULARY], again[VOCABULARY];
    ASSERT_OK(mt_weights_open(path, &weights));
    ASSERT_OK(mt_weights_model(weights, test_device, &model));
    mt_weights_close(weights);
    logits_of(model, expected);
    ASSERT_OK(mt_stream_create(model, 1, &stream));
    for (int round = 0; round < 2; round++) {
        ASSERT_OK(mt_stream_feed(stream, 1, shown, 1, found));
        for (int v = 0; v < VOCABULARY; v++) {
            ck_assert_double_eq_tol((double)found[v], expected[v], 1e-6);
        }
        ASSERT_OK(mt_stream_feed(stream, T - 1, shown + 1, 1, again));
        for (int v = 0; v < VOCABULARY; v++) {
            ck_assert_double_eq_tol((double)again[v], expected[(T - 1) * VOCABULARY + v], 1e-6);
        }
        ASSERT_OK(mt_stream_reset(stream, MT_EVERY_ROW));
    }
    mt_stream_destroy(stream);
    mt_model_destroy(model);
}
END_TEST

/* A tuned state is a stream's state: there is one kind of file. */
START_TEST(test_a_tuned_state_is_a_streams)
{
    const char *file = save_model("model.h5", 3), *state = in_folder("state.h5");
    const char *path = save_trained("adapter.h5", file, MT_ADAPT_STATE);
    const mt_stream_end end = {NULL, 0};
    mt_stream_end loaded = {NULL, 0};
    mt_weights *weights;
    mt_model *tuned, *plain;
    mt_stream *from, *to;
    float expected[VOCABULARY], found[VOCABULARY];
    ASSERT_OK(mt_weights_open(path, &weights));
    ASSERT_OK(mt_weights_model(weights, test_device, &tuned));
    mt_weights_close(weights);
    ASSERT_OK(mt_stream_create(tuned, 1, &from));
    ASSERT_OK(mt_stream_save_file(from, 0, &end, state));
    ASSERT_OK(mt_stream_feed(from, 3, shown, 1, expected));
    ASSERT_OK(mt_weights_open(file, &weights));
    ASSERT_OK(mt_weights_model(weights, test_device, &plain));
    mt_weights_close(weights);
    ASSERT_OK(mt_stream_create(plain, 1, &to));
    ASSERT_OK(mt_stream_load_file(to, 0, state, &loaded));
    ASSERT_OK(mt_stream_feed(to, 3, shown, 1, found));
    ck_assert_mem_eq(found, expected, sizeof found);
    mt_stream_destroy(from);
    mt_stream_destroy(to);
    mt_model_destroy(tuned);
    mt_model_destroy(plain);
}
END_TEST

START_TEST(test_another_model_is_refused)
{
    const char *file = save_model("model.h5", 3), *other = save_model("other.h5", 4);
    const char *path = save_trained("adapter.h5", file, kinds[_i]);
    mt_weights *weights;
    ASSERT_FAILS(mt_weights_open_adapted(path, other, &weights), MT_ERROR_INVALID, path, other,
                 "it adapts other weights");
    ck_assert_ptr_null(weights);
    ASSERT_FAILS(mt_weights_open_adapted(path, path, &weights), MT_ERROR_INVALID, path,
                 "an adapter itself");
    ASSERT_FAILS(mt_weights_open_adapted(file, other, &weights), MT_ERROR_INVALID, file,
                 "it is no adapter");
    const char *moved = in_folder("moved.h5");
    ck_assert_int_eq(rename(file, moved), 0);
    ASSERT_FAILS(mt_weights_open(path, &weights), MT_ERROR_IO, path, "the model that it adapts",
                 "model.h5");
    ASSERT_OK(mt_weights_open_adapted(path, moved, &weights));
    mt_weights_close(weights);
    ck_assert_int_eq(rename(other, file), 0); /* which has the same sizes */
    ASSERT_FAILS(mt_weights_open(path, &weights), MT_ERROR_INVALID, path, "or they have changed");
}
END_TEST

/* It is known by the weights that were read, not by what has their name since. */
START_TEST(test_a_model_that_was_replaced_is_not_vouched_for)
{
    const char *file = save_model("model.h5", 3), *other = save_model("other.h5", 4);
    const char *path = in_folder("adapter.h5"), *kept = in_folder("kept.h5");
    adapted run = open_adapted(file, kinds[_i]);
    mt_weights *weights;
    ASSERT_OK(mt_weights_open(file, &weights));
    ck_assert_int_eq(link(file, kept), 0);
    ck_assert_int_eq(rename(other, file), 0);
    ASSERT_OK(mt_trainer_describe_adapter(run.trainer, run.model, weights, NULL, NULL));
    mt_weights_close(weights);
    ASSERT_OK(mt_trainer_save(run.trainer, path));
    ASSERT_FAILS(mt_weights_open(path, &weights), MT_ERROR_INVALID, path, "or they have changed");
    ASSERT_OK(mt_weights_open_adapted(path, kept, &weights));
    mt_weights_close(weights);
    close_adapted(&run);
}
END_TEST

START_TEST(test_an_adapter_is_no_base)
{
    const char *file = save_model("model.h5", 3);
    const char *path = save_trained("adapter.h5", file, kinds[_i]);
    adapted run = open_adapted(file, kinds[_i]);
    mt_weights *weights, *base;
    ASSERT_OK(mt_weights_open(path, &weights));
    ASSERT_FAILS(mt_trainer_describe_adapter(run.trainer, run.model, weights, NULL, NULL),
                 MT_ERROR_INVALID, path, "an adapter itself");
    mt_weights_close(weights);
    ASSERT_OK(mt_weights_open(file, &base));
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, 1);
    ASSERT_FAILS(mt_trainer_describe_adapter(run.trainer, model, base, NULL, NULL),
                 MT_ERROR_INVALID, "not the model's adapter");
    ck_assert_int_eq(remove(file), 0);
    ASSERT_FAILS(mt_trainer_describe_adapter(run.trainer, run.model, base, NULL, NULL), MT_ERROR_IO,
                 file);
    mt_weights_close(base);
    mt_model_destroy(model);
    close_adapted(&run);
}
END_TEST

START_TEST(test_a_tuned_state_is_not_left_out)
{
    const char *file = save_model("model.h5", 3);
    const char *path = save_trained("adapter.h5", file, MT_ADAPT_STATE);
    mt_weights *weights;
    const mt_layout *layout;
    mt_model_config config = small_config();
    mt_model *model = make_model(&config, MT_F32, 1);
    mt_checkpoint *checkpoint;
    mt_adam *adam;
    ASSERT_OK(mt_adam_create(model->parameters, mt_adam_config_default(), &adam));
    ASSERT_OK(mt_checkpoint_load(path, &checkpoint));
    ASSERT_FAILS(mt_checkpoint_restore(checkpoint, model, adam), MT_ERROR_INVALID, path,
                 "that of an adapter");
    mt_checkpoint_destroy(checkpoint);
    mt_adam_destroy(adam);
    ASSERT_OK(mt_layout_parse("mixtape", &layout));
    ASSERT_OK(mt_weights_open(path, &weights));
    ASSERT_FAILS(mt_weights_convert(weights, in_folder("out.h5"), layout), MT_ERROR_INVALID, path,
                 "a tuned state");
    ASSERT_FAILS(mt_checkpoint_convert(weights, in_folder("out.h5"), &test_state, NULL),
                 MT_ERROR_INVALID, path, "a tuned state");
    ASSERT_FAILS(mt_part_convert(weights, "rwkv_blocks.0.att", in_folder("out.h5")),
                 MT_ERROR_INVALID, path, "a tuned state");
    ASSERT_FAILS(mt_weights_begin(weights, model), MT_ERROR_INVALID, path, "a tuned state");
    ck_assert_ptr_null(model->adapter);
    ASSERT_OK(mt_weights_restore(weights, model));
    ck_assert_ptr_nonnull(model->adapter);
    ck_assert_int_eq(files_in_folder(), 2);
    mt_weights_close(weights);
    mt_model_destroy(model);
}
END_TEST

/* Of another rank, alpha or kind. */
START_TEST(test_what_differs_is_not_gone_on_from)
{
    const char *file = save_model("model.h5", 3);
    const char *lora = save_trained("lora.h5", file, MT_ADAPT_LORA);
    const char *state = save_trained("state.h5", file, MT_ADAPT_STATE);
    adapted run = open_adapted(file, MT_ADAPT_LORA);
    mt_checkpoint *checkpoint;
    ASSERT_FAILS(mt_trainer_load(run.trainer, state), MT_ERROR_FORMAT, state);
    close_adapted(&run);
    run = open_adapted(file, MT_ADAPT_LORA);
    ASSERT_OK(mt_checkpoint_load(lora, &checkpoint));
    checkpoint->weights->adapter->alpha = 5.0;
    ASSERT_FAILS(mt_trainer_restore(run.trainer, checkpoint), MT_ERROR_INVALID, lora,
                 "alpha is 5, the trainer's 16");
    mt_checkpoint_destroy(checkpoint);
    close_adapted(&run);
}
END_TEST

static Suite *make_suite(void)
{
    TCase *cases;
    Suite *suite = suite_begin("adapters in files", io_setup, io_teardown, &cases);
    tcase_add_loop_test(cases, test_a_run_resumed_is_the_same_bits, 0, KINDS);
    tcase_add_loop_test(cases, test_training_leaves_the_model, 0, KINDS);
    tcase_add_loop_test(cases, test_a_file_is_the_model_and_its_adapter, 0, KINDS);
    tcase_add_loop_test(cases, test_types_may_differ, 0, KINDS);
    tcase_add_loop_test(cases, test_the_configuration_is_that_of_the_run, 0, KINDS);
    tcase_add_loop_test(cases, test_another_model_is_refused, 0, KINDS);
    tcase_add_loop_test(cases, test_a_model_that_was_replaced_is_not_vouched_for, 0, KINDS);
    tcase_add_loop_test(cases, test_an_adapter_is_no_base, 0, KINDS);
    tcase_add_test(cases, test_lora_is_merged_where_it_is_exported);
    tcase_add_test(cases, test_streams_begin_with_the_tuned_state);
    tcase_add_test(cases, test_a_tuned_state_is_a_streams);
    tcase_add_test(cases, test_a_tuned_state_is_not_left_out);
    tcase_add_test(cases, test_what_differs_is_not_gone_on_from);
    return suite;
}

MT_TEST_MAIN(make_suite)
