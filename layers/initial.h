/* ESPnet's initial values that several layers share (reset_parameters of its attention.py and
 * feed_forward.py). Internal. r0 and r1 say where a block stands: r0 = block_id / (num_blocks - 1),
 * r1 = 1 - block_id / num_blocks; r0 is 0 for one block, where ESPnet would divide by zero. */
#ifndef MT_LAYERS_INITIAL_H
#define MT_LAYERS_INITIAL_H

#include <mixtape/parameter.h>

double mt_block_ratio_up(int64_t block_id, int64_t num_blocks);   /* r0 */
double mt_block_ratio_down(int64_t block_id, int64_t num_blocks); /* r1 */

/* (i / n)^exponent + offset for element i of n: the time mixes. */
mt_initial mt_initial_mix(double exponent, double offset);

/* -5 + 8 (h / (n - 1))^exponent for element h of n; h / (n - 1) is 0 for n = 1. */
mt_initial mt_initial_time_decay(double exponent);

/* log(0.3) + 0.5 ((h + 1) mod 3 - 1): RWKV-LM's time_first. */
mt_initial mt_initial_time_first_rwkv(void);

#endif
