/* What a reader of HDF5 refuses, and h5py cannot write (tests/io/test_hostile_files.py has the
 * rest). */
#include "io/archive.h"
#include "tests/io/io_test.h"

#include <hdf5.h>
#include <unistd.h>

/* A group of many names, which are kept as `filters` of deflate leave them. */
static const char *make_group(int filters)
{
    enum { NAMES = 64 };
    const char *path = in_folder("a.h5");
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    H5Pset_link_phase_change(creation, 0, 0);
    for (int i = 0; i < filters; i++) {
        H5Pset_deflate(creation, 9);
    }
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    hid_t group = H5Gcreate2(file, "/model", H5P_DEFAULT, creation, H5P_DEFAULT);
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        snprintf(name, sizeof name, "name%d", i);
        H5Gclose(H5Gcreate2(group, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
    H5Gclose(group);
    H5Pclose(creation);
    H5Pclose(access);
    ck_assert_int_ge(H5Fclose(file), 0);
    return path;
}

static void ignore_name(mt_archive *archive, const char *name, void *context)
{
    (void)archive;
    (void)name;
    (void)context;
}

static mt_status list_group(int filters)
{
    mt_archive *archive;
    ASSERT_OK(mt_archive_open(make_group(filters), &archive));
    mt_archive_visit(archive, "/model", ignore_name, NULL);
    return mt_archive_close(archive);
}

START_TEST(test_names_of_a_group_pass_no_filter)
{
    ASSERT_OK(list_group(0));
    ASSERT_FAILS(list_group(1), MT_ERROR_FORMAT, "a.h5: /model: 1 filters, where a group has none");
}
END_TEST

enum { VALUES = 300000 };

/* Values in one packed chunk, which is larger than what HDF5 keeps of itself. */
static const char *make_chunk(void)
{
    static int32_t values[VALUES];
    const char *path = in_folder("b.h5");
    for (int i = 0; i < VALUES; i++) {
        values[i] = i;
    }
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, (const hsize_t[]){VALUES}, NULL);
    hid_t packed = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(packed, 1, (const hsize_t[]){VALUES});
    H5Pset_deflate(packed, 1);
    hid_t made = H5Dcreate2(file, "/ids", H5T_STD_I32LE, space, H5P_DEFAULT, packed, H5P_DEFAULT);
    ck_assert_int_ge(H5Dwrite(made, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
    H5Dclose(made);
    H5Pclose(packed);
    H5Sclose(space);
    ck_assert_int_ge(H5Fclose(file), 0);
    return path;
}

/* How many bytes this process has read from files. */
static long bytes_read(void)
{
    char line[64] = "";
    const char *before = "rchar: ";
    FILE *file = fopen("/proc/self/io", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    fclose(file);
    ck_assert_int_eq(strncmp(line, before, strlen(before)), 0);
    return strtol(line + strlen(before), NULL, 10);
}

START_TEST(test_a_packed_chunk_is_read_once_for_all_of_its_pieces)
{
    enum { PIECES = 20, PIECE = 7 };
    mt_archive *archive;
    mt_dtype dtype = MT_I32;
    int rank;
    int64_t shape[MT_MAX_RANK];
    int32_t piece[PIECE];
    ASSERT_OK(mt_archive_open(make_chunk(), &archive));
    mt_archive_inspect_array(archive, "/", "ids", &dtype, &rank, shape);
    long first = 0;
    for (int i = 0; i < PIECES; i++) {
        int32_t at = (PIECES - i) * 9999;
        mt_archive_read_rows(archive, "/", "ids", MT_I32, at, PIECE, sizeof piece, piece);
        ASSERT_OK(mt_archive_status(archive));
        ck_assert_int_eq(piece[PIECE - 1], at + PIECE - 1);
        first = i == 0 ? bytes_read() : first;
    }
    ck_assert_int_lt(bytes_read() - first, 20000);
    ASSERT_OK(mt_archive_close(archive));
}
END_TEST

/* How often HDF5 was asked to read values (see tests/CMakeLists.txt). */
static int asked;

herr_t __real_H5Dread(hid_t dataset, hid_t type, hid_t in_memory, hid_t space, hid_t properties,
                      void *values);
herr_t __wrap_H5Dread(hid_t dataset, hid_t type, hid_t in_memory, hid_t space, hid_t properties,
                      void *values);
herr_t __wrap_H5Dread(hid_t dataset, hid_t type, hid_t in_memory, hid_t space, hid_t properties,
                      void *values)
{
    asked++;
    return __real_H5Dread(dataset, type, in_memory, space, properties, values);
}

/* Makes reading a chunk as it is fail, or skip its checksum (see tests/CMakeLists.txt). */
static enum { READS, FAILS, SKIPS } reading;

herr_t __real_H5Dread_chunk(hid_t dataset, hid_t properties, const hsize_t *offset,
                            uint32_t *skipped, void *chunk);
herr_t __wrap_H5Dread_chunk(hid_t dataset, hid_t properties, const hsize_t *offset,
                            uint32_t *skipped, void *chunk);
herr_t __wrap_H5Dread_chunk(hid_t dataset, hid_t properties, const hsize_t *offset,
                            uint32_t *skipped, void *chunk)
{
    herr_t read =
        reading != FAILS ? __real_H5Dread_chunk(dataset, properties, offset, skipped, chunk) : -1;
    *skipped |= reading == SKIPS;
    return read;
}

enum { ROWS = 6, COLUMNS = 5 };

/* How a matrix lies in a file. */
typedef struct matrix_kind {
    const char *what;
    int64_t chunk_rows, chunk_columns;
    bool sums, big_endian;
    unsigned deflate;
    hsize_t user_block;
    bool without_hdf5; /* two rows are read from the file as they are */
} matrix_kind;

static const matrix_kind matrix_kinds[] = {
    {"a chunk of the rows", 2, COLUMNS, true, false, 0, 0, true},
    {"behind bytes of a user's", 2, COLUMNS, true, false, 0, 512, true},
    {"no checksum", 2, COLUMNS, false, false, 0, 0, false},
    {"packed", 2, COLUMNS, true, false, 1, 0, false},
    {"the other order of bytes", 2, COLUMNS, true, true, 0, 0, false},
    {"chunks of more rows", 4, COLUMNS, true, false, 0, 0, false},
    {"chunks of fewer rows", 1, COLUMNS, true, false, 0, 0, false},
    {"chunks of fewer columns", 2, 3, true, false, 0, 0, false},
    {"no chunks", 0, 0, false, false, 0, 0, false},
};
enum { MATRIX_KINDS = sizeof matrix_kinds / sizeof *matrix_kinds };

static double value_at(int64_t i)
{
    return 0.25 * (double)i - 3;
}

static const char *make_matrix(const matrix_kind *kind)
{
    double values[ROWS * COLUMNS];
    const char *path = in_folder("c.h5");
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        values[i] = value_at(i);
    }
    hid_t creation = H5Pcreate(H5P_FILE_CREATE), properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_userblock(creation, kind->user_block);
    if (kind->chunk_rows > 0) {
        H5Pset_chunk(properties, 2,
                     (const hsize_t[]){(hsize_t)kind->chunk_rows, (hsize_t)kind->chunk_columns});
    }
    if (kind->deflate > 0) {
        H5Pset_deflate(properties, kind->deflate);
    }
    if (kind->sums) {
        H5Pset_fletcher32(properties);
    }
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, creation, H5P_DEFAULT);
    hid_t space = H5Screate_simple(2, (const hsize_t[]){ROWS, COLUMNS}, NULL);
    hid_t made = H5Dcreate2(file, "/matrix", kind->big_endian ? H5T_IEEE_F64BE : H5T_IEEE_F64LE,
                            space, H5P_DEFAULT, properties, H5P_DEFAULT);
    ck_assert_int_ge(H5Dwrite(made, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
    H5Dclose(made);
    H5Sclose(space);
    H5Pclose(properties);
    H5Pclose(creation);
    ck_assert_int_ge(H5Fclose(file), 0);
    return path;
}

static void check_rows(const matrix_kind *kind)
{
    mt_archive *archive;
    ASSERT_OK(mt_archive_open(make_matrix(kind), &archive));
    for (int64_t first = 0; first < ROWS; first += 2) {
        double rows[2 * COLUMNS];
        asked = 0;
        mt_archive_read_rows(archive, "/", "matrix", MT_F64, first, 2, sizeof rows, rows);
        ASSERT_OK(mt_archive_status(archive));
        ck_assert_msg(asked == !kind->without_hdf5, "%s: %d calls", kind->what, asked);
        for (int64_t i = 0; i < 2 * COLUMNS; i++) {
            ck_assert_double_eq(rows[i], value_at(first * COLUMNS + i));
        }
    }
    ASSERT_OK(mt_archive_close(archive));
}

START_TEST(test_rows_that_are_a_chunk_are_read_without_hdf5_and_others_by_it)
{
    for (int i = 0; i < MATRIX_KINDS; i++) {
        check_rows(&matrix_kinds[i]);
    }
}
END_TEST

START_TEST(test_rows_of_another_type_than_the_chunk_s_are_read_by_hdf5)
{
    float rows[2 * COLUMNS];
    mt_archive *archive;
    asked = 0;
    ASSERT_OK(mt_archive_open(make_matrix(&matrix_kinds[0]), &archive));
    mt_archive_read_rows(archive, "/", "matrix", MT_F32, 2, 2, sizeof rows, rows);
    ck_assert_int_eq(asked, 1);
    ck_assert_float_eq(rows[0], (float)value_at(2 * COLUMNS));
    ASSERT_OK(mt_archive_close(archive));
}
END_TEST

START_TEST(test_a_chunk_that_cannot_be_read_as_it_is_is_read_by_hdf5)
{
    const matrix_kind by_hdf5 = {"a chunk of the rows", 2, COLUMNS, true, false, 0, 0, false};
    reading = FAILS;
    check_rows(&by_hdf5);
    reading = SKIPS;
    check_rows(&by_hdf5);
    reading = READS;
}
END_TEST

/* HDF5 reads zeros behind its end. */
START_TEST(test_a_file_that_is_cut_while_it_is_read_is_told_of)
{
    for (int i = 0; i < MATRIX_KINDS; i++) {
        double rows[2 * COLUMNS];
        mt_archive *archive;
        const char *path = make_matrix(&matrix_kinds[i]);
        ASSERT_OK(mt_archive_open(path, &archive));
        mt_archive_read_rows(archive, "/", "matrix", MT_F64, 0, 2, sizeof rows, rows);
        ASSERT_OK(mt_archive_status(archive));
        ck_assert_int_eq(truncate(path, 1000), 0);
        mt_archive_read_rows(archive, "/", "matrix", MT_F64, 2, 2, sizeof rows, rows);
        ASSERT_FAILS(mt_archive_close(archive), MT_ERROR_IO, "c.h5: was cut from ");
    }
}
END_TEST

static Suite *hdf5_reader_suite(void)
{
    return SUITE_WITH("io/hdf5_reader", io_setup, io_teardown, test_names_of_a_group_pass_no_filter,
                      test_a_packed_chunk_is_read_once_for_all_of_its_pieces,
                      test_rows_that_are_a_chunk_are_read_without_hdf5_and_others_by_it,
                      test_rows_of_another_type_than_the_chunk_s_are_read_by_hdf5,
                      test_a_chunk_that_cannot_be_read_as_it_is_is_read_by_hdf5,
                      test_a_file_that_is_cut_while_it_is_read_is_told_of);
}

MT_TEST_MAIN(hdf5_reader_suite)
