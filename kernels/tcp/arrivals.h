/* Who connects to a rank that listens for those above it. Whoever does not say what a rank says, or
 * nothing within some seconds, is dropped. Internal. */
#ifndef MT_KERNELS_TCP_ARRIVALS_H
#define MT_KERNELS_TCP_ARRIVALS_H

#include <mixtape/error.h>

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

/* Of the byte order too: machines of another one are strangers. The last digit changes with these
 * structures, up to the version in a hello and the reason in a welcome. */
#define MT_TCP_MAGIC UINT64_C(0x4d49585441504532)

enum {
    MT_TCP_GUESTS = 64,       /* who may have connected without having said who they are */
    MT_TCP_GUEST_SECONDS = 5, /* in which they have to say it */
    MT_TCP_REASON = 256,
    MT_TCP_VERSION = 32
};

/* What a rank says first: to rank 0 with token 0, to the others with that of the meeting. */
typedef struct hello {
    uint64_t magic, token;
    uint32_t rank, size;
    uint32_t port; /* at which it listens for the ranks above */
    uint32_t padding;
    char version[MT_TCP_VERSION]; /* mt_version() */
} hello;

/* What rank 0 answers, once all have come or something is wrong; where nothing is, a place for each
 * rank follows. */
typedef struct welcome {
    uint64_t magic, token;
    int32_t status; /* an mt_status */
    char reason[MT_TCP_REASON];
} welcome;

/* Where a rank listens; family AF_UNSPEC: on the machine of rank 0, wherever that is for others.
 * The scope of an address of IPv6 is rank 0's name of its network, which other machines may name
 * otherwise: link-local addresses are for machines that number their networks alike. */
typedef struct place {
    uint16_t family, port;
    uint32_t scope;
    unsigned char host[16];
} place;

typedef struct guest {
    int socket;
    size_t got; /* bytes of: */
    hello said;
    double until;
} guest;

typedef struct meeting {
    int rank, size, listener;
    int *sockets;    /* (size) */
    uint32_t *ports; /* (size), of those that came */
    uint64_t token;
    double until;
    guest guests[MT_TCP_GUESTS];
    struct pollfd *polls; /* (1 + MT_TCP_GUESTS + size), and so is: */
    int *polled;          /* whose each one is */
    int poll_count;
} meeting;

/* Waits until every rank above this one has connected, or the time is over. Guests that were
 * refused are still there after a failure. */
mt_status mt_tcp_wait_for_all(meeting *here, double seconds);

/* Closes the connections of all who are no ranks. */
void mt_tcp_drop_guests(meeting *here);

#endif
