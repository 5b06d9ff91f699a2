/* The tests of the transducer loss share their data: rows of several lengths, on the device and for
 * the reference. */
#ifndef MT_TESTS_KERNELS_TRANSDUCER_TEST_H
#define MT_TESTS_KERNELS_TRANSDUCER_TEST_H

#include "kernels/reference/reference.h"
#include "tests/kernels/kernel_test.h"

typedef struct transducer_case {
    int64_t B, T, U, V;
    int32_t blank;
    double range; /* of the logits, on both sides of 0 */
} transducer_case;

#define LENGTH(array) ((int)(sizeof(array) / sizeof *(array)))

typedef struct transducer_data {
    mt_transducer_forward_args forward;
    mt_transducer_forward_args expected; /* the same in double, of the reference */
} transducer_data;

static inline int64_t nodes_of(const transducer_case *c)
{
    return c->B * c->T * (c->U + 1);
}

static inline void *upload_bytes(kernel_build *build, const void *values, size_t bytes)
{
    void *array = blank_bytes(build, bytes);
    assert_ok(build->device->write(build->device, array, values, bytes));
    return array;
}

static inline int32_t *host_ints(kernel_build *build, int64_t n)
{
    return (int32_t *)(void *)host_doubles(build, n);
}

/* Row 0 has all frames and labels, those after it fewer; behind them labels are -1. */
static inline void draw_rows(kernel_build *build, const transducer_case *c, transducer_data *data)
{
    int32_t *labels = host_ints(build, c->B * c->U), *frames = host_ints(build, c->B);
    int32_t *lengths = host_ints(build, c->B);
    mt_random random = mt_random_make(7, 3);
    for (int64_t b = 0; b < c->B; b++) {
        frames[b] = (int32_t)(c->T - b % c->T);
        lengths[b] = (int32_t)(c->U - b % (c->U + 1));
        for (int64_t u = 0; u < c->U; u++) {
            int32_t label = (int32_t)mt_random_below(&random, (uint64_t)c->V - 1);
            label += label >= c->blank ? 1 : 0;
            labels[b * c->U + u] = u < lengths[b] ? label : -1;
        }
    }
    size_t size = sizeof(int32_t);
    data->expected.labels = c->U > 0 ? labels : NULL;
    data->expected.frames = frames;
    data->expected.label_lengths = lengths;
    data->forward.labels =
        c->U > 0 ? upload_bytes(build, labels, (size_t)(c->B * c->U) * size) : NULL;
    data->forward.frames = upload_bytes(build, frames, (size_t)c->B * size);
    data->forward.label_lengths = upload_bytes(build, lengths, (size_t)c->B * size);
}

static inline mt_transducer_node *host_nodes(kernel_build *build, int64_t n)
{
    return (mt_transducer_node *)(void *)host_doubles(build, 2 * n);
}

static inline transducer_data make_data_of(kernel_build *build, const transducer_case *c,
                                           const void *logits)
{
    int64_t n = nodes_of(c);
    transducer_data data = {.forward = {.B = c->B,
                                        .T = c->T,
                                        .U = c->U,
                                        .V = c->V,
                                        .blank = c->blank,
                                        .logits = logits,
                                        .losses = blank_wide(build, c->B),
                                        .nodes = blank_bytes(build, (size_t)n * 16),
                                        .betas = blank_bytes(build, (size_t)n * 8),
                                        .alphas = blank_bytes(build, (size_t)n * 8)}};
    data.expected = data.forward;
    data.expected.logits = values_of(build, logits, n * c->V);
    data.expected.losses = host_doubles(build, c->B);
    data.expected.nodes = host_nodes(build, n);
    data.expected.betas = host_doubles(build, n);
    data.expected.alphas = host_doubles(build, n);
    draw_rows(build, c, &data);
    mt_reference_transducer_forward(&data.expected);
    return data;
}

static inline transducer_data make_data(kernel_build *build, const transducer_case *c)
{
    void *logits = uniform(build, nodes_of(c) * c->V, -c->range, c->range, 1);
    return make_data_of(build, c, logits);
}

static inline mt_transducer_backward_args backward_of(const mt_transducer_forward_args *forward,
                                                      double fastemit_lambda, const void *dlosses,
                                                      void *dlogits)
{
    return (mt_transducer_backward_args){.B = forward->B,
                                         .T = forward->T,
                                         .U = forward->U,
                                         .V = forward->V,
                                         .blank = forward->blank,
                                         .fastemit_lambda = fastemit_lambda,
                                         .logits = forward->logits,
                                         .labels = forward->labels,
                                         .frames = forward->frames,
                                         .label_lengths = forward->label_lengths,
                                         .betas = forward->betas,
                                         .alphas = forward->alphas,
                                         .dlosses = dlosses,
                                         .dlogits = dlogits};
}

static const double dlosses[] = {1.0, -0.25, 3.0, 0.0, 0.5};

static inline void *run_backward(kernel_build *build, const transducer_case *c,
                                 const transducer_data *data, double fastemit_lambda)
{
    mt_transducer_backward_args args =
        backward_of(&data->forward, fastemit_lambda, upload_wide(build, dlosses, c->B),
                    blank(build, nodes_of(c) * c->V));
    assert_ok(build->kernels->transducer_forward(build->device, &data->forward));
    assert_ok(build->kernels->transducer_backward(build->device, &args));
    return args.dlogits;
}

#endif
