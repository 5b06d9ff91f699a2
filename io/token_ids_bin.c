/* .bin files: ids alone, as nanoGPT writes them, or behind the header of llm.c, which is 256
 * integers of 32 bits: a number that tells what it is, a version, and how many ids there are. */
#include "io/token_ids_file.h"

#include <inttypes.h>

const char *mt_ids_raw_name(int raw)
{
    static const char *const names[] = {[MT_IDS_UNSAID] = "auto",
                                        [MT_IDS_UINT16] = "uint16",
                                        [MT_IDS_UINT32] = "uint32",
                                        [MT_IDS_INT32] = "int32",
                                        [MT_IDS_INT64] = "int64"};
    return (size_t)raw < sizeof names / sizeof *names ? names[raw] : NULL;
}

static const mt_ids_type raw_types[] = {[MT_IDS_UNSAID] = {2, false, false},
                                        [MT_IDS_UINT16] = {2, false, false},
                                        [MT_IDS_UINT32] = {4, false, false},
                                        [MT_IDS_INT32] = {4, true, false},
                                        [MT_IDS_INT64] = {8, true, false}};

/* The upper halves of ids of 32 bits are below it, in a vocabulary below 262144: as none is above,
 * what has larger ones is of 16 bits. */
enum { NEXT_TO_NOTHING = 4 };

/* The first bytes of a file, which are to tell how wide its ids are. */
typedef struct ids_sample {
    unsigned char bytes[1024];
    size_t size;
    int below; /* of parts of 16 bits, that are next to nothing */
} ids_sample;

enum { LEAST_SAMPLE = 64 }; /* bytes */

static bool is_next_to_nothing(const ids_sample *sample, size_t at, int size)
{
    const unsigned char *bytes = sample->bytes + at;
    bool is_little = bytes[0] < (size == 2 ? sample->below : 1);
    for (int i = 1; i < size; i++) {
        is_little = is_little && bytes[i] == 0;
    }
    return is_little;
}

/* Tells if the ids, as they are read, are parts of some of `wide` bytes: all but the lowest parts
 * are next to nothing. */
static bool looks_wide(const mt_ids_file *file, const ids_sample *sample, size_t wide)
{
    size_t size = (size_t)file->type.size;
    bool upper = sample->size >= LEAST_SAMPLE && file->bytes % (int64_t)wide == 0, lower = false;
    for (size_t i = 0; i + size <= sample->size; i += size) {
        bool is_lowest = i % wide == 0;
        bool is_little = is_next_to_nothing(sample, i, file->type.size);
        upper = upper && (is_lowest || is_little);
        lower = lower || (is_lowest && !is_little);
    }
    return upper && lower;
}

/* Tells if most ids of 32 bits are beyond any vocabulary, as where two of 16 are read as one. */
static bool looks_narrow(const ids_sample *sample)
{
    const size_t size = 4, half = 2;
    size_t count = sample->size / size, beyond = 0;
    for (size_t i = 0; i < count; i++) {
        beyond += !is_next_to_nothing(sample, i * size + half, (int)half);
    }
    return sample->size >= LEAST_SAMPLE && beyond > count / 2;
}

static mt_status refuse_of_32(const mt_ids_file *file, const ids_sample *sample)
{
    if (looks_wide(file, sample, 8)) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: every second id of 32 bits is 0, as where ids have 64 (say --ids-type "
                       "int64; if they have 32, an .npy of them tells so)",
                       file->path);
    }
    return looks_narrow(sample)
               ? mt_fail(MT_ERROR_FORMAT,
                         "%s: most ids of 32 bits are above 262143, as where ids have 16 (say "
                         "--ids-type uint16; if they have 32, an .npy of them tells so)",
                         file->path)
               : MT_OK;
}

static mt_status refuse_of_16(const mt_ids_file *file, const ids_sample *sample)
{
    bool has_64 = looks_wide(file, sample, 8), is_said = sample->below == 1;
    return has_64 || looks_wide(file, sample, 4)
               ? mt_fail(MT_ERROR_FORMAT,
                         "%s: %s of 16 bits %s %s, as where ids have %d (say --ids-type %s%s)",
                         file->path, has_64 ? "three of four ids" : "every second id",
                         has_64 ? "are" : "is", is_said ? "0" : "below 4", has_64 ? 64 : 32,
                         has_64 ? "int64" : "uint32",
                         is_said ? "; if they have 16, an .npy of them tells so"
                                 : ", or uint16 if they are that")
               : MT_OK;
}

/* Tells if the ids are of `wide` bytes, the lowest last, and none is large: of each, all bytes but
 * the last are 0 or, of two bytes, next to nothing; of more, the two last may be anything. */
static bool looks_swapped(const mt_ids_file *file, const ids_sample *sample, size_t wide)
{
    const size_t pair = 2;
    size_t upper_bytes = wide == pair ? 1 : wide - pair;
    int below = wide == pair ? sample->below : 1;
    bool upper = sample->size >= LEAST_SAMPLE && file->bytes % (int64_t)wide == 0, lower = false;
    for (size_t i = 0; i < sample->size; i++) {
        upper = upper && (i % wide >= upper_bytes || sample->bytes[i] < below);
        lower = lower || (i % wide == wide - 1 && sample->bytes[i] >= NEXT_TO_NOTHING);
    }
    return upper && lower;
}

static mt_status refuse_swapped(const mt_ids_file *file, const ids_sample *sample)
{
    const size_t widest = 8;
    for (size_t wide = widest; wide > 1; wide /= 2) {
        if (looks_swapped(file, sample, wide)) {
            return mt_fail(MT_ERROR_FORMAT,
                           "%s: its bytes are as those of ids of %zu bits in the other byte order "
                           "(an .npy tells it: in Python numpy.save of numpy.fromfile(..., "
                           "'>u%zu'))",
                           file->path, 8 * wide, wide);
        }
    }
    return MT_OK;
}

/* Ids that are read as others than they are would train without a complaint: wide ones as narrow
 * ones with next to nothing between them, narrow ones as a few of a huge vocabulary. Those of 64
 * bits look as if they had 32, too. Where 16 bits are said, only zeros are doubted. The other byte
 * order is looked for first, as it may look like another width. */
static mt_status refuse_other_type(const mt_ids_file *file, mt_ids_raw raw)
{
    ids_sample sample = {.size = sizeof sample.bytes,
                         .below = raw == MT_IDS_UINT16 ? 1 : NEXT_TO_NOTHING};
    if (file->bytes < (int64_t)sample.size) {
        sample.size = (size_t)file->bytes;
    }
    mt_status status =
        mt_ids_read_bytes(file->path, file->descriptor, 0, sample.bytes, sample.size);
    if (status == MT_OK) {
        status = refuse_swapped(file, &sample);
    }
    if (status != MT_OK || raw == MT_IDS_INT64) {
        return status;
    }
    return file->type.size == 4 ? refuse_of_32(file, &sample) : refuse_of_16(file, &sample);
}

mt_status mt_ids_open_raw(mt_ids_file *file, mt_ids_raw raw)
{
    file->type = raw_types[raw];
    file->is_untold = true;
    if (file->bytes % file->type.size != 0) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: %" PRId64 " bytes are no whole number of ids of %d bytes (cut, or of "
                       "another --ids-type)",
                       file->path, file->bytes, file->type.size);
    }
    mt_status status = refuse_other_type(file, raw);
    if (status == MT_OK) {
        status = mt_ids_expect(file, file->bytes / file->type.size);
    }
    mt_ids_without_borders(file);
    return status;
}

/* What llm.c's files begin with, and the ids behind the header; of size 0: they are no text. */
static const struct {
    uint32_t begins, version;
    int size;
} llmc_files[] = {{20240520, 1, 2}, {20240801, 7, 4}, {20240522, 1, 0}};
enum { LLMC_FILES = sizeof llmc_files / sizeof *llmc_files, LLMC_HEADER = 1024 };

static int find_llmc(uint32_t begins)
{
    int found = LLMC_FILES;
    for (int i = 0; i < LLMC_FILES; i++) {
        found = llmc_files[i].begins == begins ? i : found;
    }
    return found;
}

bool mt_ids_is_llmc(const mt_ids_head *head)
{
    const int word = 4;
    uint32_t begins = head->size >= (size_t)word ? mt_ids_word(head->bytes) : 0;
    return find_llmc(begins) < LLMC_FILES || find_llmc(__builtin_bswap32(begins)) < LLMC_FILES;
}

mt_status mt_ids_open_llmc(mt_ids_file *file, const mt_ids_head *head)
{
    int kind = find_llmc(mt_ids_word(head->bytes));
    uint32_t version = mt_ids_word(head->bytes + 4), count = mt_ids_word(head->bytes + 8);
    if (kind == LLMC_FILES) {
        return mt_fail(MT_ERROR_FORMAT, "%s: a file of llm.c in the other byte order", file->path);
    }
    if (llmc_files[kind].size == 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: llm.c's questions with choices, not a text's ids",
                       file->path);
    }
    if (head->size < LLMC_HEADER) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: %zu bytes, where the header of llm.c has %d: it was cut", file->path,
                       head->size, LLMC_HEADER);
    }
    if (version != llmc_files[kind].version) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: version %" PRIu32 " of llm.c's file %" PRIu32
                       ", of which version %" PRIu32 " is known",
                       file->path, version, llmc_files[kind].begins, llmc_files[kind].version);
    }
    if ((int32_t)count < 0) {
        return mt_fail(MT_ERROR_FORMAT, "%s: %" PRId32 " ids, as its header says", file->path,
                       (int32_t)count);
    }
    file->offset = LLMC_HEADER;
    file->type = (mt_ids_type){llmc_files[kind].size, false, false};
    mt_status status = mt_ids_expect(file, (int64_t)count);
    mt_ids_without_borders(file);
    return status;
}
