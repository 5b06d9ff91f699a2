/* Gradients of several ranks that are summed in pieces, beside backward: when the sum of a piece
 * begins, and that it never begins too early. */
#include <mixtape/extend.h>
#include <mixtape/operators.h>
#include <mixtape/trainer.h>

#include "tests/check_main.h"
#include "tests/kernels/forked_ranks.h"

#include "kernels/device.h"

/* A matrix is more than the least piece. */
enum { RANKS = 2, SIZE = 1030, NOT_SEEN = -1 };

typedef enum graph { PLAIN, USED_AGAIN, RECOMPUTED, FAILING } graph;

/* What a rank saw, in memory in common. */
typedef struct pieces_run {
    graph graph;
    struct {
        int at_probe, at_end; /* sums that had begun */
        mt_status status;
        char message[256];
        float values[2 * SIZE];
    } results[RANKS];

    mt_tensor *first, *second;
    int rank;
} pieces_run;

static int begun;
static mt_status (*begin_really)(mt_communicator *, mt_device *, mt_dtype, int64_t, void *);

static mt_status begin_counted(mt_communicator *communicator, mt_device *device, mt_dtype dtype,
                               int64_t n, void *values)
{
    begun++;
    return begin_really(communicator, device, dtype, n, values);
}

/* ---- y = x, whose backward looks ---- */

typedef struct probe_options {
    int *seen;
    bool fails;
} probe_options;

static mt_status probe_shape(mt_call *call)
{
    mt_call_output_like(call, 0, call->inputs[0]);
    return MT_OK;
}

static mt_status probe_forward(mt_call *call)
{
    return call->device->copy(call->device, call->outputs[0]->data, call->inputs[0]->data,
                              mt_tensor_bytes(call->inputs[0]));
}

static mt_status probe_backward(mt_call *call)
{
    const probe_options *options = call->options;
    *options->seen = begun;
    return options->fails
               ? mt_fail(MT_ERROR_NUMERIC, "no way back")
               : call->device->copy(call->device, call->grad_inputs[0], call->grad_outputs[0],
                                    mt_tensor_bytes(call->inputs[0]));
}

static const mt_op probe = {"probe", "y = x", 1, 1, probe_shape, probe_forward, probe_backward};

/* ---- two products, with the probe between them ---- */

static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    static float values[RANKS * SIZE];
    mt_random random = mt_random_make(3, (uint64_t)index);
    (void)context;
    for (int i = 0; i < RANKS * SIZE; i++) {
        values[i] = (float)mt_random_uniform(&random) - 0.5F;
    }
    batch->input = mt_tape_sequence(tape, MT_F32, RANKS, 1, SIZE, values);
}

static void products(mt_tape *tape, void *context, mt_tensor *const *inputs, mt_tensor **outputs)
{
    pieces_run *run = context;
    const probe_options options = {&run->results[run->rank].at_probe,
                                   run->graph == FAILING && run->rank == 1};
    mt_tensor *x = mt_linear(tape, inputs[0], run->first, NULL);
    if (run->graph == USED_AGAIN) {
        x = mt_linear(tape, x, run->second, NULL);
    }
    x = mt_apply(tape, &probe, 1, &x, &options, sizeof options);
    outputs[0] = mt_linear(tape, x, run->second, NULL);
}

static mt_tensor *loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    pieces_run *run = context;
    mt_tensor *y;
    (void)counts;
    if (run->graph == RECOMPUTED) {
        mt_recompute(tape, products, run, 1, &batch->input, 1, &y);
    } else {
        products(tape, run, &batch->input, &y);
    }
    return mt_mean_square(tape, y, batch->input);
}

static void train(mt_communicator *communicator, pieces_run *run, mt_parameters *parameters)
{
    mt_trainer *trainer;
    mt_trainer_config config = mt_trainer_config_default();
    const mt_objective objective = {put, loss, run};
    config.schedule.lr = 0.01;
    config.communicator = communicator;
    ck_assert_int_eq(mt_trainer_create(parameters, &config, &objective, &trainer), MT_OK);
    begun = 0;
    run->results[run->rank].status = mt_trainer_run(trainer, 1, NULL, NULL);
    snprintf(run->results[run->rank].message, sizeof run->results[0].message, "%s",
             run->results[run->rank].status != MT_OK ? mt_error_message() : "");
    run->results[run->rank].at_end = begun;
    mt_trainer_destroy(trainer);
}

static void be(mt_communicator *communicator, void *context)
{
    pieces_run *shared = context, run = *shared;
    mt_device *device;
    mt_parameters *parameters;
    const int64_t shape[] = {SIZE, SIZE};
    const char *name = getenv("MIXTAPE_TEST_DEVICE");
    ck_assert_int_eq(mt_device_open(name != NULL ? name : "cpu", &device), MT_OK);
    begin_really = communicator->begin_sum;
    communicator->begin_sum = begin_counted;
    run.rank = mt_communicator_rank(communicator);
    run.results[run.rank].at_probe = NOT_SEEN;
    ck_assert_int_eq(mt_parameters_create(device, MT_F32, &parameters), MT_OK);
    run.first = mt_parameters_add(parameters, "", "first", 2, shape, mt_initial_uniform(0.05));
    run.second = mt_parameters_add(parameters, "", "second", 2, shape, mt_initial_uniform(0.05));
    ck_assert_int_eq(mt_parameters_allocate(parameters, 1), MT_OK);
    train(communicator, &run, parameters);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(mt_device_read(device, run.results[run.rank].values + (size_t)i * SIZE,
                                        i == 0 ? run.first->data : run.second->data,
                                        SIZE * sizeof(float)),
                         MT_OK);
    }
    shared->results[run.rank] = run.results[run.rank];
    mt_parameters_destroy(parameters);
    mt_device_close(device);
}

/* Trains for one update; the caller unmaps what was seen. */
static pieces_run *run_on(int size, graph kind)
{
    pieces_run *shared = shared_memory(sizeof *shared);
    shared->graph = kind;
    on_ranks(size, be, shared);
    return shared;
}

static void assert_begun(graph kind, int at_probe)
{
    pieces_run *alone = run_on(1, kind), *shared = run_on(RANKS, kind);
    for (int rank = 0; rank < RANKS; rank++) {
        ck_assert_int_eq(shared->results[rank].status, MT_OK);
        ck_assert_int_eq(shared->results[rank].at_probe, at_probe);
        ck_assert_int_eq(shared->results[rank].at_end, 2);
        for (int i = 0; i < 2 * SIZE; i++) {
            ck_assert_float_eq_tol(shared->results[rank].values[i], alone->results[0].values[i],
                                   1e-5F);
        }
    }
    munmap(alone, sizeof *alone);
    munmap(shared, sizeof *shared);
}

START_TEST(test_a_piece_that_backward_has_done_with_is_summed_beside_the_rest)
{
    assert_begun(PLAIN, 1);
    assert_begun(RECOMPUTED, 1);
}
END_TEST

START_TEST(test_a_piece_is_not_summed_before_its_last_use)
{
    assert_begun(USED_AGAIN, 0);
}
END_TEST

START_TEST(test_a_rank_that_fails_in_backward_keeps_none_waiting)
{
    pieces_run *shared = run_on(RANKS, FAILING);
    for (int rank = 0; rank < RANKS; rank++) {
        ck_assert_int_eq(shared->results[rank].status, MT_ERROR_NUMERIC);
        ck_assert_str_eq(shared->results[rank].message, "step 1: rank 1: no way back");
        ck_assert_int_eq(shared->results[rank].at_end, 2);
    }
    munmap(shared, sizeof *shared);
}
END_TEST

static Suite *pieces_suite(void)
{
    return SUITE("pieces", test_a_piece_that_backward_has_done_with_is_summed_beside_the_rest,
                 test_a_piece_is_not_summed_before_its_last_use,
                 test_a_rank_that_fails_in_backward_keeps_none_waiting);
}

MT_TEST_MAIN(pieces_suite)
