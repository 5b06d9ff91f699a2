/* How this process was started together with others, as the environment tells. Internal. */
#ifndef MT_KERNELS_START_H
#define MT_KERNELS_START_H

#include <mixtape/error.h>

#include <stdbool.h>

typedef struct mt_start {
    int rank, size;    /* 0 of 1: alone, or MPI knows */
    bool by_mpi;       /* MPI connects them: their number is `size`, as `told` says */
    const char *told;  /* the variable of the size */
    char address[300]; /* where they meet, unless by_mpi */
} mt_start;

/* MT_ERROR_INVALID for variables that do not fit together. */
mt_status mt_start_read(mt_start *start);

/* The rank and the size alone, by whichever launcher: for processes that were told where they meet.
 * MT_ERROR_INVALID where no variable tells them. */
mt_status mt_start_read_rank(int *rank, int *size);

/* MT_ERROR_INVALID unless it is a rank of so many processes, at most 4096 of them. */
mt_status mt_start_check(long rank, long size);

#endif
