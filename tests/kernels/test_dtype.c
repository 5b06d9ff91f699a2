/* The number types, and what bfloat16 keeps of a float32: of each of its numbers, and of what lies
 * between two. */
#include <mixtape/dtype.h>

#include "tests/check_main.h"
#include "tests/kernels/kernel_test.h"

START_TEST(test_types_have_sizes_names_and_a_wide_type)
{
    static const struct {
        mt_dtype dtype, wide;
        size_t size;
        const char *name;
    } types[] = {{MT_F32, MT_F32, 4, "f32"},   {MT_F64, MT_F64, 8, "f64"},
                 {MT_BF16, MT_F32, 2, "bf16"}, {MT_F16, MT_F32, 2, "f16"},
                 {MT_I32, MT_I32, 4, "i32"},   {MT_I8, MT_I8, 1, "i8"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        ck_assert_uint_eq(mt_dtype_size(types[i].dtype), types[i].size);
        ck_assert_str_eq(mt_dtype_name(types[i].dtype), types[i].name);
        ck_assert_int_eq(mt_dtype_wide(types[i].dtype), types[i].wide);
        ck_assert_int_eq(mt_dtype_is_real(types[i].dtype),
                         (int)types[i].dtype < (int)MT_REAL_DTYPES);
    }
}
END_TEST

/* ---- each bfloat16 ---- */

enum { NUMBERS = 1 << 16 };

static bool is_nan(uint32_t bits)
{
    return (bits & 0x7FFFFFFFu) > 0x7F800000u;
}

static uint32_t bits_of(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

START_TEST(test_reals_are_made_doubles_in_place)
{
    static double doubles[NUMBERS];
    static uint16_t every[NUMBERS];
    for (int i = 0; i < NUMBERS; i++) {
        every[i] = (uint16_t)i;
    }
    memcpy(doubles, every, sizeof every);
    mt_reals_widen(MT_BF16, NUMBERS, doubles);
    for (int i = 0; i < NUMBERS; i++) {
        uint32_t bits = (uint32_t)i << 16;
        ck_assert(is_nan(bits) ? isnan(doubles[i]) : bits_of((float)doubles[i]) == bits);
    }
    const float singles[] = {1.5f, -0.0f, 0x1p-149f, INFINITY, 3.0f};
    memcpy(doubles, singles, sizeof singles);
    mt_reals_widen(MT_F32, 5, doubles);
    for (int i = 0; i < 5; i++) {
        ck_assert_double_eq(doubles[i], (double)singles[i]);
    }
    doubles[0] = 0.1;
    mt_reals_widen(MT_F64, 1, doubles);
    ck_assert_double_eq(doubles[0], 0.1);
}
END_TEST

static void *upload_bits(kernel_build *build, const void *bits, size_t bytes)
{
    void *array = blank_bytes(build, bytes);
    assert_ok(build->device->write(build->device, array, bits, bytes));
    return array;
}

/* Each keeps its bits on the way to float32 and back, but that a NaN that signals comes back
 * quiet. */
static void check_every_number(kernel_build *build)
{
    static uint16_t every[NUMBERS], back[NUMBERS];
    static uint32_t wide[NUMBERS];
    for (int i = 0; i < NUMBERS; i++) {
        every[i] = (uint16_t)i;
    }
    void *x = upload_bits(build, every, sizeof every), *y = blank_bytes(build, sizeof wide),
         *z = blank_bytes(build, sizeof back);
    assert_ok(build->kernels->widen(build->device, NUMBERS, x, y));
    assert_ok(build->kernels->narrow(build->device, NUMBERS, y, z));
    assert_ok(build->device->read_back(build->device, wide, y, sizeof wide));
    assert_ok(build->device->read_back(build->device, back, z, sizeof back));
    for (uint32_t i = 0; i < NUMBERS; i++) {
        uint32_t bits = i << 16;
        if (is_nan(bits) ? !is_nan(wide[i]) || back[i] != (i | 0x40) || (wide[i] ^ bits) >> 31
                         : wide[i] != bits || back[i] != i) {
            ck_abort_msg("%s: %04x is widened to %08x and narrowed to %04x", build->name, i,
                         wide[i], back[i]);
        }
    }
}

START_TEST(test_each_bfloat16_is_widened_and_narrowed_to_itself)
{
    for_each_build_of(MT_BF16, MT_BF16, check_every_number);
}
END_TEST

/* ---- what lies between ---- */

/* The lower halves of float32 that lie behind each bfloat16: next to it, in the middle, next to
 * that, and next to the one that follows. */
static const uint16_t behind[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};

enum { BEHIND = sizeof behind / sizeof *behind };

static bool is_nearest(uint32_t bits, uint16_t narrow)
{
    float number, nearest;
    memcpy(&number, &bits, sizeof number);
    if (is_nan(bits)) {
        uint32_t quiet = 0x40 | bits >> 31 << 15;
        return is_nan((uint32_t)narrow << 16) && (narrow & 0x8040u) == quiet;
    }
    nearest = (float)nearest_of(MT_BF16, (double)number);
    return bits_of(nearest) == (uint32_t)narrow << 16;
}

/* Normal numbers and those below, ties to the even one, beyond the largest, NaN of all kinds. */
static void check_rounding(kernel_build *build)
{
    static uint32_t wide[NUMBERS * BEHIND];
    static uint16_t narrow[NUMBERS * BEHIND];
    for (uint32_t i = 0; i < NUMBERS * BEHIND; i++) {
        wide[i] = i / BEHIND << 16 | behind[i % BEHIND];
    }
    void *x = upload_bits(build, wide, sizeof wide), *y = blank_bytes(build, sizeof narrow);
    assert_ok(build->kernels->narrow(build->device, NUMBERS * BEHIND, x, y));
    assert_ok(build->device->read_back(build->device, narrow, y, sizeof narrow));
    for (uint32_t i = 0; i < NUMBERS * BEHIND; i++) {
        if (!is_nearest(wide[i], narrow[i])) {
            ck_abort_msg("%s: %08x is narrowed to %04x", build->name, wide[i], narrow[i]);
        }
    }
}

START_TEST(test_a_float32_is_rounded_to_the_nearest_of_two_the_even_one)
{
    for_each_build_of(MT_BF16, MT_BF16, check_rounding);
}
END_TEST

/* The rounding itself, by figures. */
static void check_figures(kernel_build *build)
{
    static const struct {
        double x, y;
    } figures[] = {
        {1.0 + 0x1p-8, 1.0},
        {1.0 + 0x3p-8, 1.0 + 0x1p-6},
        {-1.0 - 0x3p-8, -1.0 - 0x1p-6},
        {1.0 + 0x1.0002p-8, 1.00781250},
        {0.1, 0.10009765625},
        {65535.0, 65536.0},
        {0x1.FEp127, 0x1.FEp127},
        {0x1.FEFFFEp127, 0x1.FEp127},
        {0x1.FFp127, INFINITY},
        {-0x1.FFFFFEp127, -INFINITY},
        {INFINITY, INFINITY},
        {0x1p-133, 0x1p-133},
        {0x1p-134, 0.0},
        {0x1.8p-133, 0x1p-132},
        {-0x1.1p-134, -0x1p-133},
        {0x1.FFp-127, 0x1p-126},
    };
    enum { COUNT = sizeof figures / sizeof *figures };
    double values[COUNT];
    for (int i = 0; i < COUNT; i++) {
        values[i] = figures[i].x;
    }
    void *x = upload_wide(build, values, COUNT), *y = blank(build, COUNT);
    assert_ok(build->kernels->narrow(build->device, COUNT, x, y));
    const double *out = values_of(build, y, COUNT);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_msg(out[i] == figures[i].y && nearest_of(MT_BF16, figures[i].x) == figures[i].y,
                      "%s: %a is narrowed to %a", build->name, figures[i].x, out[i]);
    }
}

START_TEST(test_figures_that_are_rounded)
{
    for_each_build_of(MT_BF16, MT_BF16, check_figures);
}
END_TEST

/* ---- of every type ---- */

static void check_sizes(kernel_build *build)
{
    static const int64_t sizes[] = {0, 1, 3, 17, 33, MANY + 5};
    for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++) {
        int64_t n = sizes[size];
        void *narrow = uniform(build, n, -2.0, 2.0, 1),
             *wide = uniform_wide(build, n, -2.0, 2.0, 2);
        void *widened = blank_wide(build, n), *narrowed = blank(build, n);
        assert_ok(build->kernels->widen(build->device, n, narrow, widened));
        assert_ok(build->kernels->narrow(build->device, n, wide, narrowed));
        assert_close(build, "widened", widened, values_of(build, narrow, n), n, 0.0);
        assert_close(build, "narrowed", narrowed, values_of(build, wide, n), n, 0.0);
    }
}

START_TEST(test_numbers_of_each_type_are_widened_and_narrowed)
{
    for_each_build(check_sizes);
}
END_TEST

static Suite *dtype_suite(void)
{
    return SUITE("dtype", test_types_have_sizes_names_and_a_wide_type,
                 test_reals_are_made_doubles_in_place,
                 test_each_bfloat16_is_widened_and_narrowed_to_itself,
                 test_a_float32_is_rounded_to_the_nearest_of_two_the_even_one,
                 test_figures_that_are_rounded, test_numbers_of_each_type_are_widened_and_narrowed);
}

MT_TEST_MAIN(dtype_suite)
