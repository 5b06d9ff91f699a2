#include "layers/layer.h"

#include <math.h>

double mt_block_ratio_up(int64_t block_id, int64_t num_blocks)
{
    return num_blocks > 1 ? (double)block_id / (double)(num_blocks - 1) : 0.0;
}

double mt_block_ratio_down(int64_t block_id, int64_t num_blocks)
{
    return 1.0 - (double)block_id / (double)num_blocks;
}

const char *mt_initial_values_name(mt_initial_values values)
{
    static const char *const names[] = {
        [MT_INITIAL_ESPNET] = "espnet", [MT_INITIAL_RWKV_LM] = "rwkv-lm"};
    return (size_t)values < sizeof names / sizeof *names ? names[values] : NULL;
}

static void fill_constant(const mt_initial *initial, mt_random *random, int64_t n, double *values)
{
    (void)random;
    for (int64_t i = 0; i < n; i++) {
        values[i] = initial->a;
    }
}

mt_initial mt_initial_constant(double value)
{
    return (mt_initial){.fill = fill_constant, .a = value};
}

static void fill_uniform(const mt_initial *initial, mt_random *random, int64_t n, double *values)
{
    for (int64_t i = 0; i < n; i++) {
        values[i] = initial->a * (2.0 * mt_random_uniform(random) - 1.0);
    }
}

mt_initial mt_initial_uniform(double bound)
{
    return (mt_initial){.fill = fill_uniform, .a = bound};
}

static void fill_normal(const mt_initial *initial, mt_random *random, int64_t n, double *values)
{
    for (int64_t i = 0; i < n; i++) {
        values[i] = initial->a * mt_random_normal(random);
    }
}

mt_initial mt_initial_normal(double deviation)
{
    return (mt_initial){.fill = fill_normal, .a = deviation};
}

static void fill_mix(const mt_initial *initial, mt_random *random, int64_t n, double *values)
{
    (void)random;
    for (int64_t i = 0; i < n; i++) {
        values[i] = pow((double)i / (double)n, initial->a) + initial->b;
    }
}

mt_initial mt_initial_mix(double exponent, double offset)
{
    return (mt_initial){.fill = fill_mix, .a = exponent, .b = offset};
}

static void fill_time_decay(const mt_initial *initial, mt_random *random, int64_t n, double *values)
{
    (void)random;
    for (int64_t h = 0; h < n; h++) {
        double share = n > 1 ? (double)h / (double)(n - 1) : 0.0;
        values[h] = -5.0 + 8.0 * pow(share, initial->a);
    }
}

mt_initial mt_initial_time_decay(double exponent)
{
    return (mt_initial){.fill = fill_time_decay, .a = exponent};
}

static void fill_time_first_rwkv(const mt_initial *initial, mt_random *random, int64_t n,
                                 double *values)
{
    (void)initial;
    (void)random;
    for (int64_t h = 0; h < n; h++) {
        values[h] = log(0.3) + 0.5 * (double)((h + 1) % 3 - 1);
    }
}

mt_initial mt_initial_time_first_rwkv(void)
{
    return (mt_initial){.fill = fill_time_first_rwkv};
}
