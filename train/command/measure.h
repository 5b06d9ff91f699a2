/* A model measured on files: every symbol of theirs once, with all that comes before it in its
 * document as context. A file of text is a document, and so is an utterance of transcripts; files
 * of ids say where theirs begin. */
#ifndef MT_COMMAND_MEASURE_H
#define MT_COMMAND_MEASURE_H

#include <mixtape/scoring.h>

#include "io/text_counts.h"
#include "io/token_ids.h"
#include "train/command/symbols.h"
#include "train/file_list.h"

/* Sums over documents. */
typedef struct measured {
    mt_score score;
    int64_t documents;
    int64_t unknown, with_unknown; /* symbols that are <unk>, and utterances that have some */
    int64_t with_marks;            /* utterances for a tokenizer that have marks of pieces */
    bool has_text;                 /* there are counts */
    /* Of what was measured: without a document's first symbol, where that is context alone. */
    mt_text_counts counts;
} measured;

/* Told the score of each utterance, in the order of the files, and how many of its symbols are
 * <unk>. A failure ends the measurement. */
typedef mt_status measure_tell(void *context, const char *utterance, const mt_score *score,
                               int64_t unknown);

enum { MOST_WAITING = 64 };

typedef struct file_measure {
    const text_symbols *symbols;
    mt_scorer *scorer;
    int32_t start, end; /* fed before a document; counted behind it; -1: none */
    mt_ids_raw ids_type;
    measure_tell *tell; /* or NULL */
    void *context;      /* of tell */
    measured sums;
    double told;           /* when progress was shown: the clock */
    int waiting;           /* documents that go through the model together */
    int64_t waiting_count; /* symbols of theirs */
    mt_sequence sequences[MOST_WAITING];
    char *names[MOST_WAITING];
    int64_t unknown[MOST_WAITING];
} file_measure;

/* Measures files of a kind that there is, with a line on standard error every few seconds.
 * MT_ERROR_FORMAT with file and place for what is none; MT_ERROR_INVALID where nothing is counted,
 * or most of what is, is <unk>. */
mt_status measure_files(file_measure *measure, const char *kind, const file_list *files);

/* The names of the kinds, "text|tokens|ids"; tells if a text is one of them. */
extern const char measure_kinds[];
bool measure_has_kind(const char *kind);

#endif
