/* Event files, as TensorBoard reads them: curves of numbers, texts and histograms over the steps of
 * a run. A file holds records of TensorFlow's (the length and its checksum, the bytes and theirs,
 * CRC-32C, masked), each of which is an Event of event.proto, written whole or not at all. */
#ifndef MT_TRAIN_EVENTS_H
#define MT_TRAIN_EVENTS_H

#include <mixtape/error.h>

#include <stdint.h>

/* An open file; all zeros: none. */
typedef struct event_file {
    char *path; /* NULL: none is open */
    int file;
    int64_t length; /* of the records that were written */
} event_file;

typedef struct event_scalar {
    const char *tag;
    double value; /* NaN: it is left out */
} event_scalar;

/* How values are spread: buckets of one width from the least value to the largest. */
enum { EVENT_BUCKETS = 64 };

typedef struct event_histogram {
    double least, largest, count, sum, squares;
    double buckets[EVENT_BUCKETS]; /* counts of values */
} event_histogram;

/* Makes the folder, and a new file in it, of a run that goes on after `step`: what older files
 * there tell of later steps is not shown any more. Closed even after a failure. */
mt_status events_open(event_file *events, const char *folder, int64_t step);
void events_close(event_file *events);

/* Add what was found at a step. MT_ERROR_IO with the reason where it could not be written, which
 * leaves the file as it was. */
mt_status events_scalars(event_file *events, int64_t step, int count, const event_scalar *scalars);
mt_status events_text(event_file *events, int64_t step, const char *tag, const char *text);
mt_status events_histogram(event_file *events, int64_t step, const char *tag,
                           const event_histogram *histogram);

#endif
