/* Documents on their way through a model: short ones wait for others, and go through it together;
 * long ones come in pieces. */
#ifndef MT_COMMAND_MEASURE_DOCUMENTS_H
#define MT_COMMAND_MEASURE_DOCUMENTS_H

#include "train/command/measure.h"

/* Takes a document over: its symbols, and the name of an utterance, or NULL. */
mt_status measure_document(file_measure *measure, char *name, int32_t *ids, int64_t count);

enum { MEASURE_PIECE = 1 << 16 }; /* symbols: longer documents come in pieces */

/* Reads symbols of a long document, from `at` on. */
typedef mt_status measure_read(void *source, int64_t at, int64_t count, int32_t *ids);

mt_status measure_long_document(file_measure *measure, int64_t count, measure_read *read,
                                void *source);

/* Scores the documents that wait; or forgets them. */
mt_status measure_waiting(file_measure *measure);
void measure_forget(file_measure *measure);

#endif
