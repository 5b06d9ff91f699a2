/* Windows of token ids: where they may be, and that each is drawn and counted as it should be. */
#include "tests/io/io_test.h"
#include "train/id_windows.h"

enum { MOST = 64 };

/* ids.bin with the ids 0, 1, 2, ..., and an index of documents of these lengths, or none. */
static mt_token_ids *make_ids(int documents, const int32_t *lengths, int without_borders)
{
    char index[34 + 20 * MOST + 8] = "MMIDIDX\0";
    uint16_t values[MOST];
    int64_t count = without_borders, sequences = documents, borders = documents + 1, place = 0;
    index[9] = 1;
    index[17] = 8;
    memcpy(index + 18, &sequences, 8);
    memcpy(index + 26, &borders, 8);
    for (int64_t d = 0; d < documents; d++) {
        memcpy(index + 34 + 4 * d, &lengths[d], 4);
        memcpy(index + 34 + 4 * documents + 8 * d, &place, 8);
        memcpy(index + 34 + 12 * documents + 8 * d, &d, 8);
        place += 2 * lengths[d];
        count += lengths[d];
    }
    memcpy(index + 34 + 20 * documents, &sequences, 8);
    for (int i = 0; i < count; i++) {
        values[i] = (uint16_t)i;
    }
    const char *path = write_bytes("ids.bin", values, (size_t)count * sizeof *values);
    (void)remove(in_folder("ids.idx"));
    if (documents > 0) {
        write_bytes("ids.idx", index, 34 + 20 * (size_t)documents + 8);
    }
    mt_token_ids *ids;
    ASSERT_OK(mt_token_ids_open(&path, 1, MT_IDS_UINT16, &ids));
    return ids;
}

#define MAKE_IDS(...)                                                                              \
    make_ids(sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t),                             \
             (const int32_t[]){__VA_ARGS__}, 0)

static id_part whole(mt_token_ids *ids)
{
    return (id_part){ids, 0, mt_token_ids_count(ids)};
}

/* Draws many windows of T steps, and counts where they begin. Each lies in one document, and is as
 * long as that allows. */
static void draw(const id_part *part, int64_t T, int draws, int begins[MOST])
{
    mt_random random = mt_random_make(3, 5);
    memset(begins, 0, MOST * sizeof *begins);
    for (int i = 0; i < draws; i++) {
        mt_ids_span window;
        ASSERT_OK(id_part_draw(part, T, &random, &window));
        mt_ids_span document =
            mt_token_ids_document(part->ids, mt_token_ids_find(part->ids, window.first));
        ck_assert_int_ge(window.first, part->first);
        ck_assert_int_le(window.first + window.count, part->end);
        ck_assert_int_le(window.first + window.count, document.first + document.count);
        ck_assert(window.count == T + 1 || window.count == document.count);
        begins[window.first]++;
    }
}

START_TEST(test_windows_begin_everywhere_in_proportion_to_length)
{
    enum { DRAWS = 40000 };
    int begins[MOST];
    mt_token_ids *ids = MAKE_IDS(4, 1, 0, 10, 5);
    id_part part = whole(ids);
    draw(&part, 4, DRAWS, begins);
    /* Of the 19 ids in documents of two or more, the first has 4: one window, of all of it. */
    const double a_place = DRAWS / 19.0;
    const double wanted[MOST] = {
        [0] = 4 * a_place,       [5] = 10 * a_place / 6, [6] = 10 * a_place / 6,
        [7] = 10 * a_place / 6,  [8] = 10 * a_place / 6, [9] = 10 * a_place / 6,
        [10] = 10 * a_place / 6, [15] = 5 * a_place};
    for (int i = 0; i < MOST; i++) {
        ck_assert_double_ge(begins[i], 0.94 * wanted[i]);
        ck_assert_double_le(begins[i], 1.06 * wanted[i]);
    }
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_a_file_without_borders_is_drawn_from_where_its_split_is)
{
    int begins[MOST];
    mt_token_ids *ids = make_ids(0, NULL, 40);
    id_part part = {ids, 10, 20};
    draw(&part, 4, 2000, begins);
    for (int i = 0; i < MOST; i++) {
        ck_assert_int_eq(begins[i] > 0, i >= 10 && i < 16);
    }
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_documents_of_one_id_are_not_drawn)
{
    mt_token_ids *ids = MAKE_IDS(1, 1, 1);
    id_part part = whole(ids);
    mt_random random = mt_random_make(3, 5);
    mt_ids_span window;
    ASSERT_FAILS(id_part_draw(&part, 4, &random, &window), MT_ERROR_INVALID, "ids.bin",
                 "no document of two ids");
    mt_token_ids_close(ids);
}
END_TEST

/* Every id that has one before it in its document is the target of one window. */
static void check_consecutive(const id_part *part, int64_t T)
{
    int targets[MOST] = {0};
    id_windows windows;
    ASSERT_OK(id_windows_make(part, T, &windows));
    for (int64_t i = 0; i < windows.count; i++) {
        mt_ids_span window = id_windows_at(&windows, i);
        ck_assert_int_ge(window.count, 2);
        ck_assert_int_le(window.count, T + 1);
        ck_assert_int_eq(mt_token_ids_find(part->ids, window.first),
                         mt_token_ids_find(part->ids, window.first + window.count - 1));
        for (int64_t t = 1; t < window.count; t++) {
            targets[window.first + t]++;
        }
    }
    for (int64_t i = 0; i < MOST; i++) {
        bool within = i > part->first && i < part->end;
        bool follows =
            within && mt_token_ids_find(part->ids, i) == mt_token_ids_find(part->ids, i - 1);
        ck_assert_int_eq(targets[i], follows);
    }
    id_windows_free(&windows);
}

START_TEST(test_consecutive_windows_have_every_target_once)
{
    mt_token_ids *ids = MAKE_IDS(4, 1, 0, 10, 5, 2);
    for (int64_t T = 1; T < 12; T++) {
        id_part part = whole(ids);
        check_consecutive(&part, T);
        part.first = 5;
        check_consecutive(&part, T);
    }
    mt_token_ids_close(ids);
    ids = make_ids(0, NULL, 40);
    check_consecutive(&(id_part){ids, 7, 40}, 5);
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_windows_are_found_among_thousands_of_documents)
{
    enum { DOCUMENTS = 5000, LENGTH = 3 };
    static uint8_t values[DOCUMENTS * LENGTH];
    char file[10 + 64 + sizeof values] = "\x93NUMPY\x01";
    int length = snprintf(file + 10, 64,
                          "{'descr': '|u1', 'fortran_order': False, "
                          "'shape': (%d, %d)}",
                          DOCUMENTS, LENGTH);
    file[8] = (char)length;
    const char *path = write_bytes("a.npy", file, 10 + (size_t)length + sizeof values);
    mt_token_ids *ids;
    id_windows windows;
    ASSERT_OK(mt_token_ids_open(&path, 1, MT_IDS_UNSAID, &ids));
    ASSERT_OK(id_windows_make(&(id_part){ids, 3, DOCUMENTS * LENGTH}, 1, &windows));
    ck_assert_int_eq(windows.count, 2 * (DOCUMENTS - 1));
    for (int64_t i = 0; i < windows.count; i++) {
        ck_assert_int_eq(id_windows_at(&windows, i).first, 3 + i / 2 * LENGTH + i % 2);
    }
    id_windows_free(&windows);
    mt_token_ids_close(ids);
}
END_TEST

/* Where the share to validate on begins; -1: nowhere. */
static int64_t cut_of(mt_token_ids *ids, double share)
{
    id_part train, valid;
    mt_status status = id_part_split(ids, share, &train, &valid);
    ck_assert(status != MT_OK || (train.first == 0 && train.end == valid.first &&
                                  valid.end == mt_token_ids_count(ids)));
    return status == MT_OK ? valid.first : -1;
}

START_TEST(test_a_share_is_cut_off_at_borders)
{
    mt_token_ids *ids = MAKE_IDS(10, 10, 10, 10);
    ck_assert_int_eq(cut_of(ids, 0.1), 30);
    ck_assert_int_eq(cut_of(ids, 0.25), 30);
    ck_assert_int_eq(cut_of(ids, 0.3), 20);
    ck_assert_int_eq(cut_of(ids, 0.9), 10);
    ck_assert_int_eq(cut_of(ids, 0.01), -1);
    mt_token_ids_close(ids);
    ids = MAKE_IDS(30, 10);
    ck_assert_int_eq(cut_of(ids, 0.4), 30);
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_a_single_document_is_cut_itself)
{
    mt_token_ids *ids = MAKE_IDS(40);
    ck_assert_int_eq(cut_of(ids, 0.1), 36);
    mt_token_ids_close(ids);
}
END_TEST

START_TEST(test_a_share_of_a_file_without_borders_is_cut_anywhere)
{
    mt_token_ids *ids = make_ids(0, NULL, 40);
    ck_assert_int_eq(cut_of(ids, 0.1), 36);
    ck_assert_int_eq(cut_of(ids, 0.975), 1);
    ck_assert_int_eq(cut_of(ids, 0.001), -1);
    mt_token_ids_close(ids);
}
END_TEST

static Suite *id_windows_suite(void)
{
    return SUITE_WITH("train/id_windows", io_setup, io_teardown,
                      test_windows_begin_everywhere_in_proportion_to_length,
                      test_a_file_without_borders_is_drawn_from_where_its_split_is,
                      test_documents_of_one_id_are_not_drawn,
                      test_consecutive_windows_have_every_target_once,
                      test_windows_are_found_among_thousands_of_documents,
                      test_a_share_is_cut_off_at_borders, test_a_single_document_is_cut_itself,
                      test_a_share_of_a_file_without_borders_is_cut_anywhere);
}

MT_TEST_MAIN(id_windows_suite)
