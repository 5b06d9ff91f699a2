/* The ranges of parameters that have a rate of their own (mixtape/kernels/adam.h). Internal. */
#ifndef MT_OPTIM_ADAM_RANGES_H
#define MT_OPTIM_ADAM_RANGES_H

#include <mixtape/adam.h>

/* Puts the ranges of the parameters' rates on the device, as adam->ranges; none where all are 1. */
mt_status mt_adam_ranges_create(mt_adam *adam);

#endif
