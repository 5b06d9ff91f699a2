/* Rows of a table. */
#ifndef MIXTAPE_KERNELS_EMBEDDING_H
#define MIXTAPE_KERNELS_EMBEDDING_H

#include <stdbool.h>
#include <stdint.h>

/* y[n] = table[indices[n]]; table (V, C), wide (kernels/list.h), indices (N) int32, y (N, C).
 * An index outside 0 .. V-1 is MT_ERROR_INVALID, of this call or, on a device that runs behind, of
 * the next one that waits; its row is NaN there. */
typedef struct mt_embedding_forward_args {
    int64_t N, V, C;
    const int32_t *indices;
    const void *table;
    void *y;
} mt_embedding_forward_args;

/* dtable[v] = sum of dy[n] over n with indices[n] == v, in ascending n; zero for v == padding_index
 * (-1: no such row). dtable is wide, and written whole, but for rows of which zero_rows says that
 * they are zero and that stay so. With `adds` the sums are added to what dtable holds, and rows
 * without a use are left alone. */
typedef struct mt_embedding_backward_args {
    int64_t N, V, C;
    int32_t padding_index;
    const int32_t *indices;
    const void *dy;
    void *dtable;
    uint8_t *zero_rows; /* (V), or NULL: not 0 for rows of dtable that are zero; kept up to date */
    bool adds;
} mt_embedding_backward_args;

#endif
