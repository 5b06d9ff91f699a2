/* A network from the inside: connections to all other ranks, what goes through them, and how ranks
 * end. Internal.
 *
 * Where a function takes the context of a transport, that is the network. */
#ifndef MT_KERNELS_TCP_NETWORK_H
#define MT_KERNELS_TCP_NETWORK_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { MT_TCP_FAREWELL = 16 }; /* bytes */

/* What is still to be sent to a rank, and to come from it. */
typedef struct mt_tcp_flow {
    const char *to;
    char *from;
    size_t to_send, to_come;
} mt_tcp_flow;

typedef struct mt_tcp_network {
    int rank, size;
    int *sockets; /* (size), and so are the others */
    mt_tcp_flow *flows;
    struct pollfd *polls;
    double until; /* of what is carried: INFINITY, once all are known to be there */
    char message[256];
    pthread_mutex_t lock; /* of what was received, which another thread may look through: */
    unsigned char (*last)[MT_TCP_FAREWELL]; /* (size) the last bytes of each rank */
} mt_tcp_network;

/* "rank 1 has ended", or "ranks 1, 2 have ended": those that end because of it come after it, so
 * who looks late sees more of them. */
bool mt_tcp_look(void *context, size_t size, char *words);

/* Of what a rank sent the last bytes: puts `count` received ones behind those before. */
void mt_tcp_keep_last(unsigned char last[MT_TCP_FAREWELL], const char *bytes, size_t count);

/* Tells if this rank is the one that tells what failed: no other has said farewell. */
bool mt_tcp_is_to_tell(void *context);

/* Ends this process, with a farewell to the others. */
void mt_tcp_end_all(void *context, int exit_status);

#endif
