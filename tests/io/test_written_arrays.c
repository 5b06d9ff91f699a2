/* Arrays as they are written: by chunks, with the checksum that HDF5's filter looks at when it
 * reads them. */
#include "io/archive.h"
#include "io/fletcher32.h"
#include "io/saver.h"
#include "io/weights_file.h"
#include "tests/io/io_test.h"

#include <hdf5.h>
#include <math.h>
#include <unistd.h>

/* Two sums, number by number. */
static void plain_fletcher32(const unsigned char *bytes, size_t size, char sum[MT_CHECKSUM_BYTES])
{
    uint64_t first = 0, second = 0;
    for (size_t i = 0; i < size; i += 2) {
        first += 256U * bytes[i] + (i + 1 < size ? bytes[i + 1] : 0U);
        first = first > 65535 ? first - 65535 : first;
        second += first;
        second = second > 65535 ? second - 65535 : second;
    }
    for (int i = 0; i < MT_CHECKSUM_BYTES; i++) {
        sum[i] = (char)((second << 16 | first) >> 8 * i);
    }
}

/* In parts of so many bytes, the last one at the end, those before it from the second last to the
 * first. */
static void sum_backwards(const unsigned char *bytes, size_t size, size_t part,
                          char checksum[MT_CHECKSUM_BYTES])
{
    mt_chunk_sum sum;
    size_t before = size > 0 ? (size - 1) / part : 0;
    mt_fletcher32_begin(&sum, size);
    for (size_t parts = before; parts > 0; parts--) {
        size_t from = (parts - 1) * part;
        mt_fletcher32_add(&sum, from, bytes + from, part);
    }
    mt_fletcher32_took(&sum, before * part);
    mt_fletcher32_end(&sum, bytes, checksum);
}

START_TEST(test_the_checksum_is_that_of_its_formula)
{
    enum { MOST = 1 << 19 };
    static unsigned char bytes[MOST];
    uint64_t state = 1;
    const size_t sizes[] = {0,    1,    2,    3,    4,     511,          512,      513,
                            1024, 1025, 1540, 1541, 65536, MOST - 65535, MOST - 1, MOST};
    const size_t parts[] = {2, 514, 1 << 16, 131070, 131072};
    char plain[MT_CHECKSUM_BYTES], found[MT_CHECKSUM_BYTES];
    for (int kind = 0; kind < 3; kind++) { /* zeros, the largest numbers, any */
        for (size_t i = 0; i < MOST; i++) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            bytes[i] = (unsigned char)(kind == 0 ? 0 : kind == 1 ? 255 : state >> 56);
        }
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            plain_fletcher32(bytes, sizes[i], plain);
            mt_fletcher32(bytes, sizes[i], found);
            ck_assert_mem_eq(found, plain, sizeof plain);
            for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
                sum_backwards(bytes, sizes[i], parts[p], found);
                ck_assert_mem_eq(found, plain, sizeof plain);
            }
        }
    }
}
END_TEST

/* An array, a chunk of which is of the rows that 16 MiB hold. */
typedef struct array_case {
    mt_dtype dtype;
    int rank;
    int64_t shape[3];
} array_case;

static const array_case cases[] = {
    {MT_F32, 0, {0}},
    {MT_F32, 1, {1}},
    {MT_F64, 1, {1}},
    {MT_F32, 2, {3, 7}},
    {MT_F64, 3, {2, 1, 5}},
    {MT_I32, 1, {5}},
    {MT_F32, 1, {(4 << 20) + 2}},    /* two chunks */
    {MT_F32, 2, {5, 2 << 20}},       /* chunks of two rows, and one row */
    {MT_F64, 2, {2, (2 << 20) + 1}}, /* a row is more than a chunk */
    {MT_I32, 2, {3, 3 << 20}},
};
enum { CASES = sizeof cases / sizeof *cases };

static int64_t count_of(const array_case *array)
{
    int64_t count = 1;
    for (int i = 0; i < array->rank; i++) {
        count *= array->shape[i];
    }
    return count;
}

/* Numbers of which no two that are near are the same, none of them zero. */
static void *make_values(const array_case *array)
{
    int64_t count = count_of(array);
    void *values = malloc((size_t)count * mt_dtype_size(array->dtype));
    for (int64_t i = 0; i < count; i++) {
        double value = (double)(1 + i % 1000003);
        if (array->dtype == MT_F64) {
            ((double *)values)[i] = value;
        } else if (array->dtype == MT_F32) {
            ((float *)values)[i] = (float)value;
        } else {
            ((int32_t *)values)[i] = (int32_t)value;
        }
    }
    return values;
}

/* As weights are: threads copy, check and sum it. */
static void write_walked(mt_archive *archive, const char *name, const array_case *array,
                         void *values)
{
    mt_array item = {.name = (char *)(uintptr_t)name,
                     .dtype = array->dtype,
                     .rank = array->rank,
                     .data = values};
    memcpy(item.shape, array->shape, sizeof array->shape);
    mt_archive_write_arrays(archive, "/", &(mt_arrays){.count = 1, .items = &item});
}

/* Both arrays of a file are this one; integers are no weights. */
static void write_case(const char *path, const array_case *array, void *values)
{
    mt_archive *archive;
    ASSERT_OK(mt_archive_create(path, &archive));
    mt_archive_write_array(archive, "/", "a", array->dtype, array->rank, array->shape, values);
    if (array->dtype == MT_I32) {
        mt_archive_write_array(archive, "/", "b", array->dtype, array->rank, array->shape, values);
    } else {
        write_walked(archive, "b", array, values);
    }
    ASSERT_OK(mt_archive_close(archive));
}

static void check_dataset(hid_t file, const char *name, const array_case *array, const void *values)
{
    size_t bytes = (size_t)count_of(array) * mt_dtype_size(array->dtype);
    hid_t type = array->dtype == MT_F32   ? H5T_NATIVE_FLOAT
                 : array->dtype == MT_F64 ? H5T_NATIVE_DOUBLE
                                          : H5T_NATIVE_INT32;
    void *read = malloc(bytes);
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    ck_assert_int_ge(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, read), 0);
    ck_assert_mem_eq(read, values, bytes);
    H5Dclose(dataset);
    free(read);
}

START_TEST(test_hdf5_reads_what_was_written)
{
    const array_case *array = &cases[_i];
    const char *path = in_folder("a.h5");
    void *values = make_values(array);
    write_case(path, array, values);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    check_dataset(file, "/a", array, values);
    check_dataset(file, "/b", array, values);
    H5Fclose(file);
    free(values);
}
END_TEST

/* What lies behind an array's last row is read where the array is made longer, and there alone. */
START_TEST(test_what_a_chunk_holds_behind_the_last_row_is_no_number)
{
    const int64_t rows = (8 << 20) + 2, length = (rows + 2) / 3, rest = 3 * length - rows;
    const array_case array = {MT_F32, 1, {rows}};
    const char *path = in_folder("a.h5");
    const hsize_t offset = 2 * (hsize_t)length; /* of the last of three chunks */
    void *values = make_values(&array);
    uint32_t filters = 1;
    write_case(path, &array, values);
    float *chunk = malloc((size_t)length * sizeof *chunk + 4);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(file, "/a", H5P_DEFAULT);
    ck_assert_int_ge(H5Dread_chunk(dataset, H5P_DEFAULT, &offset, &filters, chunk), 0);
    ck_assert_uint_eq(filters, 0);
    int64_t numbers = 0;
    for (int64_t i = 0; i < length; i++) {
        numbers += !isnan(chunk[i]);
    }
    ck_assert_int_eq(rest, 2);
    ck_assert_int_eq(numbers, length - rest);
    ck_assert(isnan(chunk[length - 1]));
    H5Dclose(dataset);
    H5Fclose(file);
    free(chunk);
    free(values);
}
END_TEST

/* ---- by a saver, which has the values of all at once ---- */

enum { SAVED = 6 };
static const array_case saved[SAVED] = {
    {MT_F32, 1, {3}},  {MT_F32, 0, {0}},       {MT_F32, 2, {130, 513}},
    {MT_F64, 1, {77}}, {MT_F32, 2, {1, 2000}}, {MT_F32, 2, {5, 2 << 20}},
};
static const char *const saved_names[SAVED] = {"a", "b", "c", "d", "e", "f"};

static void make_saved(mt_array items[SAVED])
{
    for (int i = 0; i < SAVED; i++) {
        items[i] = (mt_array){.name = (char *)(uintptr_t)saved_names[i],
                              .dtype = saved[i].dtype,
                              .rank = saved[i].rank,
                              .data = make_values(&saved[i])};
        memcpy(items[i].shape, saved[i].shape, sizeof saved[i].shape);
    }
}

static void free_saved(mt_array items[SAVED])
{
    for (int i = 0; i < SAVED; i++) {
        free(items[i].data);
    }
}

static mt_status save_all(mt_saver *saver, const char *path, mt_array items[SAVED])
{
    mt_archive *archive;
    ASSERT_OK(mt_archive_create(path, &archive));
    mt_archive_save_by(archive, saver);
    mt_archive_write_arrays(archive, "/", &(mt_arrays){.count = SAVED, .items = items});
    return mt_archive_close(archive);
}

/* Memory changes as soon as the archive is closed, and the same saver has another file. */
START_TEST(test_a_saver_writes_what_was_there_when_it_began)
{
    const char *path = in_folder("saved.h5");
    mt_saver *saver;
    mt_array items[SAVED];
    make_saved(items);
    ASSERT_OK(mt_saver_create(&saver));
    for (int file = 0; file < 2; file++) {
        ASSERT_OK(save_all(saver, path, items));
        for (int i = 0; i < SAVED; i++) {
            memset(items[i].data, 0xFF,
                   (size_t)count_of(&saved[i]) * mt_dtype_size(saved[i].dtype));
        }
        ASSERT_OK(mt_saver_wait(saver));
        free_saved(items);
        make_saved(items);
        hid_t read = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
        for (int i = 0; i < SAVED; i++) {
            check_dataset(read, saved_names[i], &saved[i], items[i].data);
        }
        H5Fclose(read);
    }
    mt_saver_destroy(saver);
    free_saved(items);
}
END_TEST

START_TEST(test_a_saver_is_told_of_the_first_wrong_value)
{
    const char *path = in_folder("saved.h5");
    mt_saver *saver;
    mt_array items[SAVED];
    make_saved(items);
    ASSERT_OK(mt_saver_create(&saver));
    ((float *)items[5].data)[9 << 20] = -HUGE_VALF; /* the last row, a chunk of its own */
    ASSERT_FAILS(save_all(saver, path, items), MT_ERROR_NUMERIC,
                 "/f: element 9437184 is -inf, and not saved");
    ((double *)items[3].data)[76] = NAN;
    ((float *)items[2].data)[66689] = NAN;
    ((float *)items[2].data)[20000] = HUGE_VALF;
    ASSERT_FAILS(save_all(saver, path, items), MT_ERROR_NUMERIC,
                 "/c: element 20000 is inf, and not saved");
    ck_assert_int_ne(access(path, F_OK), 0);
    mt_saver_destroy(saver);
    free_saved(items);
}
END_TEST

static Suite *written_arrays_suite(void)
{
    Suite *suite = suite_create("io/written_arrays");
    TCase *tests = tcase_create("written arrays");
    tcase_add_checked_fixture(tests, io_setup, io_teardown);
    tcase_add_test(tests, test_the_checksum_is_that_of_its_formula);
    tcase_add_loop_test(tests, test_hdf5_reads_what_was_written, 0, CASES);
    tcase_add_test(tests, test_what_a_chunk_holds_behind_the_last_row_is_no_number);
    tcase_add_test(tests, test_a_saver_writes_what_was_there_when_it_began);
    tcase_add_test(tests, test_a_saver_is_told_of_the_first_wrong_value);
    suite_add_tcase(suite, tests);
    return suite;
}

MT_TEST_MAIN(written_arrays_suite)
