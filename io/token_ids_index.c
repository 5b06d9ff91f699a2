/* Documents of Megatron and RWKV-LM ("binidx"): ids in a .bin, and beside it an .idx, all of it
 * little-endian:
 *
 *     9 bytes "MMIDIDX\0\0", version 1 (64 bits), a code of the ids' type (8 bits)
 *     the number S of sequences and D of borders (64 bits each)
 *     S lengths (32 bits), S places in the .bin (bytes, 64 bits)
 *     D borders (64 bits): the first sequence of each document, and S behind the last
 *
 * Sequences, as sentences are, lie one behind another. Those of other media have S bytes more,
 * which are not read. (megatron/core/datasets/indexed_dataset.py of NVIDIA/Megatron-LM) */
#include "io/token_ids_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER = 34, AT_VERSION = 9, AT_TYPE = 17, AT_SEQUENCES = 18, AT_BORDERS = 26 };

/* An index, as it is read. */
typedef struct index_file {
    mt_ids_file *ids;
    int descriptor;
    int64_t bytes, sequences, borders;
} index_file;

static mt_status take_type(mt_ids_file *file, unsigned code)
{
    static const mt_ids_type types[] = {
        [1] = {1, false, false}, [2] = {1, true, false}, [3] = {2, true, false},
        [4] = {4, true, false},  [5] = {8, true, false}, [8] = {2, false, false}};
    bool is_known = code < sizeof types / sizeof *types && types[code].size > 0;
    if (!is_known) {
        return mt_fail(MT_ERROR_FORMAT, "%s: type %u of its ids is %s", file->index, code,
                       code == 6 || code == 7 ? "a float" : "not known");
    }
    file->type = types[code];
    return MT_OK;
}

/* Checks that the index is as long as it says. */
static mt_status take_sizes(index_file *index, uint64_t sequences, uint64_t borders)
{
    const uint64_t of_sequence = 12, of_border = 8;
    const char *path = index->ids->index;
    uint64_t left = (uint64_t)index->bytes - HEADER;
    bool fits =
        sequences <= left / of_sequence && borders <= (left - of_sequence * sequences) / of_border;
    uint64_t more = fits ? left - of_sequence * sequences - of_border * borders : 0;
    if (!fits || (more != 0 && more != sequences)) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: %" PRIu64 " sequences and %" PRIu64
                       " borders of documents, in an index of %" PRId64 " bytes",
                       path, sequences, borders, index->bytes);
    }
    if (sequences == 0 || borders < 2) {
        return mt_fail(MT_ERROR_FORMAT, "%s: it has no documents", path);
    }
    index->sequences = (int64_t)sequences;
    index->borders = (int64_t)borders;
    return MT_OK;
}

static mt_status read_header(index_file *index)
{
    unsigned char header[HEADER];
    const char *path = index->ids->index;
    if (index->bytes < HEADER) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: %" PRId64 " bytes, where the header has %d: it was cut", path,
                       index->bytes, HEADER);
    }
    mt_status status = mt_ids_read_bytes(path, index->descriptor, 0, header, HEADER);
    if (status != MT_OK) {
        return status;
    }
    uint64_t version = mt_ids_long(header + AT_VERSION);
    if (memcmp(header, "TNTIDX\0", 8) == 0) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: an index of fairseq (TNTIDX); Megatron's (--dataset-impl mmap) is read",
                       path);
    }
    if (memcmp(header, "MMIDIDX\0", AT_VERSION) != 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: not an index of Megatron (MMIDIDX)", path);
    }
    if (version != 1) {
        return mt_fail(MT_ERROR_FORMAT, "%s: version %" PRIu64 ", of which 1 is known%s", path,
                       version, version == UINT64_C(1) << 56 ? ": the other byte order" : "");
    }
    status = take_type(index->ids, header[AT_TYPE]);
    return status == MT_OK ? take_sizes(index, mt_ids_long(header + AT_SEQUENCES),
                                        mt_ids_long(header + AT_BORDERS))
                           : status;
}

/* Reads the borders, as numbers of sequences. */
static mt_status read_borders(const index_file *index)
{
    enum { PIECE = 4096, SIZE = 8 };
    unsigned char bytes[PIECE * SIZE];
    mt_ids_file *file = index->ids;
    int64_t before = 0, offset = HEADER + 12 * index->sequences;
    for (int64_t first = 0; first < index->borders; first += PIECE) {
        int64_t count = index->borders - first < PIECE ? index->borders - first : PIECE;
        mt_status status = mt_ids_read_bytes(file->index, index->descriptor, offset + first * SIZE,
                                             bytes, (size_t)count * SIZE);
        if (status != MT_OK) {
            return status;
        }
        for (int64_t i = 0; i < count; i++) {
            int64_t border = (int64_t)mt_ids_long(bytes + i * SIZE);
            if (border < before || border > index->sequences) {
                return mt_fail(MT_ERROR_FORMAT,
                               "%s: border %" PRId64 " of its documents is sequence %" PRId64
                               ", after %" PRId64 " and of %" PRId64,
                               file->index, first + i, border, before, index->sequences);
            }
            file->starts[first + i] = before = border;
        }
    }
    if (file->starts[0] != 0 || before != index->sequences) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: its documents are sequences %" PRId64 " to %" PRId64 " of %" PRId64,
                       file->index, file->starts[0], before, index->sequences);
    }
    return MT_OK;
}

/* The .bin, as far as it was told. */
typedef struct told {
    int64_t sequence, border, bytes;
} told;

/* Goes past one sequence, and tells the documents that begin with it where they do. */
static mt_status take_sequence(const index_file *index, told *at, int32_t length, int64_t place)
{
    mt_ids_file *file = index->ids;
    while (at->border < index->borders && file->starts[at->border] == at->sequence) {
        file->starts[at->border++] = at->bytes / file->type.size;
    }
    if (place != at->bytes) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: sequence %" PRId64 " is at byte %" PRId64
                       " of the .bin, where the ones before it end at %" PRId64,
                       file->index, at->sequence, place, at->bytes);
    }
    if (length < 0 || length > (file->bytes - at->bytes) / file->type.size) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: sequence %" PRId64 " has %" PRId32 " ids from byte %" PRId64
                       " on, in a .bin of %" PRId64 " bytes",
                       file->index, at->sequence, length, at->bytes, file->bytes);
    }
    at->bytes += (int64_t)length * file->type.size;
    at->sequence++;
    return MT_OK;
}

/* Reads lengths and places side by side, and turns the borders into positions of ids. */
static mt_status read_sequences(const index_file *index)
{
    enum { PIECE = 4096 };
    unsigned char lengths[PIECE * 4], places[PIECE * 8];
    mt_ids_file *file = index->ids;
    told at = {0, 0, 0};
    mt_status status = MT_OK;
    while (at.sequence < index->sequences && status == MT_OK) {
        int64_t first = at.sequence, left = index->sequences - first;
        int64_t count = left < PIECE ? left : PIECE;
        status = mt_ids_read_bytes(file->index, index->descriptor, HEADER + 4 * first, lengths,
                                   4 * (size_t)count);
        if (status == MT_OK) {
            status = mt_ids_read_bytes(file->index, index->descriptor,
                                       HEADER + 4 * index->sequences + 8 * first, places,
                                       8 * (size_t)count);
        }
        for (int64_t i = 0; i < count && status == MT_OK; i++) {
            status = take_sequence(index, &at, (int32_t)mt_ids_word(lengths + 4 * i),
                                   (int64_t)mt_ids_long(places + 8 * i));
        }
    }
    while (status == MT_OK && at.border < index->borders) {
        file->starts[at.border++] = at.bytes / file->type.size;
    }
    if (status == MT_OK && at.bytes != file->bytes) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: its sequences are %" PRId64 " bytes, and %s has %" PRId64, file->index,
                       at.bytes, file->path, file->bytes);
    }
    return status;
}

static mt_status read_index(index_file *index)
{
    mt_ids_file *file = index->ids;
    mt_status status = read_header(index);
    if (status != MT_OK) {
        return status;
    }
    file->starts = malloc((size_t)index->borders * sizeof *file->starts);
    if (file->starts == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %" PRId64 " documents", file->index,
                       index->borders - 1);
    }
    status = read_borders(index);
    if (status == MT_OK) {
        status = read_sequences(index);
    }
    if (status == MT_OK) {
        status = mt_ids_expect(file, file->bytes / file->type.size);
    }
    file->documents = index->borders - 1;
    file->has_borders = true;
    return status;
}

mt_status mt_ids_open_index(mt_ids_file *file)
{
    index_file index = {.ids = file};
    mt_status status = mt_ids_open_bytes(file->index, &index.descriptor, &index.bytes);
    if (status == MT_OK) {
        status = read_index(&index);
        close(index.descriptor);
    }
    return status;
}
