/* Trains a SelfAttention layer on data of one's own: random vectors, to be repeated one step later.
 * `train train.h5` goes on from the checkpoint of an earlier call. */
#include <mixtape/mixtape.h>
#include <stdio.h>

enum { B = 8, T = 16, S = 8, UPDATES = 300 };

static void put_batch(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)context;
    float x[B * T * S];
    mt_random random = mt_random_make(1, (uint64_t)index);
    for (int i = 0; i < B * T * S; i++) {
        x[i] = (float)mt_random_uniform(&random);
    }
    batch->input = mt_tape_sequence(tape, MT_F32, B, T, S, x);
}

static mt_tensor *loss(void *layer, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    (void)counts; /* nothing is classified */
    mt_tensor *y = mt_self_attention_forward(tape, layer, batch->input, NULL);
    return mt_mean_square(tape, mt_slice(tape, y, 1, 1, T - 1),
                          mt_slice(tape, batch->input, 1, 0, T - 1));
}

static mt_status show(void *context, const mt_update *update)
{
    (void)context;
    return update->step % 50 != 0 || printf("%d: %f\n", (int)update->step, update->loss) > 0
               ? MT_OK
               : mt_fail(MT_ERROR_IO, "the loss cannot be shown");
}

int main(int count, char **arguments)
{
    mt_device *device = NULL;
    mt_parameters *parameters = NULL;
    mt_trainer *trainer = NULL;
    mt_self_attention layer;
    mt_self_attention_config shape = mt_self_attention_config_default(S, T);
    mt_objective objective = {.put = put_batch, .loss = loss, .context = &layer};
    mt_trainer_config config = mt_trainer_config_default();
    config.schedule.lr = 1e-2;
    int failed = mt_device_open("auto", &device) ||
                 mt_parameters_create(device, MT_F32, &parameters) ||
                 mt_self_attention_init(&layer, parameters, "att.", &shape) ||
                 mt_parameters_allocate(parameters, 1) ||
                 mt_trainer_create(parameters, &config, &objective, &trainer) ||
                 (count > 1 && mt_trainer_load(trainer, arguments[1])) ||
                 mt_trainer_run(trainer, mt_trainer_state(trainer)->step + UPDATES, show, NULL) ||
                 mt_trainer_save(trainer, "train.h5");
    if (failed) {
        fprintf(stderr, "%s\n", mt_error_message());
    }
    mt_trainer_destroy(trainer);
    mt_parameters_destroy(parameters);
    mt_device_close(device);
    return failed;
}
