#include "train/text_windows.h"

#include <inttypes.h>
#include <stdlib.h>

/* How many windows a document of so many symbols has: at any symbol to train on, one behind the
 * other to validate on. */
static int64_t count_windows(task_split split, int64_t length, int64_t T)
{
    int64_t whole = split == TRAIN ? length - T : (length - 1) / T;
    return whole > 0 ? whole : 1;
}

mt_status text_split_make(const mt_text *texts, int64_t count, int64_t first, int64_t end,
                          int64_t T, task_split which, text_split *split)
{
    int64_t at = 0;
    *split = (text_split){.which = which, .T = T};
    split->documents = calloc((size_t)count + 1, sizeof *split->documents);
    if (split->documents == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "text: no memory for %" PRId64 " documents", count);
    }
    for (int64_t i = 0; i < count; at += texts[i].length, i++) {
        const mt_text *text = &texts[i];
        int64_t from = first > at ? first - at : 0;
        int64_t length = (end - at < text->length ? end - at : text->length) - from;
        if (length < 2) {
            continue;
        }
        split->documents[split->count++] = (document){text->ids + from, length, split->windows};
        split->symbols += length;
        split->windows += count_windows(which, length, T);
    }
    return MT_OK;
}

void text_split_free(text_split *split)
{
    free(split->documents);
    lanes_free(split->lanes);
}

/* Consecutive windows of a document: those to validate on are the same whether a state is carried
 * through them or not; of those to train on the last is padded. */
static int64_t windows_of(const void *context, int64_t d)
{
    const text_split *split = context;
    int64_t length = split->documents[d].length;
    return split->which == TRAIN ? (length - 2) / split->T + 1
                                 : count_windows(VALID, length, split->T);
}

mt_status text_split_lay(const run_config *config, text_split *split)
{
    const lane_source source = {split, split->count, windows_of};
    return split->which == TRAIN ? lanes_to_train(config, &source, &split->lanes)
                                 : lanes_to_validate(config, &source, &split->lanes);
}

/* The document that has a window of this number. */
static const document *find_document(const text_split *split, int64_t window)
{
    int64_t least = 0, most = split->count - 1;
    while (least < most) {
        int64_t middle = (least + most + 1) / 2;
        if (split->documents[middle].before <= window) {
            least = middle;
        } else {
            most = middle - 1;
        }
    }
    return &split->documents[least];
}

/* The number of the window that row b of a batch is; beyond the last one in the last batch of a
 * validation. */
static int64_t window_of(const run_config *config, const text_split *split, int64_t index,
                         int64_t b, mt_random *random)
{
    return split->which == TRAIN ? (int64_t)mt_random_below(random, (uint64_t)split->windows)
                                 : index * config->batch + b;
}

/* Fills a row with what a document has from `start` on; what is behind its end, or of none (NULL),
 * is not counted. */
static void fill_row(const document *from, int64_t start, int64_t T, int32_t *input,
                     int32_t *target)
{
    int64_t length = from != NULL ? from->length - start - 1 : 0;
    for (int64_t t = 0; t < T; t++) {
        input[t] = t < length ? from->ids[start + t] : 0;
        target[t] = t < length ? from->ids[start + t + 1] : IGNORED;
    }
}

void text_split_fill(const run_config *config, const text_split *split, int64_t index, int64_t b,
                     mt_random *random, int32_t *input, int32_t *target)
{
    int64_t T = split->T;
    if (split->lanes != NULL) {
        lane_window at = lanes_at(split->lanes, index, b);
        fill_row(at.number >= 0 ? &split->documents[at.document] : NULL, at.number * T, T, input,
                 target);
        return;
    }
    int64_t window = window_of(config, split, index, b, random);
    const document *from = find_document(split, window);
    int64_t number = window - from->before;
    fill_row(window < split->windows ? from : NULL, split->which == TRAIN ? number : number * T, T,
             input, target);
}
