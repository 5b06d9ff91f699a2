/* An operator of one's own with a kernel of its own for CUDA, y = x^3, which runs on the CPU as
 * well. Its gradient is checked against central differences on the device that is named, "auto"
 * where none is. */
#include <mixtape/extend.h>
#include <mixtape/mixtape.h>

#include <cuda_runtime.h>
#include <stdio.h>

/* ---- the formulas, for both devices; `dy` is NULL for y itself ---- */

template <typename real> __host__ __device__ real cube_at(const real *x, const real *dy, int64_t i)
{
    return dy == nullptr ? x[i] * x[i] * x[i] : real(3) * x[i] * x[i] * dy[i];
}

template <typename real>
__global__ void cube_kernel(int64_t n, const real *x, const real *dy, real *result)
{
    int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
         i += threads) {
        result[i] = cube_at(x, dy, i);
    }
}

/* ---- the operator ---- */

template <typename real>
static mt_status cubes(mt_call *call, const void *x_data, const void *dy_data, void *result_data)
{
    int64_t n = mt_tensor_count(call->inputs[0]);
    const real *x = static_cast<const real *>(x_data), *dy = static_cast<const real *>(dy_data);
    real *result = static_cast<real *>(result_data);
    void *stream;
    mt_status status = mt_call_stream(call, &stream);
    if (status != MT_OK) {
        return status;
    }
    if (stream == nullptr) {
        for (int64_t i = 0; i < n; i++) {
            result[i] = cube_at(x, dy, i);
        }
        return MT_OK;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(132);
    config.blockDim = dim3(256);
    config.stream = static_cast<cudaStream_t>(stream);
    cudaError_t error = cudaLaunchKernelEx(&config, cube_kernel<real>, n, x, dy, result);
    return error == cudaSuccess ? MT_OK
                                : mt_fail(MT_ERROR_DEVICE, "cube: %s", cudaGetErrorString(error));
}

static mt_status cube_shape(mt_call *call)
{
    mt_call_output_like(call, 0, call->inputs[0]);
    return MT_OK;
}

static mt_status cube_of(mt_call *call, const void *dy, void *result)
{
    const void *x = call->inputs[0]->data;
    return call->dtype == MT_F64 ? cubes<double>(call, x, dy, result)
                                 : cubes<float>(call, x, dy, result);
}

static mt_status cube_forward(mt_call *call)
{
    return cube_of(call, nullptr, call->outputs[0]->data);
}

static mt_status cube_backward(mt_call *call)
{
    return cube_of(call, call->grad_outputs[0], call->grad_inputs[0]);
}

static mt_tensor *cube(mt_tape *tape, mt_tensor *x)
{
    static const mt_op op = {"cube", "y = x^3", 1, 1, cube_shape, cube_forward, cube_backward};
    return mt_apply(tape, &op, 1, &x, nullptr, 0);
}

/* ---- the check ---- */

static mt_tensor *loss(mt_tape *tape, void *, mt_tensor *const *inputs)
{
    return mt_sum(tape, mt_multiply(tape, cube(tape, inputs[0]), inputs[1]));
}

int main(int argc, char **argv)
{
    const int64_t shape[] = {7, 33};
    double values[7 * 33];
    mt_device *device;
    mt_tape *tape, *held; /* one is reset by every evaluation; the inputs live on the other */
    mt_random random = mt_random_make(1, 0);
    for (double &value : values) {
        value = mt_random_normal(&random);
    }
    if (mt_device_open(argc > 1 ? argv[1] : "auto", &device) != MT_OK ||
        mt_tape_create(device, &tape) != MT_OK || mt_tape_create(device, &held) != MT_OK) {
        fprintf(stderr, "%s\n", mt_error_message());
        return 1;
    }
    mt_tensor *inputs[2];
    for (mt_tensor *&input : inputs) {
        input = mt_tape_input(held, MT_F64, 2, shape, values, true);
    }
    mt_gradcheck_result result;
    if (mt_gradcheck(tape, loss, nullptr, 2, inputs, 0, &result) != MT_OK) {
        fprintf(stderr, "%s\n", mt_error_message());
        return 1;
    }
    printf("%s: %d derivatives, largest relative error %.1e\n", mt_device_name(device),
           static_cast<int>(result.elements), result.error);
    mt_tape_destroy(held);
    mt_tape_destroy(tape);
    mt_device_close(device);
    return result.error <= 1e-6 ? 0 : 1;
}
