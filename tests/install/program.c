/* A program outside the project: a small model learns to repeat what it reads. */
#include <mixtape/mixtape.h>

#include <stdio.h>

enum { B = 4, T = 8, V = 8, STEPS = 150 };

static int fail(void)
{
    fprintf(stderr, "%s\n", mt_error_message());
    return 1;
}

int main(void)
{
    mt_device *device;
    mt_model *model;
    mt_adam *adam;
    mt_tape *tape;
    mt_model_config config = mt_model_config_default(V, 8);
    config.num_blocks = 1;
    if (mt_device_open("cpu", &device) != MT_OK ||
        mt_model_create(device, MT_F32, &config, 1, &model) != MT_OK ||
        mt_adam_create(model->parameters, mt_adam_config_default(), &adam) != MT_OK ||
        mt_tape_create(device, &tape) != MT_OK) {
        return fail();
    }
    float first = 0.0f, last = 0.0f;
    mt_random random = mt_random_make(1, 0);
    for (int step = 0; step < STEPS; step++) {
        int32_t labels[B * T];
        for (int i = 0; i < B * T; i++) {
            labels[i] = 1 + (int32_t)mt_random_below(&random, V - 1);
        }
        mt_tape_reset(tape);
        mt_parameters_zero_grad(model->parameters);
        mt_tensor *x = mt_tape_labels(tape, B, T, labels);
        mt_tensor *logits = mt_model_head(tape, model, mt_model_decode(tape, model, x, NULL, true));
        mt_tensor *loss = mt_cross_entropy(tape, logits, x, -1, 0.0, NULL);
        if (mt_backward(tape, loss) != MT_OK || mt_adam_step(adam, 1e-2, 1.0, NULL) != MT_OK ||
            mt_tensor_read(loss, &last) != MT_OK) {
            return fail();
        }
        first = step == 0 ? last : first;
    }
    printf("loss %.3f, then %.3f\n", first, last);
    mt_tape_destroy(tape);
    mt_adam_destroy(adam);
    mt_model_destroy(model);
    mt_device_close(device);
    return last < 0.1f * first ? 0 : 1;
}
