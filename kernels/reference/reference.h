/* The plainest implementation of the kernels' contracts: the formulas as loops over float64, one
 * number at a time. A reader starts here, and the tests compare every device with it; it is part of
 * their build and not of the library.
 *
 * Each function takes the arguments of its contract. Every array is an array of doubles on the
 * host, whatever a contract says of its type (targets are int32, as there). Arguments are trusted:
 * nothing is checked, and nothing can fail. */
#ifndef MT_KERNELS_REFERENCE_REFERENCE_H
#define MT_KERNELS_REFERENCE_REFERENCE_H

#include <mixtape/kernels/adam.h>
#include <mixtape/kernels/cross_entropy.h>
#include <mixtape/kernels/norm.h>
#include <mixtape/kernels/time_mix.h>
#include <mixtape/kernels/transducer.h>
#include <mixtape/kernels/wkv.h>

/* `saved` has 3 B T C doubles: the states before every step, T arrays of (3, B, C). `workspace` is
 * not read. */
void mt_reference_wkv_forward(const mt_wkv_forward_args *args);
void mt_reference_wkv_backward(const mt_wkv_backward_args *args);

void mt_reference_norm_forward(const mt_norm_forward_args *args);
void mt_reference_norm_backward(const mt_norm_backward_args *args);

void mt_reference_time_mix_forward(const mt_time_mix_forward_args *args);
void mt_reference_time_mix_backward(const mt_time_mix_backward_args *args);

void mt_reference_cross_entropy_forward(const mt_cross_entropy_forward_args *args);
void mt_reference_cross_entropy_backward(const mt_cross_entropy_backward_args *args);

/* `alphas` is always there. */
void mt_reference_transducer_forward(const mt_transducer_forward_args *args);
void mt_reference_transducer_backward(const mt_transducer_backward_args *args);

void mt_reference_adam(const mt_adam_args *args);

#endif
