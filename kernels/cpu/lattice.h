/* The lattices of the transducer loss, which are in double whatever the logits are: of each
 * instruction set there is one build. Internal. */
#ifndef MT_KERNELS_CPU_LATTICE_H
#define MT_KERNELS_CPU_LATTICE_H

#include <mixtape/kernels/transducer.h>

#include "real.h"

#define LATTICE(name) KERNEL_EXPAND(lattice_##name, MT_ISA, f64)

/* Walks the lattice of row b from its end, which leaves its betas, and from its start, which leaves
 * its alphas, where there is memory for them. */
void LATTICE(to_start)(const mt_transducer_forward_args *args, int64_t b);
void LATTICE(to_end)(const mt_transducer_forward_args *args, int64_t b);

#endif
