/* The gradient of a table of parameters, of which a batch uses few rows: whatever was used before,
 * it is that of the batches since it was forgotten, and rows without a use are not written. */
#include <mixtape/model.h>

#include "kernels/device.h"
#include "layers/layer.h"
#include "tests/autograd/graph_test.h"
#include "tests/check_main.h"

enum { V = 5, C = 2 };

static mt_parameters *parameters;
static mt_tensor *table;

static void table_setup(void)
{
    graph_setup();
    ck_assert_int_eq(mt_parameters_create(test_device, MT_F64, &parameters), MT_OK);
    table = mt_parameters_add(parameters, "", "table", SHAPE(V, C), mt_initial_constant(1.0));
    mt_parameters_set_table(parameters);
    ck_assert_int_eq(mt_parameters_allocate(parameters, 1), MT_OK);
}

static void table_teardown(void)
{
    mt_parameters_destroy(parameters);
    graph_teardown();
}

typedef mt_tensor *use_of_table(mt_tape *tape, mt_tensor *indices);

/* The sum of rows; its gradient is 1 for each use. */
static mt_tensor *rows_of(mt_tape *tape, mt_tensor *indices)
{
    return mt_embedding(tape, indices, table, -1);
}

static mt_tensor *rows_of_view(mt_tape *tape, mt_tensor *indices)
{
    return mt_embedding(tape, indices, mt_view(tape, table, SHAPE(V, C)), -1);
}

static mt_tensor *all_of(mt_tape *tape, mt_tensor *indices)
{
    (void)tape;
    (void)indices;
    return table;
}

static mt_tensor *rows_and_all(mt_tape *tape, mt_tensor *indices)
{
    return mt_add(tape, mt_sum(tape, rows_of(tape, indices)), mt_sum(tape, table));
}

static mt_tensor *all_and_rows(mt_tape *tape, mt_tensor *indices)
{
    mt_tensor *all = mt_sum(tape, table);
    return mt_add(tape, all, mt_sum(tape, rows_of(tape, indices)));
}

static mt_tensor *rows_twice(mt_tape *tape, mt_tensor *indices)
{
    return mt_add(tape, rows_of(tape, indices), rows_of_view(tape, indices));
}

/* Backward of one batch, which uses two rows. */
static void backward(use_of_table *use, int32_t first, int32_t second)
{
    mt_tape_reset(test_tape);
    mt_tape_reset(value_tape);
    mt_tensor *indices = index_tensor(SHAPE(2), (int32_t[]){first, second});
    ck_assert_int_eq(mt_backward(test_tape, mt_sum(test_tape, use(test_tape, indices))), MT_OK);
}

static void assert_grad(const double *expected_of_row)
{
    double grad[V * C];
    ck_assert_int_eq(mt_tensor_read_grad(table, grad), MT_OK);
    for (int i = 0; i < V * C; i++) {
        ck_assert_double_eq(grad[i], expected_of_row[i / C]);
    }
}

#define ASSERT_GRAD(...) assert_grad((const double[V]){__VA_ARGS__})

START_TEST(test_the_gradient_is_that_of_the_last_batch)
{
    backward(rows_of, 0, 3);
    ASSERT_GRAD(1, 0, 0, 1, 0);
    mt_parameters_renew_grad(parameters);
    backward(rows_of, 4, 4);
    ASSERT_GRAD(0, 0, 0, 0, 2);
    mt_parameters_renew_grad(parameters);
    backward(rows_of, 1, 0);
    ASSERT_GRAD(1, 1, 0, 0, 0);
}
END_TEST

START_TEST(test_batches_add_up_until_they_are_forgotten)
{
    backward(rows_of, 0, 3);
    backward(rows_of, 3, 1);
    ASSERT_GRAD(1, 1, 0, 2, 0);
    mt_parameters_renew_grad(parameters);
    backward(rows_of, 2, 2);
    backward(rows_of, 1, 2);
    ASSERT_GRAD(0, 1, 3, 0, 0);
}
END_TEST

/* Each way to use the table, with each other before and behind it. */
START_TEST(test_other_uses_of_the_table_count_as_well)
{
    static const struct {
        use_of_table *use;
        double of_used, of_others; /* rows 1 and 2, the rest */
    } ways[] = {{rows_of, 1.0, 0.0},      {rows_of_view, 1.0, 0.0}, {all_of, 1.0, 1.0},
                {rows_and_all, 2.0, 1.0}, {all_and_rows, 2.0, 1.0}, {rows_twice, 2.0, 0.0}};
    for (int i = 0; i < 36; i++) {
        double first = ways[i / 6].of_used, first_of_others = ways[i / 6].of_others;
        double second = ways[i % 6].of_used, second_of_others = ways[i % 6].of_others;
        double both = first + second, both_of_others = first_of_others + second_of_others;
        mt_parameters_renew_grad(parameters);
        backward(ways[i / 6].use, 1, 2);
        ASSERT_GRAD(first_of_others, first, first, first_of_others, first_of_others);
        mt_parameters_renew_grad(parameters);
        backward(ways[i % 6].use, 1, 2);
        ASSERT_GRAD(second_of_others, second, second, second_of_others, second_of_others);
        backward(ways[i / 6].use, 1, 2);
        ASSERT_GRAD(both_of_others, both, both, both_of_others, both_of_others);
    }
}
END_TEST

/* What is written to the gradient behind the tape's back: by a program that adds up gradients of
 * several processes, say. */
static void write_row(int64_t row, double value)
{
    double values[C] = {value, value};
    ck_assert_int_eq(
        test_device->write(test_device, (double *)table->grad + row * C, values, sizeof values),
        MT_OK);
}

START_TEST(test_rows_without_a_use_are_not_written)
{
    backward(rows_of, 0, 3);
    write_row(2, 7.0);
    mt_parameters_renew_grad(parameters);
    backward(rows_of, 4, 1);
    ASSERT_GRAD(0, 1, 7, 0, 1);
}
END_TEST

START_TEST(test_a_forgotten_gradient_may_hold_anything)
{
    backward(rows_of, 0, 3);
    write_row(2, 7.0);
    mt_parameters_zero_grad(parameters);
    backward(rows_of, 4, 1);
    ASSERT_GRAD(0, 1, 0, 0, 1);
    mt_parameters_renew_grad(parameters);
    backward(rows_of, 0, 0);
    ASSERT_GRAD(2, 0, 0, 0, 0);
}
END_TEST

static Suite *tables_suite(void)
{
    return SUITE_WITH(
        "layers/tables", table_setup, table_teardown, test_the_gradient_is_that_of_the_last_batch,
        test_batches_add_up_until_they_are_forgotten, test_other_uses_of_the_table_count_as_well,
        test_rows_without_a_use_are_not_written, test_a_forgotten_gradient_may_hold_anything);
}

MT_TEST_MAIN(tables_suite)
