#include <mixtape/adam.h>

#include "kernels/device.h"
#include "kernels/null.h"
#include "optim/adam_part.h"
#include "optim/adam_ranges.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

mt_adam_config mt_adam_config_default(void)
{
    return (mt_adam_config){.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
}

mt_status mt_adam_config_check(const mt_adam_config *config)
{
    if (config == NULL) {
        return mt_fail_null(__func__);
    }
    const struct {
        const char *name;
        double value, least, below;
    } fields[] = {
        {"beta1", config->beta1, 0.0, 1.0},
        {"beta2", config->beta2, 0.0, 1.0},
        {"eps", config->eps, 0.0, HUGE_VAL},
        {"weight_decay", config->weight_decay, 0.0, HUGE_VAL},
        {"clip", config->clip, 0.0, HUGE_VAL},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!(fields[i].value >= fields[i].least && fields[i].value < fields[i].below)) {
            return mt_fail(MT_ERROR_INVALID, "adam: %s is %g, not in [%g, %g)", fields[i].name,
                           fields[i].value, fields[i].least, fields[i].below);
        }
    }
    return MT_OK;
}

static mt_status allocate(mt_adam *adam)
{
    mt_device *device = adam->parameters->device;
    size_t count = adam->count > 0 ? (size_t)adam->count : 1;
    size_t bytes = count * mt_dtype_size(adam->parameters->dtype);
    void **memory[] = {&adam->m, &adam->v, (void **)&adam->norm_squared, (void **)&adam->halt,
                       (void **)&adam->rates};
    size_t sizes[] = {bytes, bytes, sizeof *adam->norm_squared, sizeof *adam->halt,
                      sizeof *adam->rates};
    const int moments = 2; /* which are blank */
    for (int i = 0; i < 5; i++) {
        mt_status status = device->allocate(device, sizes[i], memory[i]);
        if (status == MT_OK) {
            status = i < moments ? mt_poison(device, *memory[i], sizes[i])
                                 : device->zero(device, *memory[i], sizes[i]);
        }
        if (status != MT_OK) {
            return status;
        }
    }
    return MT_OK;
}

mt_status mt_adam_create(mt_parameters *parameters, mt_adam_config config, mt_adam **adam)
{
    *adam = NULL;
    if (parameters == NULL || parameters->data == NULL) {
        return mt_fail_null(__func__);
    }
    if (parameters->frozen) {
        return mt_fail(MT_ERROR_INVALID, "adam: the parameters are frozen, and have no gradients");
    }
    return mt_adam_create_part(parameters, config, 0, parameters->total, NULL, adam);
}

mt_status mt_adam_create_part(mt_parameters *parameters, mt_adam_config config, int64_t first,
                              int64_t count, const mt_moments_access *access, mt_adam **adam)
{
    *adam = NULL;
    mt_status status = mt_adam_config_check(&config);
    if (status != MT_OK) {
        return status;
    }
    mt_adam *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "adam: no memory for %zu bytes", sizeof *made);
    }
    made->config = config;
    made->parameters = parameters;
    made->first = first;
    made->count = count;
    made->access = access;
    made->blank = true;
    status = allocate(made);
    if (status == MT_OK) {
        status = mt_adam_ranges_create(made);
    }
    if (status != MT_OK) {
        mt_adam_destroy(made);
        return status;
    }
    *adam = made;
    return MT_OK;
}

void mt_adam_destroy(mt_adam *adam)
{
    if (adam == NULL) {
        return;
    }
    mt_device *device = adam->parameters->device;
    device->release(device, adam->m);
    device->release(device, adam->v);
    device->release(device, adam->norm_squared);
    device->release(device, adam->halt);
    device->release(device, adam->rates);
    device->release(device, adam->ranges);
    free(adam);
}

/* The largest sum of squares of the gradients that an update is made from: sums of shares of what
 * is below it, as the second moments are, are finite. */
static double most_squares(const mt_adam *adam, double grad_scale)
{
    double largest = adam->parameters->dtype == MT_F64 ? DBL_MAX : (double)FLT_MAX;
    double clip = adam->config.clip, most = largest / grad_scale / grad_scale;
    bool clipped = clip > 0.0 && clip * clip <= largest;
    return clipped || most > DBL_MAX ? DBL_MAX : most;
}

static mt_status read_squares(mt_adam *adam, int64_t n, mt_dtype dtype, const void *grad,
                              double *squares)
{
    mt_device *device = adam->parameters->device;
    mt_status status = device->kernels[dtype]->sum_squares(device, n, grad, adam->norm_squared);
    return status == MT_OK ? device->read_back(device, squares, adam->norm_squared, sizeof *squares)
                           : status;
}

/* Names the first parameter whose gradient is not finite. */
static mt_status name_culprit(mt_adam *adam, double grad_scale)
{
    const mt_parameters *parameters = adam->parameters;
    double squares;
    for (int i = 0; i < parameters->count; i++) {
        const mt_tensor *tensor = &parameters->items[i]->tensor;
        mt_status status =
            read_squares(adam, mt_tensor_count(tensor), tensor->dtype, tensor->grad, &squares);
        if (status != MT_OK) {
            return status;
        }
        if (!isfinite(squares)) {
            return mt_fail(MT_ERROR_NUMERIC, "adam: the gradient of %s is not finite",
                           tensor->name);
        }
    }
    mt_status status =
        read_squares(adam, parameters->total, parameters->dtype, parameters->grad, &squares);
    return status != MT_OK ? status
                           : mt_fail(MT_ERROR_NUMERIC,
                                     "adam: the gradient's norm is %g, whose square is beyond %s",
                                     grad_scale * sqrt(squares), mt_dtype_name(parameters->dtype));
}

mt_status mt_adam_read_norm(mt_adam *adam, double grad_scale, double *grad_norm)
{
    if (adam == NULL) {
        return mt_fail_null(__func__);
    }
    mt_device *device = adam->parameters->device;
    double squares;
    mt_status status = device->read_back(device, &squares, adam->norm_squared, sizeof squares);
    if (status != MT_OK) {
        return status;
    }
    *grad_norm = grad_scale * sqrt(squares);
    return isfinite(*grad_norm) ? MT_OK : name_culprit(adam, grad_scale);
}

mt_status mt_adam_watch(mt_adam *adam, const mt_tensor *loss)
{
    if (adam == NULL || loss == NULL) {
        return mt_fail_null(__func__);
    }
    if (mt_dtype_wide(loss->dtype) != loss->dtype) {
        return mt_fail(MT_ERROR_INVALID, "adam: the loss is %s, expected %s",
                       mt_dtype_name(loss->dtype), mt_dtype_name(mt_dtype_wide(loss->dtype)));
    }
    mt_device *device = adam->parameters->device;
    return device->kernels[loss->dtype]->watch(device, DBL_MAX, loss->data, adam->halt);
}

mt_status mt_adam_go_on(mt_adam *adam)
{
    if (adam == NULL) {
        return mt_fail_null(__func__);
    }
    mt_device *device = adam->parameters->device;
    return device->zero(device, adam->halt, sizeof *adam->halt);
}

/* The norm of the gradients, which is not a number where the update is not to be made. */
static mt_status find_norm(mt_adam *adam, double grad_scale)
{
    mt_parameters *parameters = adam->parameters;
    mt_device *device = parameters->device;
    const mt_kernels *doubles = device->kernels[MT_F64];
    mt_status status = mt_parameters_settle_grad(parameters);
    if (status == MT_OK) {
        status = device->kernels[parameters->dtype]->sum_squares(
            device, parameters->total, parameters->grad, adam->norm_squared);
    }
    if (status == MT_OK) {
        status =
            doubles->watch(device, most_squares(adam, grad_scale), adam->norm_squared, adam->halt);
    }
    if (status == MT_OK) {
        status = doubles->add(device, 1, adam->norm_squared, adam->halt, adam->norm_squared);
    }
    return status == MT_OK && !adam->halts ? mt_adam_go_on(adam) : status;
}

/* The moments of the first update. They are not cleared before, since a checkpoint's are written
 * whole; nor in the update, which may be recorded. */
static mt_status clear_moments(mt_adam *adam)
{
    mt_device *device = adam->parameters->device;
    size_t bytes = (size_t)adam->count * mt_dtype_size(adam->parameters->dtype);
    mt_status status = device->zero(device, adam->m, bytes);
    if (status == MT_OK) {
        status = device->zero(device, adam->v, bytes);
    }
    adam->blank = status != MT_OK;
    return status;
}

mt_status mt_adam_set_lr(mt_adam *adam, double lr)
{
    if (adam == NULL) {
        return mt_fail_null(__func__);
    }
    if (!(lr >= 0.0) || !isfinite(lr)) {
        return mt_fail(MT_ERROR_INVALID, "adam: lr is %g, not a number from 0 on", lr);
    }
    mt_device *device = adam->parameters->device;
    double step = (double)adam->step + 1.0;
    mt_adam_rates rates = {.lr = lr,
                           .bias1 = 1.0 - pow(adam->config.beta1, step),
                           .bias2 = 1.0 - pow(adam->config.beta2, step)};
    mt_status status = mt_adam_is_blank(adam) ? clear_moments(adam) : mt_adam_written_all(adam);
    return status == MT_OK ? device->write(device, adam->rates, &rates, sizeof rates) : status;
}

mt_status mt_adam_update(mt_adam *adam, double grad_scale)
{
    if (adam == NULL) {
        return mt_fail_null(__func__);
    }
    if (!(grad_scale > 0.0) || !isfinite(grad_scale)) {
        return mt_fail(MT_ERROR_INVALID, "adam: grad_scale is %g, not a number above 0",
                       grad_scale);
    }
    mt_status status = find_norm(adam, grad_scale);
    if (status != MT_OK || adam->count == 0) {
        return status;
    }
    const mt_parameters *parameters = adam->parameters;
    mt_device *device = parameters->device;
    const int64_t decayed = parameters->decayed - adam->first;
    const size_t before = (size_t)adam->first * mt_dtype_size(parameters->dtype);
    const mt_adam_args args = {
        .n = adam->count,
        .decayed = decayed > 0 ? decayed : 0,
        .beta1 = adam->config.beta1,
        .beta2 = adam->config.beta2,
        .eps = adam->config.eps,
        .weight_decay = adam->config.weight_decay,
        .grad_scale = grad_scale,
        .clip = adam->config.clip,
        .norm_squared = adam->norm_squared,
        .rates = adam->rates,
        .ranges = adam->ranges,
        .range_count = adam->range_count,
        .parameter = (char *)parameters->data + before,
        .grad = (char *)parameters->grad + before,
        .m = adam->m,
        .v = adam->v,
        .narrow = parameters->narrow != NULL ? parameters->narrow + adam->first : NULL};
    return device->kernels[parameters->dtype]->adam(device, &args);
}

mt_status mt_adam_step(mt_adam *adam, double lr, double grad_scale, double *grad_norm)
{
    if (adam == NULL) {
        return mt_fail_null(__func__);
    }
    mt_status status = mt_adam_set_lr(adam, lr);
    if (status == MT_OK) {
        status = mt_adam_update(adam, grad_scale);
    }
    if (status == MT_OK && grad_norm != NULL) {
        status = mt_adam_read_norm(adam, grad_scale, grad_norm);
    }
    if (status == MT_OK) {
        adam->step++;
    }
    return status;
}
