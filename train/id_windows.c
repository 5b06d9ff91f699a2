#include "train/id_windows.h"

#include "io/ascending.h"

#include <inttypes.h>
#include <stdlib.h>

enum { BLOCK = 1024 }; /* documents */

mt_status id_part_split(mt_token_ids *ids, double share, id_part *train, id_part *valid)
{
    int64_t count = mt_token_ids_count(ids), cut = count - (int64_t)(share * (double)count);
    if (cut < count) {
        mt_ids_span document = mt_token_ids_document(ids, mt_token_ids_find(ids, cut));
        if (document.whole && document.count < count) {
            cut = document.first > 0 ? document.first : document.count;
        }
    }
    if (cut == 0 || cut == count) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s%s: a share of %g of %" PRId64
                       " id%s leaves none to %s (--valid-share, or --valid-data)",
                       mt_token_ids_file(ids, 0), mt_token_ids_file(ids, 1) != NULL ? " ..." : "",
                       share, count, count == 1 ? "" : "s", cut == 0 ? "train on" : "validate on");
    }
    *train = (id_part){ids, 0, cut};
    *valid = (id_part){ids, cut, count};
    return MT_OK;
}

/* What of a document is in the part. */
static mt_ids_span document_of(const id_part *part, int64_t d)
{
    mt_ids_span document = mt_token_ids_document(part->ids, d);
    int64_t end = document.first + document.count;
    document.first = document.first > part->first ? document.first : part->first;
    document.count = (end < part->end ? end : part->end) - document.first;
    return document;
}

bool id_part_has_window(const id_part *part)
{
    int64_t d = mt_token_ids_find(part->ids, part->first);
    int64_t end = mt_token_ids_find(part->ids, part->end - 1) + 1;
    while (d < end && document_of(part, d).count < 2) {
        d++;
    }
    return d < end;
}

mt_status id_part_draw(const id_part *part, int64_t T, mt_random *random, mt_ids_span *window)
{
    enum { MOST_DRAWS = 1000 };
    *window = (mt_ids_span){.count = 0};
    for (int draw = 0; window->count < 2 && draw < MOST_DRAWS; draw++) {
        uint64_t within = mt_random_below(random, (uint64_t)(part->end - part->first));
        *window = document_of(part, mt_token_ids_find(part->ids, part->first + (int64_t)within));
    }
    if (window->count < 2) {
        return mt_fail(MT_ERROR_INVALID,
                       "%s ...: no document of two ids or more in %d that were drawn",
                       mt_token_ids_file(part->ids, 0), MOST_DRAWS);
    }
    if (window->count > T) {
        window->first += (int64_t)mt_random_below(random, (uint64_t)(window->count - T));
        window->count = T + 1;
    }
    return MT_OK;
}

int64_t id_part_windows(const id_part *part, int64_t T, int64_t document)
{
    int64_t count = document_of(part, document).count;
    return count < 2 ? 0 : (count - 2) / T + 1;
}

mt_ids_span id_part_window(const id_part *part, int64_t T, int64_t document, int64_t number)
{
    mt_ids_span window = document_of(part, document);
    window.first += number * T;
    window.count -= number * T;
    window.count = window.count > T ? T + 1 : window.count;
    return window;
}

mt_status id_windows_make(const id_part *part, int64_t T, id_windows *windows)
{
    *windows = (id_windows){.part = *part,
                            .T = T,
                            .first_document = mt_token_ids_find(part->ids, part->first),
                            .end_document = mt_token_ids_find(part->ids, part->end - 1) + 1};
    int64_t documents = windows->end_document - windows->first_document;
    windows->before = malloc((size_t)((documents - 1) / BLOCK + 1) * sizeof *windows->before);
    if (windows->before == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for the windows of %" PRId64 " documents",
                       documents);
    }
    for (int64_t i = 0; i < documents; i++) {
        if (i % BLOCK == 0) {
            windows->before[i / BLOCK] = windows->count;
        }
        windows->count += id_part_windows(part, T, windows->first_document + i);
    }
    return MT_OK;
}

void id_windows_free(id_windows *windows)
{
    free(windows->before);
    *windows = (id_windows){.count = 0};
}

mt_ids_span id_windows_at(const id_windows *windows, int64_t number)
{
    int64_t blocks = (windows->end_document - windows->first_document - 1) / BLOCK + 1;
    int64_t block = mt_find_last(windows->before, blocks, number);
    int64_t d = windows->first_document + block * BLOCK;
    int64_t left = number - windows->before[block];
    for (int64_t own; left >= (own = id_part_windows(&windows->part, windows->T, d)); d++) {
        left -= own;
    }
    return id_part_window(&windows->part, windows->T, d, left);
}
