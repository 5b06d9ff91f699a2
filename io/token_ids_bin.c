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

/* Ids of 32 bits read as 16 would train without a complaint: every second one is the upper half of
 * the one before, which is next to nothing. */
static mt_status refuse_wide(const mt_ids_file *file)
{
    enum { PAIRS = 256, LEAST = 16, UPPER_HALF = 4 };
    unsigned char bytes[4 * PAIRS];
    size_t pairs = file->bytes / 4 < PAIRS ? (size_t)(file->bytes / 4) : PAIRS;
    bool upper = pairs >= LEAST && file->bytes % 4 == 0, lower = false;
    mt_status status = mt_ids_read_bytes(file->path, file->descriptor, 0, bytes, 4 * pairs);
    for (size_t i = 0; i < pairs && status == MT_OK; i++) {
        uint32_t pair = mt_ids_word(bytes + 4 * i);
        upper = upper && pair >> 16 < UPPER_HALF;
        lower = lower || (pair & 0xFFFF) >= UPPER_HALF;
    }
    return status != MT_OK || !upper || !lower
               ? status
               : mt_fail(MT_ERROR_FORMAT,
                         "%s: every second id of 16 bits is below %d, as where ids have 32 (say "
                         "--ids-type uint32, or uint16 if they are that)",
                         file->path, UPPER_HALF);
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
    mt_status status = raw == MT_IDS_UNSAID ? refuse_wide(file) : MT_OK;
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
    file->offset = LLMC_HEADER;
    file->type = (mt_ids_type){llmc_files[kind].size, false, false};
    mt_status status = mt_ids_expect(file, (int64_t)count);
    mt_ids_without_borders(file);
    return status;
}
