/* Memory of a device, reading it later, recordings that come to nothing, and traces. */
#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

/* Some more than any device's staging holds, and none of a round size. */
static const size_t sizes[] = {1, 42, 299, 4096, (9 << 20) + 3};

enum { SIZES = sizeof sizes / sizeof *sizes };

static unsigned char *host_bytes(size_t bytes)
{
    unsigned char *memory = malloc(bytes);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

static void check_copies(kernel_build *build)
{
    mt_device *device = build->device;
    for (int s = 0; s < SIZES; s++) {
        size_t bytes = sizes[s];
        unsigned char *from = host_bytes(bytes), *to = host_bytes(bytes);
        void *a, *b;
        assert_ok(device->allocate(device, bytes, &a));
        assert_ok(device->allocate(device, bytes, &b));
        ck_assert_uint_eq((uintptr_t)a % 64, 0);
        for (size_t i = 0; i < bytes; i++) {
            from[i] = (unsigned char)(i * 7 + i / 251 + 1);
        }
        assert_ok(device->write(device, a, from, bytes));
        assert_ok(device->copy(device, b, a, bytes));
        assert_ok(device->zero(device, a, bytes));
        assert_ok(device->read_back(device, to, b, bytes));
        ck_assert_int_eq(memcmp(from, to, bytes), 0);
        assert_ok(device->read_back(device, to, a, bytes));
        size_t left = 0;
        for (size_t i = 0; i < bytes; i++) {
            left += to[i] != 0;
        }
        ck_assert_uint_eq(left, 0);
        assert_ok(device->synchronize(device));
        device->release(device, a);
        device->release(device, b);
        free(from);
        free(to);
    }
    device->release(device, NULL);
}

START_TEST(test_memory_is_aligned_written_copied_and_zeroed)
{
    for_each_build(check_copies);
}
END_TEST

static void check_no_bytes(kernel_build *build)
{
    void *memory;
    assert_ok(build->device->allocate(build->device, 0, &memory));
    ck_assert_ptr_nonnull(memory);
    assert_ok(build->device->write(build->device, memory, "", 0));
    build->device->release(build->device, memory);
}

START_TEST(test_no_bytes_are_memory_too)
{
    for_each_build(check_no_bytes);
}
END_TEST

/* Every slot keeps what was there when it was asked for. */
static void check_slots(kernel_build *build)
{
    mt_device *device = build->device;
    void *memory;
    assert_ok(device->allocate(device, MT_READ_BYTES, &memory));
    for (int slot = 0; slot < MT_READ_SLOTS; slot++) {
        unsigned char content[MT_READ_BYTES];
        memset(content, slot, sizeof content);
        assert_ok(device->write(device, memory, content, sizeof content));
        assert_ok(device->read_later(device, slot, memory, sizeof content));
    }
    for (int slot = MT_READ_SLOTS - 1; slot >= 0; slot--) {
        unsigned char content[MT_READ_BYTES], expected[MT_READ_BYTES];
        memset(expected, slot, sizeof expected);
        assert_ok(device->read_arrived(device, slot, content, sizeof content));
        ck_assert_int_eq(memcmp(content, expected, sizeof content), 0);
    }
    device->release(device, memory);
}

START_TEST(test_slots_keep_what_was_there)
{
    for_each_build(check_slots);
}
END_TEST

/* An error while work is recorded: the recording ends, the message stays, the device goes on. */
static void check_abandoned(kernel_build *build)
{
    mt_device *device = build->device;
    if (device->record == NULL) {
        return;
    }
    unsigned char content[4] = {1, 2, 3, 4}, back[4];
    void *memory;
    mt_recording *recording;
    assert_ok(device->allocate(device, sizeof content, &memory));
    assert_ok(device->write(device, memory, content, sizeof content));
    for (int waits = 0; waits < 2; waits++) {
        assert_ok(device->record(device));
        assert_ok(device->zero(device, memory, sizeof content));
        if (waits) { /* which no recording allows, and which spoils it */
            ck_assert_int_eq(device->synchronize(device), MT_ERROR_DEVICE);
        }
        mt_fail(MT_ERROR_NUMERIC, "what went wrong");
        assert_ok(device->recorded(device, NULL));
        ck_assert_str_eq(mt_error_message(), "what went wrong");
        assert_ok(device->read_back(device, back, memory, sizeof back));
        ck_assert_int_eq(memcmp(content, back, sizeof back), 0);
    }
    assert_ok(device->record(device));
    ck_assert_int_eq(device->synchronize(device), MT_ERROR_DEVICE);
    ck_assert_int_eq(device->recorded(device, &recording), MT_ERROR_DEVICE);
    ck_assert_ptr_null(recording);
    assert_ok(device->record(device));
    assert_ok(device->zero(device, memory, sizeof content));
    assert_ok(device->recorded(device, &recording));
    assert_ok(device->replay(device, recording));
    device->forget(device, recording);
    assert_ok(device->read_back(device, back, memory, sizeof back));
    ck_assert_int_eq(back[0] | back[1] | back[2] | back[3], 0);
    device->release(device, memory);
}

START_TEST(test_a_recording_that_failed_leaves_nothing_behind)
{
    for_each_build(check_abandoned);
}
END_TEST

enum { MOST_TRACED = 512 };

typedef struct traced_names {
    int count, most;
    const char *names[MOST_TRACED];
} traced_names;

static mt_status note_name(void *context, const char *kernel, double seconds)
{
    traced_names *names = context;
    ck_assert(seconds >= 0.0);
    if (names->count == names->most) {
        return mt_fail(MT_ERROR_INVALID, "more than %d", names->most);
    }
    names->names[names->count++] = kernel;
    return MT_OK;
}

static void check_traces(kernel_build *build)
{
    mt_device *device = build->device;
    enum { N = 100, MANY_CALLS = 300 };
    size_t bytes = N * mt_dtype_size(build->dtype);
    void *x, *y;
    if (device->trace == NULL) {
        ck_assert_ptr_null(device->traced);
        return;
    }
    x = blank_bytes(build, bytes);
    y = blank_bytes(build, bytes);
    traced_names names = {.most = MOST_TRACED};
    assert_ok(device->trace(device));
    assert_ok(build->kernels->fill(device, N, 2.0, x));
    assert_ok(build->kernels->sum(device, N, 1.0, x, y));
    assert_ok(device->copy(device, y, x, bytes));
    assert_ok(device->traced(device, note_name, &names));
    static const char *const expected[] = {"fill", "sum", "sum total", "copying on the device"};
    ck_assert_int_eq(names.count, 4);
    for (int i = 0; i < names.count; i++) {
        ck_assert_str_eq(names.names[i], expected[i]);
    }

    assert_ok(build->kernels->fill(device, N, 1.0, x)); /* in no trace */
    assert_ok(device->trace(device));
    for (int i = 0; i < MANY_CALLS; i++) {
        assert_ok(build->kernels->add(device, N, x, x, y));
    }
    names = (traced_names){.most = MOST_TRACED};
    assert_ok(device->traced(device, note_name, &names));
    ck_assert_int_eq(names.count, MANY_CALLS);
    ck_assert_str_eq(names.names[0], "add");

    assert_ok(device->trace(device));
    assert_ok(build->kernels->fill(device, N, 2.0, x));
    assert_ok(build->kernels->fill(device, N, 2.0, y));
    names = (traced_names){.most = 1};
    assert_fails_with(device->traced(device, note_name, &names), MT_ERROR_INVALID, "more than 1");
    assert_ok(device->trace(device));
    assert_ok(build->kernels->fill(device, N, 2.0, x));
    mt_fail(MT_ERROR_INVALID, "kept");
    assert_ok(device->traced(device, NULL, NULL));
    ck_assert_str_eq(mt_error_message(), "kept");
    names = (traced_names){.most = MOST_TRACED};
    assert_ok(device->trace(device));
    assert_ok(device->traced(device, note_name, &names));
    ck_assert_int_eq(names.count, 0);
}

START_TEST(test_a_trace_has_every_call_in_order_and_nothing_else)
{
    for_each_build(check_traces);
}
END_TEST

/* A device poisons if it is asked to, as the tests ask, and has nothing to poison with if not. */
static void check_poison(kernel_build *build)
{
    mt_device *device = build->device, *unasked;
    enum { BYTES = 64 };
    unsigned char content[BYTES];
    void *memory;
    assert_ok(device->allocate(device, BYTES, &memory));
    assert_ok(device->zero(device, memory, BYTES));
    assert_ok(mt_poison(device, memory, BYTES - 1));
    assert_ok(device->read_back(device, content, memory, BYTES));
    for (int i = 0; i < BYTES - 1; i++) {
        ck_assert_int_eq(content[i], 0xFF);
    }
    ck_assert_int_eq(content[BYTES - 1], 0);

    unsetenv("MIXTAPE_POISON");
    assert_ok(mt_device_open(device->name, &unasked));
    setenv("MIXTAPE_POISON", "1", 1);
    ck_assert_ptr_null(unasked->poison);
    assert_ok(mt_poison(unasked, memory, BYTES));
    mt_device_close(unasked);
    device->release(device, memory);
}

START_TEST(test_memory_is_poisoned_where_that_was_asked_for)
{
    for_each_build(check_poison);
}
END_TEST

static Suite *memory_suite(void)
{
    return SUITE("memory", test_memory_is_aligned_written_copied_and_zeroed,
                 test_no_bytes_are_memory_too, test_slots_keep_what_was_there,
                 test_a_recording_that_failed_leaves_nothing_behind,
                 test_a_trace_has_every_call_in_order_and_nothing_else,
                 test_memory_is_poisoned_where_that_was_asked_for);
}

MT_TEST_MAIN(memory_suite)
