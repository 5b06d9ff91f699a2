/* Trains a SelfAttention layer on data of one's own: random vectors, to be repeated one step later.
 * `train train.h5` goes on from the checkpoint of an earlier call. */
#include <mixtape/mixtape.h>
#include <stdio.h>

enum { B = 8, T = 16, S = 8, UPDATES = 300 };

static void put_batch(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)context;
    float x[B * T * S], y[B * T * S];
    mt_random random = mt_random_make(1, (uint64_t)index);
    for (int i = 0; i < B * T * S; i++) {
        x[i] = (float)mt_random_uniform(&random);
        y[i] = i % (T * S) < S ? 0.0f : x[i - S];
    }
    batch->input = mt_tape_sequence(tape, MT_F32, B, T, S, x);
    batch->target = mt_tape_sequence(tape, MT_F32, B, T, S, y);
}

static mt_tensor *loss(void *layer, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    (void)counts;
    mt_tensor *y = mt_self_attention_forward(tape, layer, batch->input, NULL);
    return mt_mean_square(tape, y, batch->target);
}

static mt_status show(void *context, const mt_update *update)
{
    *(double *)context = update->loss;
    if (update->step % 50 == 0) {
        printf("%d: loss %f\n", (int)update->step, update->loss);
    }
    return MT_OK;
}

int main(int count, char **arguments)
{
    double last = 0.0;
    mt_device *device;
    mt_parameters *parameters;
    mt_trainer *trainer;
    mt_self_attention layer;
    mt_self_attention_config shape = {S, 4 * S, T, 0, 1, MT_TIME_FIRST_ESPNET, true};
    mt_objective objective = {put_batch, loss, &layer};
    mt_trainer_config config = mt_trainer_config_default();
    config.schedule.lr = 1e-2;
    if (mt_device_open("auto", &device) != MT_OK ||
        mt_parameters_create(device, MT_F32, &parameters) != MT_OK ||
        mt_self_attention_init(&layer, parameters, "att.", &shape) != MT_OK ||
        mt_parameters_allocate(parameters, 1) != MT_OK ||
        mt_trainer_create(parameters, &config, &objective, &trainer) != MT_OK ||
        (count > 1 && mt_trainer_load(trainer, arguments[1]) != MT_OK) ||
        mt_trainer_run(trainer, mt_trainer_state(trainer)->step + UPDATES, show, &last) != MT_OK ||
        mt_trainer_save(trainer, "train.h5") != MT_OK) {
        fprintf(stderr, "%s\n", mt_error_message());
        return 1;
    }
    return last < 0.05 ? 0 : 1; /* what is left, the end of the program frees */
}
