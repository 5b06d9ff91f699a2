/* A batch of few labels, which are their own targets, and the loss of a model on it. */
#ifndef MT_TESTS_TRAIN_FEW_LABELS_H
#define MT_TESTS_TRAIN_FEW_LABELS_H

#include <mixtape/model.h>
#include <mixtape/operators.h>
#include <mixtape/trainer.h>

enum { B = 2, T = 3 };

static const int32_t labels[B * T] = {1, 2, 3, 4, 0, 1};

static void put(void *context, mt_tape *tape, int64_t index, mt_batch *batch)
{
    (void)context;
    (void)index;
    batch->input = batch->target = mt_tape_labels(tape, B, T, labels);
}

/* `context` is the model. */
static mt_tensor *loss(void *context, mt_tape *tape, const mt_batch *batch, mt_tensor **counts)
{
    mt_tensor *output = mt_model_decode(tape, context, batch->input, NULL, true);
    mt_tensor *logits = mt_model_head(tape, context, output);
    return mt_cross_entropy(tape, logits, batch->target, -1, 0.0, counts);
}

#endif
