/* Token ids in the files of other programs: what they are, their documents, and what is refused. */
#include "io/token_ids.h"
#include "tests/io/io_test.h"

#include <fcntl.h>
#include <hdf5.h>
#include <inttypes.h>
#include <sys/resource.h>

#define LLMC_HEADER(magic, version, count) [0] = (magic), [1] = (version), [2] = (count)

static mt_status open_one(const char *path, mt_ids_raw raw, mt_token_ids **ids)
{
    return mt_token_ids_open(&path, 1, raw, ids);
}

/* Opens one file, which is not what it should be. */
static mt_status refuse(const char *path)
{
    mt_token_ids *ids;
    mt_status status = open_one(path, MT_IDS_UNSAID, &ids);
    ck_assert_ptr_null(ids);
    return status;
}

static mt_token_ids *open_well(const char *path, mt_ids_raw raw)
{
    mt_token_ids *ids;
    ASSERT_OK(open_one(path, raw, &ids));
    return ids;
}

/* The ids are these, in documents of these lengths, of which -1 ends the list. */
static void check_ids(mt_token_ids *ids, int64_t count, const int32_t *wanted,
                      const int64_t *lengths)
{
    int32_t values[64];
    int64_t first = 0, documents = 0;
    ck_assert_int_eq(mt_token_ids_count(ids), count);
    for (; lengths[documents] >= 0; documents++) {
        mt_ids_span document = mt_token_ids_document(ids, documents);
        ck_assert_int_eq(document.first, first);
        ck_assert_int_eq(document.count, lengths[documents]);
        ASSERT_OK(mt_token_ids_read(ids, first, document.count, MT_IDS_MOST, values));
        ck_assert_mem_eq(values, wanted + first, (size_t)document.count * sizeof *values);
        for (int64_t i = 0; i < document.count; i++) {
            ck_assert_int_eq(mt_token_ids_find(ids, first + i), documents);
        }
        first += document.count;
    }
    ck_assert_int_eq(mt_token_ids_documents(ids), documents);
    ck_assert_int_eq(first, count);
}

/* The same, of one file, which is closed again. */
static void check_file(const char *path, mt_ids_raw raw, int64_t count, const int32_t *wanted,
                       const int64_t *lengths)
{
    mt_token_ids *ids = open_well(path, raw);
    check_ids(ids, count, wanted, lengths);
    mt_token_ids_close(ids);
}

#define DOCUMENTS(...)                                                                             \
    (const int64_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__, -1                                                                            \
    }

/* An .npy of version 1 with this dictionary and these bytes behind it. */
static const char *write_npy(const char *name, const char *dictionary, const void *bytes,
                             size_t size)
{
    char content[1024] = "\x93NUMPY\x01";
    size_t length = strlen(dictionary);
    ck_assert_uint_le(10 + length + size, sizeof content);
    content[8] = (char)(length & 0xFF);
    content[9] = (char)(length >> 8);
    memcpy(content + 10, dictionary, length);
    memcpy(content + 10 + length, bytes, size);
    return write_bytes(name, content, 10 + length + size);
}

static const int32_t six[] = {5, 0, 7, 50276, 2, 1};

START_TEST(test_arrays_of_numpy_are_read)
{
    const uint16_t ids[] = {5, 0, 7, 50276, 2, 1};
    check_file(write_npy("a.npy", "{'descr': '<u2', 'fortran_order': False, 'shape': (6,), }  \n",
                         ids, sizeof ids),
               MT_IDS_UNSAID, 6, six, DOCUMENTS(6));
    check_file(write_npy("rows.npy",
                         "{\"shape\":(2L, 3L), 'descr':'=u2' ,'fortran_order' :False}\n", ids,
                         sizeof ids),
               MT_IDS_UNSAID, 6, six, DOCUMENTS(3, 3));
    mt_token_ids *rows = open_well(in_folder("rows.npy"), MT_IDS_UNSAID);
    ck_assert(mt_token_ids_document(rows, 1).whole);
    mt_token_ids_close(rows);
    check_file(write_npy("f.npy", "{'descr': '<u2', 'fortran_order': True, 'shape': (6,)}", ids,
                         sizeof ids),
               MT_IDS_UNSAID, 6, six, DOCUMENTS(6));
    check_file(write_npy("deep.npy",
                         "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 1, 2), }\n", ids,
                         sizeof ids),
               MT_IDS_UNSAID, 6, six, DOCUMENTS(2, 2, 2));
}
END_TEST

START_TEST(test_headers_of_every_version_are_read)
{
    static const char header[] = "{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}";
    for (char version = 2; version <= 3; version++) {
        unsigned char content[12 + sizeof header - 1 + 8] = "\x93NUMPY";
        const int32_t ids[] = {70000, 1};
        content[6] = (unsigned char)version;
        content[8] = sizeof header - 1;
        memcpy(content + 12, header, sizeof header - 1);
        memcpy(content + sizeof content - 8, ids, 8);
        check_file(write_bytes("a.npy", content, sizeof content), MT_IDS_UNSAID, 2, ids,
                   DOCUMENTS(2));
    }
    ASSERT_FAILS(refuse(write_bytes("b.npy", "\x93NUMPY\4\0aaaaaaaaaaaa", 20)), MT_ERROR_FORMAT,
                 "b.npy: version 4");
}
END_TEST

START_TEST(test_every_type_and_byte_order_of_numpy_is_read)
{
    static const struct {
        const char *type;
        size_t size;
        const unsigned char bytes[16];
    } cases[] = {
        {"|u1", 2, {200, 3}},
        {"|i1", 2, {100, 3}},
        {"<u2", 4, {200, 1, 3, 0}},
        {">u2", 4, {1, 200, 0, 3}},
        {"<i2", 4, {200, 1, 3, 0}},
        {">i2", 4, {1, 200, 0, 3}},
        {"<u4", 8, {200, 1, 2, 0, 3, 0, 0, 0}},
        {">u4", 8, {0, 2, 1, 200, 0, 0, 0, 3}},
        {"<i4", 8, {200, 1, 2, 0, 3, 0, 0, 0}},
        {">i4", 8, {0, 2, 1, 200, 0, 0, 0, 3}},
        {"<u8", 16, {200, 1, 2, 0, 0, 0, 0, 0, 3}},
        {">i8", 16, {0, 0, 0, 0, 0, 2, 1, 200, 0, 0, 0, 0, 0, 0, 0, 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[80];
        size_t width = cases[i].size / 2;
        int32_t first = cases[i].type[1] == 'i' && width == 1 ? 100
                        : width == 1                          ? 200
                        : width == 2                          ? 456
                                                              : 131528;
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (2,)}",
                 cases[i].type);
        check_file(write_npy("a.npy", header, cases[i].bytes, cases[i].size), MT_IDS_UNSAID, 2,
                   (const int32_t[]){first, 3}, DOCUMENTS(2));
    }
}
END_TEST

START_TEST(test_arrays_that_are_no_ids_are_refused)
{
    static const struct {
        const char *header, *says;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "its type is <f4"},
        {"{'descr': '|b1', 'fortran_order': False, 'shape': (12,)}", "its type is |b1"},
        {"{'descr': '<i3', 'fortran_order': False, 'shape': (4,)}", "its type is <i3"},
        {"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (3,)}", "[('a', '<i4')]"},
        {"{'descr': '<u2', 'fortran_order': True, 'shape': (2, 3)}", "fortran_order"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': ()}", "one number"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (0,)}", "it holds no ids"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (7,)}",
         "7 ids of 2 bytes, in 12 bytes behind its header: it was cut"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (5,)}", "there is more"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
         "not understood at: 'shape': (4294967296, 4294967296)}"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (18446744073709551622,)}",
         "understood at: 'shape': (18446744073709551622,)}"},
        {"{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}",
         "1 ids of 8 bytes, in 12 bytes behind its header: there is more"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (-6,)}",
         "not understood at: 'shape': (-6,)"},
        {"{'descr': '<u2', 'fortran_order': False}", "its header has no 'shape'"},
        {"{'descr': '<u2', 'shape': (6,)}", "its header has no 'fortran_order'"},
        {"{'shape': (6,)}", "its header has no 'descr'"},
        {"{'descr': '<u2, 'fortran_order': False, 'shape': (6,)}", "not understood at: "},
        {"no dictionary", "not understood at: no dictionary"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ASSERT_FAILS(refuse(write_npy("a.npy", cases[i].header, "123456789012", 12)),
                     MT_ERROR_FORMAT, "a.npy: ", cases[i].says);
    }
    ASSERT_FAILS(refuse(write_bytes("b.npy", "\x93NUMPY\1\0\xFF\0 {", 12)), MT_ERROR_FORMAT,
                 "b.npy: version 0");
    ASSERT_FAILS(refuse(write_bytes("b.npy", "\x93NUMPY\1\0\6\0 {   }", 15)), MT_ERROR_FORMAT,
                 "b.npy: a header of 6 bytes in a file of 15 (");
    ASSERT_FAILS(refuse(write_bytes("b.npy", "\x93NUMPY\1\0\0\0 {   }", 16)), MT_ERROR_FORMAT,
                 "b.npy: a header of 0 bytes in a file of 16 (");
    static char long_one[(1 << 16) + 32] = "\x93NUMPY\2\0\1\0\1\0";
    ASSERT_FAILS(refuse(write_bytes("b.npy", long_one, sizeof long_one)), MT_ERROR_FORMAT,
                 "b.npy: a header of 65537 bytes");
    ASSERT_FAILS(refuse(write_bytes("c.npz", "PK\3\4", 4)), MT_ERROR_FORMAT, "archive of arrays");
}
END_TEST

START_TEST(test_integers_alone_are_as_wide_as_they_are_said_to_be)
{
    const uint16_t narrow[] = {5, 0, 7, 50276, 2, 1};
    check_file(write_bytes("a.bin", narrow, sizeof narrow), MT_IDS_UNSAID, 6, six, DOCUMENTS(6));
    check_file(write_bytes("other", narrow, sizeof narrow), MT_IDS_UINT16, 6, six, DOCUMENTS(6));
    check_file(write_bytes("b.bin", six, sizeof six), MT_IDS_UINT32, 6, six, DOCUMENTS(6));
    check_file(write_bytes("b.bin", six, sizeof six), MT_IDS_INT32, 6, six, DOCUMENTS(6));
    const int64_t wide[] = {5, 0, 7, 50276, 2, 1};
    check_file(write_bytes("c.bin", wide, sizeof wide), MT_IDS_INT64, 6, six, DOCUMENTS(6));
    ASSERT_FAILS(refuse(write_bytes("d.bin", "abc", 3)), MT_ERROR_FORMAT,
                 "d.bin: 3 bytes are no whole number of ids of 2 bytes");
    ASSERT_FAILS(refuse(write_bytes("e.ids", narrow, sizeof narrow)), MT_ERROR_FORMAT,
                 "e.ids: not token ids that are known", "--ids-type");
}
END_TEST

START_TEST(test_ids_of_64_bits_are_not_taken_for_fewer)
{
    int64_t wide[100];
    for (int64_t i = 0; i < 100; i++) {
        wide[i] = 700 * i;
    }
    const char *path = write_bytes("a.bin", wide, sizeof wide);
    ASSERT_FAILS(refuse(path), MT_ERROR_FORMAT, "a.bin: three of four ids of 16 bits are below 4",
                 "--ids-type int64");
    const mt_ids_raw narrow[] = {MT_IDS_UINT32, MT_IDS_INT32};
    mt_token_ids *ids;
    for (int i = 0; i < 2; i++) {
        ASSERT_FAILS(mt_token_ids_open(&path, 1, narrow[i], &ids), MT_ERROR_FORMAT,
                     "a.bin: every second id of 32 bits is 0", "--ids-type int64");
    }
    ids = open_well(path, MT_IDS_INT64);
    ck_assert_int_eq(mt_token_ids_count(ids), 100);
    mt_token_ids_close(ids);
    /* Ids of 32 bits of which one more is not 0, and too few to tell. */
    uint32_t some[200] = {[1] = 1};
    for (uint32_t i = 0; i < 200; i += 2) {
        some[i] = i;
    }
    ids = open_well(write_bytes("b.bin", some, sizeof some), MT_IDS_UINT32);
    ck_assert_int_eq(mt_token_ids_count(ids), 200);
    mt_token_ids_close(ids);
    ids = open_well(write_bytes("c.bin", wide, 7 * 8), MT_IDS_UINT32);
    ck_assert_int_eq(mt_token_ids_count(ids), 14);
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_ids_of_32_bits_are_not_taken_for_16)
{
    uint32_t wide[100];
    for (uint32_t i = 0; i < 100; i++) {
        wide[i] = 700 * i;
    }
    ASSERT_FAILS(refuse(write_bytes("a.bin", wide, sizeof wide)), MT_ERROR_FORMAT,
                 "--ids-type uint32");
    mt_token_ids *ids = open_well(in_folder("a.bin"), MT_IDS_UINT16);
    ck_assert_int_eq(mt_token_ids_count(ids), 200);
    mt_token_ids_close(ids);
    /* Too few to tell, no whole number of them, and small ids that may be anything. */
    static const uint32_t small[100] = {[50] = 3};
    const struct {
        const uint32_t *ids;
        size_t bytes;
    } others[] = {{wide, 15 * 4}, {wide, 99 * 4 + 2}, {small, sizeof small}};
    for (int i = 0; i < 3; i++) {
        ids = open_well(write_bytes("b.bin", others[i].ids, others[i].bytes), MT_IDS_UNSAID);
        ck_assert_int_eq(mt_token_ids_count(ids), (int64_t)others[i].bytes / 2);
        mt_token_ids_close(ids);
    }
}
END_TEST

START_TEST(test_ids_that_are_said_to_have_16_bits_are_doubted_where_every_second_is_0)
{
    uint32_t wide[100];
    mt_token_ids *ids;
    for (uint32_t i = 0; i < 100; i++) {
        wide[i] = 600 * i;
    }
    const char *path = write_bytes("a.bin", wide, sizeof wide);
    ASSERT_FAILS(mt_token_ids_open(&path, 1, MT_IDS_UINT16, &ids), MT_ERROR_FORMAT,
                 "a.bin: every second id of 16 bits is 0", "--ids-type uint32");
}
END_TEST

START_TEST(test_ids_of_16_bits_are_not_taken_for_32)
{
    uint16_t narrow[100];
    mt_token_ids *ids;
    const mt_ids_raw wide[] = {MT_IDS_UINT32, MT_IDS_INT32};
    for (int i = 0; i < 100; i++) {
        narrow[i] = (uint16_t)(i * 7 % 50);
    }
    const char *path = write_bytes("a.bin", narrow, sizeof narrow);
    for (int i = 0; i < 2; i++) {
        ASSERT_FAILS(mt_token_ids_open(&path, 1, wide[i], &ids), MT_ERROR_FORMAT,
                     "a.bin: most ids of 32 bits are above 262143", "--ids-type uint16");
    }
    /* Half of them, and too few to tell. */
    uint32_t some[64];
    for (uint32_t i = 0; i < 64; i++) {
        some[i] = i % 2 == 0 ? 262143 : 262144;
    }
    ids = open_well(write_bytes("b.bin", some, sizeof some), MT_IDS_UINT32);
    ck_assert_int_eq(mt_token_ids_count(ids), 64);
    mt_token_ids_close(ids);
    ids = open_well(write_bytes("c.bin", narrow, 60), MT_IDS_UINT32);
    ck_assert_int_eq(mt_token_ids_count(ids), 15);
    mt_token_ids_close(ids);
}
END_TEST

/* Ids of a byte each, and of a vocabulary that needs the upper bytes too. */
START_TEST(test_ids_in_the_other_byte_order_are_refused)
{
    const int step[] = {7, 9, 601};
    const struct {
        int size;
        mt_ids_raw raw;
        const char *says;
    } cases[] = {{2, MT_IDS_UNSAID, "'>u2'"}, {4, MT_IDS_UNSAID, "'>u4'"},
                 {4, MT_IDS_UINT32, "'>u4'"}, {4, MT_IDS_UINT16, "'>u4'"},
                 {8, MT_IDS_UNSAID, "'>u8'"}, {8, MT_IDS_INT64, "'>u8'"},
                 {2, MT_IDS_UINT16, "'>u2'"}};
    for (int c = 0; c < 3 * (int)(sizeof cases / sizeof *cases); c++) {
        int size = cases[c / 3].size, narrow_steps = cases[c / 3].raw == MT_IDS_UNSAID ? 2 : 1;
        unsigned char bytes[100 * 8] = {0};
        if (size == 2 && c % 3 >= narrow_steps) {
            continue; /* ids of all of 16 bits look alike in both orders */
        }
        for (int i = 0; i < 100; i++) {
            int id = i * step[c % 3] % (c % 3 == 0 ? 256 : 65536);
            bytes[(i + 1) * size - 1] = (unsigned char)(id & 0xFF);
            bytes[(i + 1) * size - 2] = (unsigned char)(id >> 8);
        }
        const char *path = write_bytes("a.bin", bytes, (size_t)size * 100);
        mt_token_ids *ids;
        ASSERT_FAILS(mt_token_ids_open(&path, 1, cases[c / 3].raw, &ids), MT_ERROR_FORMAT,
                     "in the other byte order", cases[c / 3].says);
    }
}
END_TEST

START_TEST(test_ids_may_begin_as_a_pickle_does)
{
    uint16_t narrow[100] = {640};
    for (uint16_t i = 1; i < 100; i++) {
        narrow[i] = (uint16_t)(700 * i);
    }
    mt_token_ids *ids = open_well(write_bytes("a.bin", narrow, sizeof narrow), MT_IDS_UNSAID);
    ck_assert_int_eq(mt_token_ids_count(ids), 100);
    mt_token_ids_close(ids);
    narrow[99] = '.' << 8;
    ASSERT_FAILS(refuse(write_bytes("b.bin", narrow, sizeof narrow)), MT_ERROR_FORMAT,
                 "b.bin: not token ids, but a pickle");
    const char framed[] = "\x80\4\x95 some that is pickled.";
    ASSERT_FAILS(refuse(write_bytes("c.pkl", framed, sizeof framed - 1)), MT_ERROR_FORMAT,
                 "c.pkl: not token ids, but a pickle");
}
END_TEST

START_TEST(test_files_of_llmc_are_read)
{
    uint32_t file[256 + 6] = {LLMC_HEADER(20240801, 7, 6)};
    memcpy(file + 256, six, sizeof six);
    check_file(write_bytes("a.bin", file, sizeof file), MT_IDS_UNSAID, 6, six, DOCUMENTS(6));
    const uint16_t narrow[] = {5, 0, 7, 50276, 2, 1};
    uint32_t other[256 + 3] = {LLMC_HEADER(20240520, 1, 6)};
    memcpy(other + 256, narrow, sizeof narrow);
    check_file(write_bytes("b.bin", other, sizeof other), MT_IDS_UINT32, 6, six, DOCUMENTS(6));
}
END_TEST

START_TEST(test_damaged_files_of_llmc_are_refused)
{
    static const struct {
        uint32_t begins, version, count;
        size_t size;
        const char *says;
    } cases[] = {
        {20240520, 1, 6, 1024 + 11, "6 ids of 2 bytes, in 11 bytes behind its header: it was cut"},
        {20240520, 1, 5, 1024 + 12, "5 ids of 2 bytes, in 12 bytes behind its header"},
        {20240520, 1, 0, 1024, "it holds no ids"},
        {20240520, 1, (uint32_t)-400, 1024 + 12, "-400 ids, as its header says"},
        {20240520, 1, INT32_MAX, 1024 + 12, "2147483647 ids of 2 bytes, in 12 bytes"},
        {20240520, 2, 6, 1024 + 12, "version 2 of llm.c's file 20240520"},
        {20240520, 1, 6, 1000, "1000 bytes, where the header of llm.c has 1024"},
        {20240522, 1, 6, 1024 + 12, "questions"},
        {__builtin_bswap32(20240520), 0x01000000, 6, 1024 + 12, "the other byte order"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t file[256 + 3] = {LLMC_HEADER(cases[i].begins, cases[i].version, cases[i].count)};
        ASSERT_FAILS(refuse(write_bytes("a.bin", file, cases[i].size)), MT_ERROR_FORMAT,
                     "a.bin: ", cases[i].says);
    }
}
END_TEST

/* ---- an index of Megatron ---- */

enum { MOST_SEQUENCES = 8 };

typedef struct index_content {
    const char *begins;
    uint64_t version;
    unsigned char type;
    uint64_t sequences, borders;
    int32_t lengths[MOST_SEQUENCES];
    int64_t places[MOST_SEQUENCES], documents[MOST_SEQUENCES];
    int64_t less; /* bytes that are cut off; negative: that are added */
} index_content;

/* Three documents: of two sequences, of none, and of one. */
static index_content some_index(void)
{
    return (index_content){.begins = "MMIDIDX\0",
                           .version = 1,
                           .type = 8,
                           .sequences = 3,
                           .borders = 4,
                           .lengths = {2, 1, 3},
                           .places = {0, 4, 6},
                           .documents = {0, 2, 2, 3}};
}

static size_t put(char *to, size_t at, const void *bytes, size_t size)
{
    memcpy(to + at, bytes, size);
    return at + size;
}

/* ids.idx beside ids.bin of six ids. */
static const char *write_index(const index_content *index)
{
    static const uint16_t narrow[] = {5, 0, 7, 50276, 2, 1};
    char content[512] = "";
    size_t at = put(content, 0, index->begins, 9);
    at = put(content, at, &index->version, 8);
    at = put(content, at, &index->type, 1);
    at = put(content, at, &index->sequences, 8);
    at = put(content, at, &index->borders, 8);
    size_t sequences = index->sequences < MOST_SEQUENCES ? (size_t)index->sequences : 3;
    size_t borders = index->borders < MOST_SEQUENCES ? (size_t)index->borders : 4;
    at = put(content, at, index->lengths, 4 * sequences);
    at = put(content, at, index->places, 8 * sequences);
    at = put(content, at, index->documents, 8 * borders);
    write_bytes("ids.bin", narrow, sizeof narrow);
    return write_bytes("ids.idx", content, (size_t)((int64_t)at - index->less));
}

START_TEST(test_an_index_has_the_documents_by_each_of_its_names)
{
    index_content index = some_index();
    write_index(&index);
    static const char *const names[] = {"ids.idx", "ids.bin", "ids"};
    for (int i = 0; i < 3; i++) {
        check_file(in_folder(names[i]), MT_IDS_UNSAID, 6, six, DOCUMENTS(3, 0, 3));
    }
    mt_token_ids *ids = open_well(in_folder("ids"), MT_IDS_UNSAID);
    ck_assert(mt_token_ids_document(ids, 0).whole);
    ck_assert_str_eq(mt_token_ids_file(ids, 0), in_folder("ids.bin"));
    ck_assert_str_eq(mt_token_ids_file(ids, 1), in_folder("ids.idx"));
    ck_assert_ptr_null(mt_token_ids_file(ids, 2));
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_an_index_and_its_ids_are_one_in_either_order)
{
    index_content index = some_index();
    write_index(&index);
    const char *const paths[] = {in_folder("ids.idx"), in_folder("ids.bin"), in_folder("ids.idx"),
                                 in_folder("ids.bin")};
    mt_token_ids *ids;
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(mt_token_ids_open(paths + i, 2, MT_IDS_UNSAID, &ids));
        check_ids(ids, 6, six, DOCUMENTS(3, 0, 3));
        mt_token_ids_close(ids);
        ASSERT_FAILS(mt_token_ids_open(paths + i, 3, MT_IDS_UNSAID, &ids), MT_ERROR_INVALID,
                     i == 0 ? "ids.idx: it is named twice" : "ids.bin: it is named twice");
    }
}
END_TEST

START_TEST(test_an_index_of_other_media_too_is_read)
{
    index_content index = some_index();
    index.less = -3;
    check_file(write_index(&index), MT_IDS_UNSAID, 6, six, DOCUMENTS(3, 0, 3));
    index.less = -2;
    ASSERT_FAILS(refuse(write_index(&index)), MT_ERROR_FORMAT, "in an index of 104 bytes");
}
END_TEST

/* Refuses an index that was changed, with a message that says so. */
static void refuse_index(const index_content *index, const char *says)
{
    ASSERT_FAILS(refuse(write_index(index)), MT_ERROR_FORMAT, "ids.idx: ", says);
}

#define REFUSE_WITH(field, value, says)                                                            \
    do {                                                                                           \
        index_content changed_ = some_index();                                                     \
        changed_.field = (value);                                                                  \
        refuse_index(&changed_, says);                                                             \
    } while (0)

START_TEST(test_an_index_that_lies_is_refused)
{
    REFUSE_WITH(begins, "TNTIDX\0\0", "TNTIDX");
    REFUSE_WITH(begins, "MMIDIDY\0", "not an index");
    REFUSE_WITH(version, 2, "version 2");
    REFUSE_WITH(version, UINT64_C(1) << 56, "the other byte order");
    REFUSE_WITH(type, 6, "type 6 of its ids is a float");
    REFUSE_WITH(type, 7, "type 7 of its ids is a float");
    REFUSE_WITH(type, 0, "type 0 of its ids is not known");
    REFUSE_WITH(type, 9, "type 9 of its ids is not known");
    REFUSE_WITH(type, 4, "sequence 1 is at byte 4 of the .bin, where the ones before it end at 8");
    REFUSE_WITH(sequences, UINT64_MAX, "18446744073709551615 sequences");
    REFUSE_WITH(borders, UINT64_MAX / 8, "borders of documents, in an index of 102 bytes");
    REFUSE_WITH(borders, 1, "it has no documents");
    REFUSE_WITH(less, 1, "3 sequences and 4 borders of documents, in an index of 101 bytes");
    REFUSE_WITH(less, 80, "22 bytes, where the header has 34");
    REFUSE_WITH(lengths[1], 2, "sequence 2 is at byte 6 of the .bin, where the ones before it");
    REFUSE_WITH(lengths[1], -1, "sequence 1 has -1 ids");
    REFUSE_WITH(lengths[2], 4, "sequence 2 has 4 ids from byte 6 on, in a .bin of 12 bytes");
    REFUSE_WITH(lengths[2], INT32_MAX, "sequence 2 has 2147483647 ids");
    REFUSE_WITH(lengths[2], 2, "its sequences are 10 bytes, and ");
    REFUSE_WITH(places[1], 2, "sequence 1 is at byte 2");
    REFUSE_WITH(places[2], INT64_MAX, "sequence 2 is at byte 9223372036854775807");
    REFUSE_WITH(documents[1], 4, "border 1 of its documents is sequence 4, after 0 and of 3");
    REFUSE_WITH(documents[2], 1, "border 2 of its documents is sequence 1, after 2");
    REFUSE_WITH(documents[2], -1, "border 2 of its documents is sequence -1");
    REFUSE_WITH(documents[0], 1, "its documents are sequences 1 to 3 of 3");
    REFUSE_WITH(documents[3], 2, "its documents are sequences 0 to 2 of 3");
}
END_TEST

START_TEST(test_an_index_without_its_ids_is_refused)
{
    index_content index = some_index();
    const char *path = write_index(&index);
    ck_assert_int_eq(remove(in_folder("ids.bin")), 0);
    ASSERT_FAILS(refuse(path), MT_ERROR_IO, "ids.bin: No such file");
    write_bytes("ids.bin", "", 0);
    ASSERT_FAILS(refuse(path), MT_ERROR_FORMAT, "ids.bin: the file is empty");
    ASSERT_FAILS(refuse(in_folder("nothing")), MT_ERROR_IO, "nothing: No such file");
}
END_TEST

/* ---- HDF5 ---- */

static void write_dataset(hid_t file, const char *name, hid_t type, int rank, const hsize_t *shape,
                          const void *values)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE), space = H5Screate_simple(rank, shape, NULL);
    H5Pset_create_intermediate_group(links, 1);
    hid_t made = H5Dcreate2(file, name, type, space, links, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(H5Dwrite(made, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
    H5Dclose(made);
    H5Sclose(space);
    H5Pclose(links);
}

static const int64_t wide_six[] = {5, 0, 7, 50276, 2, 1};

static const char *write_hdf5(const char *name)
{
    const char *path = in_folder(name);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    write_dataset(file, "/ids", H5T_STD_U16BE, 1, (const hsize_t[]){6}, wide_six);
    write_dataset(file, "/scores", H5T_IEEE_F32LE, 1, (const hsize_t[]){6}, wide_six);
    write_dataset(file, "/deep/rows", H5T_STD_I64LE, 2, (const hsize_t[]){2, 3}, wide_six);
    write_dataset(file, "/deep/er/cube", H5T_STD_I64LE, 3, (const hsize_t[]){1, 2, 3}, wide_six);
    ck_assert_int_ge(H5Fclose(file), 0);
    return path;
}

/* "FILE:/PATH" */
static const char *of_file(const char *path, const char *object)
{
    static char text[256];
    snprintf(text, sizeof text, "%s:%s", path, object);
    return text;
}

START_TEST(test_datasets_of_integers_are_read)
{
    const char *path = write_hdf5("a.h5");
    check_file(path, MT_IDS_UNSAID, 6, six, DOCUMENTS(6));
    check_file(of_file(path, "/ids"), MT_IDS_UNSAID, 6, six, DOCUMENTS(6));
    check_file(of_file(path, "/deep/rows"), MT_IDS_UNSAID, 6, six, DOCUMENTS(3, 3));
    check_file(write_hdf5("b"), MT_IDS_UNSAID, 6, six, DOCUMENTS(6));
    mt_token_ids *rows = open_well(of_file(path, "/deep/rows"), MT_IDS_UNSAID);
    ck_assert(mt_token_ids_document(rows, 1).whole);
    mt_token_ids_close(rows);
}
END_TEST

START_TEST(test_parts_of_rows_are_read)
{
    int32_t values[2];
    mt_token_ids *ids = open_well(of_file(write_hdf5("a.h5"), "/deep/rows"), MT_IDS_UNSAID);
    ASSERT_OK(mt_token_ids_read(ids, 4, 2, 50277, values));
    ck_assert_int_eq(values[0], 2);
    ck_assert_int_eq(values[1], 1);
    ASSERT_FAILS(mt_token_ids_read(ids, 3, 2, 50276, values), MT_ERROR_FORMAT,
                 "a.h5: id 3 is 50276, not in 0 .. 50275");
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_datasets_that_are_no_ids_are_refused)
{
    const char *path = write_hdf5("a.h5");
    ASSERT_FAILS(refuse(of_file(path, "/scores")), MT_ERROR_FORMAT,
                 "scores: floats of 1 dimensions");
    ASSERT_FAILS(refuse(of_file(path, "/deep/er/cube")), MT_ERROR_FORMAT,
                 "cube: integers of 3 dimensions");
    ASSERT_FAILS(refuse(of_file(path, "/none")), MT_ERROR_FORMAT, "none: missing");
    ASSERT_FAILS(refuse(of_file(path, "/deep")), MT_ERROR_FORMAT, "deep: ");
    ASSERT_FAILS(refuse(of_file(path, "/")), MT_ERROR_FORMAT, "a.h5:/: this names no dataset");
    ASSERT_FAILS(refuse(of_file(path, "/deep/")), MT_ERROR_FORMAT, "a.h5:/deep/: this names no");
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    write_dataset(file, "/more", H5T_STD_I8LE, 1, (const hsize_t[]){6}, wide_six);
    H5Fclose(file);
    char first[256];
    snprintf(first, sizeof first, "%s:/ids", path);
    mt_token_ids *both;
    ASSERT_OK(mt_token_ids_open((const char *const[]){first, of_file(path, "/more")}, 2,
                                MT_IDS_UNSAID, &both));
    mt_token_ids_close(both);
    ASSERT_FAILS(refuse(of_file(write_text("c.npy", "no HDF5"), "/ids")), MT_ERROR_FORMAT,
                 "c.npy: not an HDF5 file");
    ASSERT_FAILS(refuse(path), MT_ERROR_FORMAT, "2 datasets of integers in its root", "a.h5:/PATH");
    ASSERT_FAILS(refuse(write_text("b.h5", "no HDF5")), MT_ERROR_FORMAT, "b.h5: not an HDF5 file");
}
END_TEST

START_TEST(test_why_a_dataset_of_ids_cannot_be_read_is_told)
{
    const char *path = in_folder("a.h5");
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, (const hsize_t[]){6}, NULL);
    hid_t filtered = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(filtered, 1, (const hsize_t[]){6});
    H5Pset_shuffle(filtered);
    H5Dclose(H5Dcreate2(file, "/ids", H5T_STD_U16LE, space, H5P_DEFAULT, filtered, H5P_DEFAULT));
    H5Pclose(filtered);
    H5Sclose(space);
    ck_assert_int_ge(H5Fclose(file), 0);
    ASSERT_FAILS(refuse(path), MT_ERROR_FORMAT, "a.h5: ids: filter 2 (shuffle)",
                 "no other dataset");
}
END_TEST

/* ---- several ---- */

START_TEST(test_files_of_every_kind_make_one_row)
{
    index_content index = some_index();
    write_index(&index);
    mkdir(in_folder("folder"), 0777);
    const uint16_t narrow[] = {8, 9};
    write_bytes("folder/b.bin", narrow, sizeof narrow);
    write_npy("folder/a.npy", "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 1)}", narrow,
              sizeof narrow);
    const char *const paths[] = {in_folder("ids.bin"), in_folder("folder/a.npy"),
                                 in_folder("folder/b.bin"), in_folder("ids.idx"),
                                 write_hdf5("a.h5")};
    const int32_t all[] = {5, 0, 7, 50276, 2, 1, 8, 9, 8, 9, 5, 0, 7, 50276, 2, 1};
    mt_token_ids *ids;
    ASSERT_OK(mt_token_ids_open(paths, 5, MT_IDS_UNSAID, &ids));
    check_ids(ids, 16, all, DOCUMENTS(3, 0, 3, 1, 1, 2, 6));
    ck_assert(!mt_token_ids_document(ids, 5).whole);
    int64_t largest;
    ASSERT_OK(mt_token_ids_largest(ids, &largest));
    ck_assert_int_eq(largest, 50276);
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_many_files_need_few_open_ones)
{
    enum { FILES = 200 };
    static char paths[FILES][128];
    const char *names[FILES];
    int32_t wanted[FILES], values[FILES];
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "%03d.bin", i);
        uint16_t id = (uint16_t)(1000 + i);
        strcpy(paths[i], write_bytes(name, &id, sizeof id));
        names[i] = paths[i];
        wanted[i] = id;
    }
    mt_token_ids *ids;
    ASSERT_OK(mt_token_ids_open(names, FILES, MT_IDS_UNSAID, &ids));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < FILES; i++) {
            ASSERT_OK(mt_token_ids_read(ids, i, 1, 5000, values + i));
        }
        ck_assert_mem_eq(values, wanted, sizeof wanted);
    }
    int free_one = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_lt(free_one, 80);
    close(free_one);
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_what_is_no_file_of_ids_is_refused)
{
    mkdir(in_folder("folder"), 0777);
    ASSERT_FAILS(refuse(in_folder("folder")), MT_ERROR_IO, "folder: not a regular file");
    ck_assert_int_eq(mkfifo(in_folder("pipe.bin"), 0600), 0);
    ASSERT_FAILS(refuse(in_folder("pipe.bin")), MT_ERROR_IO, "pipe.bin: not a regular file");
    ASSERT_FAILS(refuse(write_bytes("empty.npy", "", 0)), MT_ERROR_FORMAT, "the file is empty");
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"
                                  "size 12345678901\n";
    ASSERT_FAILS(refuse(write_text("lfs.bin", pointer)), MT_ERROR_FORMAT,
                 "lfs.bin: not token ids, but a pointer of Git LFS");
    ASSERT_FAILS(refuse(write_text("lfs.npy", pointer)), MT_ERROR_FORMAT, "a pointer of Git LFS");
    ASSERT_FAILS(refuse(write_text("a.txt", "some text")), MT_ERROR_FORMAT, "token ids, but text",
                 "mixtape tokenize");
    ASSERT_FAILS(refuse(write_text("a.jsonl", "{\"text\": \"some\"}\n")), MT_ERROR_FORMAT,
                 "token ids, but JSON", "mixtape tokenize");
    ASSERT_FAILS(refuse(write_bytes("a.arrow", "\xFF\xFF\xFF\xFF\x10\1\0\0", 8)), MT_ERROR_FORMAT,
                 "token ids, but an Arrow file", "numpy.save");
    ASSERT_FAILS(refuse(write_text("a.parquet", "PAR1\x15\4")), MT_ERROR_FORMAT,
                 "token ids, but a Parquet file", "numpy.save");
    const char *twice[] = {write_text("t.bin", "ab"), in_folder("t.bin"), NULL};
    mt_token_ids *ids;
    ASSERT_FAILS(mt_token_ids_open(twice, 2, MT_IDS_UNSAID, &ids), MT_ERROR_INVALID,
                 "t.bin: it is named twice");
    ck_assert_int_eq(link(twice[0], in_folder("other.bin")), 0);
    twice[1] = in_folder("other.bin");
    ASSERT_FAILS(mt_token_ids_open(twice, 2, MT_IDS_UNSAID, &ids), MT_ERROR_INVALID,
                 "other.bin: it is named twice");
    ASSERT_FAILS(mt_token_ids_open(twice, 0, MT_IDS_UNSAID, &ids), MT_ERROR_INVALID, "no files");
}
END_TEST

START_TEST(test_files_of_ids_are_told_by_their_names)
{
    index_content index = some_index();
    const char *path = write_index(&index);
    ck_assert(mt_token_ids_are_in(in_folder("ids.bin")) && mt_token_ids_are_in("a.NPY"));
    ck_assert(!mt_token_ids_are_in("a.txt") && !mt_token_ids_are_in(path));
    ck_assert_int_eq(remove(in_folder("ids.bin")), 0);
    ck_assert(mt_token_ids_are_in(path));
}
END_TEST

START_TEST(test_wrong_ids_are_told_with_their_place)
{
    int32_t values[4];
    int64_t largest;
    const int64_t wrong[] = {3, -7, INT64_C(1) << 40, 1};
    mt_token_ids *ids = open_well(write_bytes("a.bin", wrong, sizeof wrong), MT_IDS_INT64);
    ASSERT_OK(mt_token_ids_read(ids, 3, 1, 4, values));
    ASSERT_FAILS(mt_token_ids_read(ids, 0, 1, 3, values), MT_ERROR_FORMAT,
                 "a.bin: id 0 is 3, not in 0 .. 2 (if it is of the right --ids-type)");
    ASSERT_FAILS(mt_token_ids_read(ids, 0, 3, 4, values), MT_ERROR_FORMAT,
                 "a.bin: id 1 is -7, not in 0 .. 3");
    ASSERT_FAILS(mt_token_ids_read(ids, 2, 1, 4, values), MT_ERROR_FORMAT,
                 "a.bin: id 2 is 1099511627776");
    ASSERT_FAILS(mt_token_ids_largest(ids, &largest), MT_ERROR_FORMAT, "id 1 is -7");
    mt_token_ids_close(ids);
    const uint64_t beyond[] = {UINT64_MAX, 0};
    ids = open_well(write_npy("b.npy", "{'descr': '<u8', 'fortran_order': False, 'shape': (2,)}",
                              beyond, sizeof beyond),
                    MT_IDS_UNSAID);
    ASSERT_FAILS(mt_token_ids_largest(ids, &largest), MT_ERROR_FORMAT,
                 "id 0 is 18446744073709551615, not in");
    mt_token_ids_close(ids);
    const unsigned char swapped[16] = {[8] = 0x80, [15] = 5};
    ids = open_well(write_npy("b.npy", "{'descr': '>u8', 'fortran_order': False, 'shape': (2,)}",
                              swapped, sizeof swapped),
                    MT_IDS_UNSAID);
    ASSERT_FAILS(mt_token_ids_largest(ids, &largest), MT_ERROR_FORMAT,
                 "id 1 is 9223372036854775813, not in");
    mt_token_ids_close(ids);
}
END_TEST

/* The kilobytes of a file's map that the process holds; negative where it is not mapped. */
static long mapped_kilobytes(const char *path)
{
    char line[1024];
    long kilobytes = -1;
    bool is_it = false;
    FILE *maps = fopen("/proc/self/smaps", "re");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        is_it = is_it || strstr(line, path) != NULL;
        if (is_it && strncmp(line, "Rss:", 4) == 0) {
            kilobytes = strtol(line + 4, NULL, 10);
            is_it = false;
        }
    }
    fclose(maps);
    return kilobytes;
}

/* The bytes that the process has read by calls so far. */
static long long bytes_read(void)
{
    static const char name[] = "rchar: ";
    char line[64];
    FILE *counts = fopen("/proc/self/io", "re");
    ck_assert_ptr_nonnull(counts);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, counts));
    fclose(counts);
    ck_assert_int_eq(strncmp(line, name, strlen(name)), 0);
    return strtoll(line + strlen(name), NULL, 10);
}

START_TEST(test_ids_are_taken_from_a_map_whose_pages_are_given_back)
{
    enum { COUNT = 1 << 20 };
    uint16_t *ones = malloc(COUNT * sizeof *ones);
    int32_t *values = malloc(COUNT * sizeof *values);
    for (int i = 0; i < COUNT; i++) {
        ones[i] = (uint16_t)(1 + i % 7);
    }
    const char *path = write_bytes("a.bin", ones, COUNT * sizeof *ones);
    mt_token_ids *ids = open_well(path, MT_IDS_UINT16);
    long long before = bytes_read();
    ASSERT_OK(mt_token_ids_read(ids, 0, COUNT, 50277, values));
    ck_assert_int_lt(bytes_read() - before, COUNT / 4);
    ck_assert_int_eq(mapped_kilobytes(path), 0);
    ck_assert_int_eq(values[COUNT - 1], 1 + (COUNT - 1) % 7);
    mt_token_ids_close(ids);
    ck_assert_int_lt(mapped_kilobytes(path), 0);
    free(ones);
    free(values);
}
END_TEST

/* The limit is one that nothing else comes up to. */
START_TEST(test_ids_are_read_where_address_space_is_limited)
{
    struct rlimit before, limit;
    int32_t values[6];
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    limit = (struct rlimit){.rlim_cur = (rlim_t)1 << 60, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    const char *path = write_bytes("a.bin", six, sizeof six);
    mt_token_ids *ids = open_well(path, MT_IDS_UINT32);
    ASSERT_OK(mt_token_ids_read(ids, 1, 5, 50277, values));
    ck_assert_int_eq(values[4], six[5]);
    ck_assert_int_lt(mapped_kilobytes(path), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_int_eq(truncate(path, 20), 0);
    ASSERT_FAILS(mt_token_ids_read(ids, 0, 6, 50277, values), MT_ERROR_IO,
                 "a.bin: it was cut to 20 bytes since it was opened, and byte 20 is needed");
    mt_token_ids_close(ids);
}
END_TEST

/* Beyond the end of a file its last page has zeros, and those behind it end the program. */
START_TEST(test_a_map_is_not_used_behind_the_end_of_its_file)
{
    enum { BYTES = 3 << 16 };
    unsigned char *bytes = malloc(BYTES);
    int32_t values[8];
    memset(bytes, 1, BYTES);
    mt_token_ids *ids = open_well(write_bytes("a.bin", bytes, BYTES), MT_IDS_UINT16);
    free(bytes);
    ASSERT_OK(mt_token_ids_read(ids, BYTES / 2 - 8, 8, 50277, values));
    ck_assert_int_eq(truncate(in_folder("a.bin"), (2 << 16) + 2), 0);
    ASSERT_FAILS(mt_token_ids_read(ids, BYTES / 2 - 8, 8, 50277, values), MT_ERROR_IO,
                 "and byte 196592 is needed");
    ASSERT_FAILS(
        mt_token_ids_read(ids, 1 << 16, 2, 50277, values), MT_ERROR_IO,
        "a.bin: it was cut to 131074 bytes since it was opened, and byte 131074 is needed");
    ASSERT_OK(mt_token_ids_read(ids, (1 << 16) - 7, 8, 50277, values));
    ck_assert_int_eq(values[7], 257);
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_a_file_that_shrinks_is_an_error)
{
    int32_t values[6];
    mt_token_ids *ids = open_well(write_bytes("a.bin", six, sizeof six), MT_IDS_UINT32);
    ASSERT_OK(mt_token_ids_read(ids, 0, 6, 50277, values)); /* and it stays open */
    ck_assert_int_eq(truncate(in_folder("a.bin"), 10), 0);
    ASSERT_FAILS(mt_token_ids_read(ids, 0, 6, 50277, values), MT_ERROR_IO,
                 "a.bin: it was cut to 10 bytes since it was opened");
    mt_token_ids_close(ids);
    ids = open_well(write_bytes("b.bin", six, sizeof six), MT_IDS_UINT32);
    ck_assert_int_eq(truncate(in_folder("b.bin"), 16), 0);
    ASSERT_FAILS(mt_token_ids_read(ids, 0, 2, 50277, values), MT_ERROR_IO,
                 "b.bin: 16 bytes, and 24 when it was first opened");
    mt_token_ids_close(ids);
    ids = open_well(write_bytes("c.bin", six, sizeof six), MT_IDS_UINT32);
    write_bytes("d.bin", six, sizeof six);
    char *from = strdup(in_folder("d.bin"));
    ck_assert_int_eq(rename(from, in_folder("c.bin")), 0);
    free(from);
    ASSERT_FAILS(mt_token_ids_read(ids, 0, 2, 50277, values), MT_ERROR_IO,
                 "c.bin: it is another file than when it was first opened");
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_positions_beyond_32_bits_are_read)
{
    const int64_t count = (INT64_C(1) << 32) + 5;
    const char *path = in_folder("large.bin");
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const uint16_t last[] = {3, 4};
    ck_assert_int_eq(ftruncate(file, (off_t)(2 * count)), 0); /* all of it a hole */
    ck_assert_int_eq(pwrite(file, last, sizeof last, (off_t)(2 * count - 4)), 4);
    close(file);
    int32_t values[3];
    mt_token_ids *ids = open_well(path, MT_IDS_UINT16);
    ck_assert_int_eq(mt_token_ids_count(ids), count);
    ASSERT_OK(mt_token_ids_read(ids, count - 3, 3, 5, values));
    ck_assert_mem_eq(values, ((const int32_t[]){0, 3, 4}), sizeof values);
    mt_token_ids_close(ids);
}
END_TEST

static Suite *token_ids_suite(void)
{
    return SUITE_WITH(
        "io/token_ids", io_setup, io_teardown, test_arrays_of_numpy_are_read,
        test_headers_of_every_version_are_read, test_every_type_and_byte_order_of_numpy_is_read,
        test_arrays_that_are_no_ids_are_refused,
        test_integers_alone_are_as_wide_as_they_are_said_to_be,
        test_ids_of_64_bits_are_not_taken_for_fewer, test_ids_of_32_bits_are_not_taken_for_16,
        test_ids_that_are_said_to_have_16_bits_are_doubted_where_every_second_is_0,
        test_ids_of_16_bits_are_not_taken_for_32, test_ids_in_the_other_byte_order_are_refused,
        test_ids_may_begin_as_a_pickle_does, test_files_of_llmc_are_read,
        test_damaged_files_of_llmc_are_refused,
        test_an_index_has_the_documents_by_each_of_its_names,
        test_an_index_and_its_ids_are_one_in_either_order, test_an_index_of_other_media_too_is_read,
        test_an_index_that_lies_is_refused, test_an_index_without_its_ids_is_refused,
        test_datasets_of_integers_are_read, test_parts_of_rows_are_read,
        test_datasets_that_are_no_ids_are_refused, test_why_a_dataset_of_ids_cannot_be_read_is_told,
        test_files_of_every_kind_make_one_row, test_many_files_need_few_open_ones,
        test_what_is_no_file_of_ids_is_refused, test_files_of_ids_are_told_by_their_names,
        test_wrong_ids_are_told_with_their_place,
        test_ids_are_taken_from_a_map_whose_pages_are_given_back,
        test_ids_are_read_where_address_space_is_limited,
        test_a_map_is_not_used_behind_the_end_of_its_file, test_a_file_that_shrinks_is_an_error,
        test_positions_beyond_32_bits_are_read);
}

MT_TEST_MAIN(token_ids_suite)
