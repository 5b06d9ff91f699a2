/* Parameters: the named tensors of a model, which live in one block of device memory, their
 * gradients in another. Layers add theirs while they are made; mt_parameters_allocate then makes
 * the memory and the initial values. Names are those of ESPnet's state_dict. */
#ifndef MIXTAPE_PARAMETER_H
#define MIXTAPE_PARAMETER_H

#include <mixtape/api.h>
#include <mixtape/random.h>
#include <mixtape/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_NAME_MAX = 128 };

/* The values that a parameter begins with: fill(initial, random, n, values) writes n of them. */
typedef struct mt_initial mt_initial;
struct mt_initial {
    void (*fill)(const mt_initial *initial, mt_random *random, int64_t n, double *values);
    double a, b;
};

MT_API mt_initial mt_initial_constant(double value);
MT_API mt_initial mt_initial_uniform(double bound); /* U(-bound, bound) */
MT_API mt_initial mt_initial_normal(double deviation);

/* `gain` times a matrix of `width` columns whose rows, or columns if it has fewer of these, are
 * orthonormal: any such with the same probability, as PyTorch's orthogonal_ has it. The same values
 * on every machine that draws the same normal numbers. */
MT_API mt_initial mt_initial_orthogonal(int64_t width, double gain);

/* Whose initial values a model has: ESPnet's, which are PyTorch's but for time mixing; or RWKV-LM's
 * (generate_init_weight of RWKV-v4neo/src/model.py), where
 *
 *     embedding                                   U(-x, x), x its learning rate
 *     value of attention, key of feed-forward     orthogonal, gain sqrt(max(1, out / in))
 *     head                                        orthogonal, gain 0.5 sqrt(max(1, out / in))
 *     all other matrices, biases                  0
 *
 * and time mixing is ESPnet's, with the time_first that is called rwkv. */
typedef enum mt_initial_values { MT_INITIAL_ESPNET, MT_INITIAL_RWKV_LM } mt_initial_values;

/* "espnet", "rwkv-lm", NULL for what is neither. */
MT_API const char *mt_initial_values_name(mt_initial_values values);

typedef struct mt_parameter {
    char name[MT_NAME_MAX];
    mt_tensor tensor; /* requires_grad; data and grad point into the set's blocks */
    mt_initial initial;
    int64_t padding_row; /* zero at the start, never updated; -1: none */
    bool is_table;       /* mt_parameters_set_table */
    bool decay;          /* weight decay applies: rank 2 and more */
    double rate;         /* times lr is its learning rate; 1 but for mt_parameters_set_rate */
    size_t offset;       /* elements from the start of the blocks, once they are allocated */
} mt_parameter;

typedef struct mt_parameters {
    mt_device *device;
    mt_dtype dtype;
    int count, capacity;
    mt_status status;     /* the first failure while parameters were added, */
    char error[256];      /* and what it was */
    mt_parameter **items; /* in the order they were added */
    void *names;          /* the items sorted, for mt_parameters_find */
    void *data, *grad;    /* the blocks; NULL until allocated, as the sizes below are 0; */
    bool frozen;          /* then there is no grad (mt_parameters_freeze) */
    bool keeps_narrow;    /* mt_parameters_set_narrow */
    uint16_t *narrow;     /* the data as MT_BF16 then, else NULL */
    void *compact;        /* mt_parameters_compact: what is in place of the blocks; else NULL */
    int64_t total;        /* elements of a block, alignment gaps included (always zero); */
    int64_t decayed;      /* those that weight decay applies to come first: so many */
    const struct mt_parameters *beside; /* a model's, which an adapter's are used with, for messages
                                           of where a step goes wrong; else NULL */
} mt_parameters;

/* Of MT_F32 or MT_F64: for MT_BF16 they are MT_F32 with mt_parameters_set_narrow. */
MT_API mt_status mt_parameters_create(mt_device *device, mt_dtype dtype,
                                      mt_parameters **parameters);
/* Its tensors end with it. NULL is allowed. */
MT_API void mt_parameters_destroy(mt_parameters *parameters);

/* Adds "prefix" + "name" and returns its tensor, owned by the set, whose data exist after
 * mt_parameters_allocate. The set keeps the first failure (a name that is too long, taken, empty,
 * "." or with a '/' in it, no memory), returns NULL, and mt_parameters_allocate tells it. */
MT_API mt_tensor *mt_parameters_add(mt_parameters *parameters, const char *prefix, const char *name,
                                    int rank, const int64_t *shape, mt_initial initial);

/* Marks the parameter added last, a matrix, as one that mt_embedding takes few rows of: backward
 * then writes these rows of its gradient, and not all. A program that writes to the gradient itself
 * calls mt_parameters_zero_grad before the next backward, and before a trainer's. */
MT_API void mt_parameters_set_table(mt_parameters *parameters);

/* Marks row `row` of the parameter added last as padding. */
MT_API void mt_parameters_set_padding_row(mt_parameters *parameters, int64_t row);

/* Gives all parameters whose name matches a pattern, as a shell has it for files ("*.time_decay"),
 * their learning rate as a factor of lr; 0: lr moves them no more. mt_adam_create reads it, and
 * knows nothing of later calls. MT_ERROR_INVALID, and nothing is changed, for a factor that is no
 * finite number from 0 on, and where no name matches. */
MT_API mt_status mt_parameters_set_rate(mt_parameters *parameters, const char *pattern,
                                        double factor);

/* Keeps beside the data, which are MT_F32, their values as MT_BF16, for products of that type
 * (tensor.narrow). mt_tensor_write and Adam keep them up to date; a program that writes to the data
 * in another way calls mt_parameters_renew_narrow. Before mt_parameters_allocate. */
MT_API void mt_parameters_set_narrow(mt_parameters *parameters);
MT_API mt_status mt_parameters_renew_narrow(const mt_parameters *parameters);

/* Keeps the matrices that products take in fewer bits from here on, as MT_BF16 or as MT_I8, and
 * gives back the blocks: for a model that is only used. Of MT_I8 each row is a scale, its largest
 * absolute value / 127 in float32, times integers in -127 .. 127; both types are rounded to the
 * nearest, ties to even. Vectors and tables (mt_parameters_set_table) stay as they are. On its way
 * it holds both.
 *
 * MT_ERROR_INVALID for another type, and for parameters without memory; MT_ERROR_NUMERIC, with name
 * and place, for a value that is not finite or not in the type; MT_ERROR_MEMORY. On failure nothing
 * has changed. Afterwards the parameters are without memory (data NULL) to all that trains them,
 * saves them or gives them values, which refuses them. */
MT_API mt_status mt_parameters_compact(mt_parameters *parameters, mt_dtype type);

/* Has no gradients of the parameters computed from here on, and gives back the memory for them, or
 * never asks for it. They cannot be trained any more: Adam and a trainer refuse them. */
MT_API void mt_parameters_freeze(mt_parameters *parameters);

/* Allocates the blocks and draws every initial value, in order, from `seed`. MT_ERROR_INVALID where
 * they have memory already. */
MT_API mt_status mt_parameters_allocate(mt_parameters *parameters, uint64_t seed);

MT_API mt_parameter *mt_parameters_find(const mt_parameters *parameters,
                                        const char *name); /* NULL: none */

/* The number of learnt values, without alignment gaps. */
MT_API int64_t mt_parameters_size(const mt_parameters *parameters);

/* Forgets the gradients, and what was known of them: the next backward writes them anew, whatever
 * they hold. */
MT_API void mt_parameters_zero_grad(mt_parameters *parameters);

/* Makes every parameter's gradient readable: zero for those that no backward has reached. */
MT_API mt_status mt_parameters_settle_grad(mt_parameters *parameters);

#ifdef __cplusplus
}
#endif

#endif
