/* A thread that looks after the other ranks while this one computes, however long that takes:
 * where one has ended, and this one does not find out by itself, the thread tells it and ends all
 * (mt_communicator_end_all). With MPI the launcher does, and there is no thread. */
#ifndef MT_COMMAND_LOST_RANKS_H
#define MT_COMMAND_LOST_RANKS_H

#include <mixtape/communicator.h>

#include <stdio.h>

/* Begins, where it can: without a thread a rank finds out when it next exchanges something. */
void lost_ranks_watch(mt_communicator *communicator, FILE *complaints);

/* Ends, before others may leave in order. Again it does nothing. */
void lost_ranks_leave(void);

/* Tells a failure that the ranks have not agreed on, once, if this rank is to tell it, and ends
 * all. Returns where that ends nothing. */
void lost_ranks_tell(mt_communicator *communicator, FILE *complaints, const char *message);

#endif
