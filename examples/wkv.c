/* The WKV operator on plain arrays: a whole sequence at once, and the same in two pieces with the
 * state carried from one to the other. */
#include <mixtape/wkv.h>

#include <math.h>
#include <stdio.h>

enum { B = 1, T = 6, C = 4, SPLIT = 2 };

/* Steps first .. first + count - 1; of one batch row they lie side by side. */
static mt_status forward(mt_device *device, int first, int count, const float *w, const float *u,
                         const float *k, const float *v, const float *state_in, float *state_out,
                         float *y)
{
    mt_wkv_forward_args args = {0};
    args.B = B;
    args.T = count;
    args.C = C;
    args.w = w;
    args.u = u;
    args.k = k + first * C;
    args.v = v + first * C;
    args.y = y + first * C;
    args.state_in = state_in;
    args.state_out = state_out;
    return mt_wkv_forward(device, NULL, MT_F32, &args);
}

int main(void)
{
    /* w = -exp(time_decay) is below 0; u is time_first */
    const float w[C] = {-0.1f, -0.5f, -1.0f, -4.0f}, u[C] = {0.0f, 0.5f, 1.0f, -1.0f};
    float k[T * C], v[T * C], whole[T * C], pieces[T * C], state[3 * B * C];
    for (int i = 0; i < T * C; i++) {
        k[i] = sinf((float)i);
        v[i] = cosf(2.0f * (float)i);
    }
    mt_device *device;
    if (mt_device_open("cpu", &device) != MT_OK ||
        forward(device, 0, T, w, u, k, v, NULL, NULL, whole) != MT_OK ||
        forward(device, 0, SPLIT, w, u, k, v, NULL, state, pieces) != MT_OK ||
        forward(device, SPLIT, T - SPLIT, w, u, k, v, state, state, pieces) != MT_OK) {
        fprintf(stderr, "%s\n", mt_error_message());
        return 1;
    }
    float difference = 0.0f;
    for (int i = 0; i < T * C; i++) {
        difference = fmaxf(difference, fabsf(whole[i] - pieces[i]));
    }
    printf("y of the last step: %g %g %g %g; in two pieces it differs by %g\n",
           (double)whole[(T - 1) * C], (double)whole[(T - 1) * C + 1],
           (double)whole[(T - 1) * C + 2], (double)whole[(T - 1) * C + 3], (double)difference);
    mt_device_close(device);
    return difference < 1e-6f ? 0 : 1;
}
