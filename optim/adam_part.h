/* An optimiser of a part of the parameters, for ranks that share one: each has the moments of its
 * part, and updates it. Internal. */
#ifndef MT_OPTIM_ADAM_PART_H
#define MT_OPTIM_ADAM_PART_H

#include <mixtape/adam.h>

typedef enum mt_moment { MT_FIRST_MOMENT, MT_SECOND_MOMENT } mt_moment;

/* How who has a part reads and writes moments wherever they are: n elements of the block, from the
 * first on, in host memory. */
typedef struct mt_moments_access {
    mt_status (*read)(void *context, mt_moment which, int64_t first, int64_t n, void *values);
    mt_status (*write)(void *context, mt_moment which, int64_t first, int64_t n,
                       const void *values);
    void *context;
} mt_moments_access;

/* mt_adam_create for elements first .. first + count - 1 of the blocks, both multiples of 64 but
 * for a part that ends with the block. `access` outlives the optimiser. */
mt_status mt_adam_create_part(mt_parameters *parameters, mt_adam_config config, int64_t first,
                              int64_t count, const mt_moments_access *access, mt_adam **adam);

/* n moments from element `first` of the block on, wherever they are. */
mt_status mt_adam_read_moments(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                               void *values);
mt_status mt_adam_write_moments(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                                const void *values);

/* Where they are in the host's memory, or NULL where they have to be read. */
const void *mt_adam_find_moments(const mt_adam *adam, mt_moment which, int64_t first);

/* Tells if the moments count as zeros, whatever their memory holds. */
bool mt_adam_is_blank(const mt_adam *adam);

/* The same of those that this optimiser has itself, which are all of them, or its part. Once all
 * were written, written_all puts zeros between them, and says so. */
mt_status mt_adam_read_own(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                           void *values);
mt_status mt_adam_write_own(const mt_adam *adam, mt_moment which, int64_t first, int64_t n,
                            const void *values);
mt_status mt_adam_written_all(mt_adam *adam);

#endif
