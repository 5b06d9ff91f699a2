/* Values of tensors as doubles, whatever their type. */
#ifndef MT_TRAIN_NUMBERS_H
#define MT_TRAIN_NUMBERS_H

#include <mixtape/tensor.h>

/* Reads a tensor of a real type into `values`, one double for each element. */
mt_status tensor_read_doubles(const mt_tensor *tensor, double *values);

#endif
