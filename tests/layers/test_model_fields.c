/* The table of a model's fields: what is refused, by the ranges and the names that it says. */
#include <mixtape/model_fields.h>

#include "tests/check_main.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A model with room on both sides of every field's value. */
static mt_model_config sound_config(void)
{
    mt_model_config config = mt_model_config_default(7, 64);
    config.norm.kind = MT_RMS_NORM;
    return config;
}

static mt_model_config config_with(const mt_model_field *field, double value)
{
    mt_model_config config = sound_config();
    if (field->type == MT_MODEL_REAL) {
        mt_model_field_set_real(field, &config, value);
    } else {
        mt_model_field_set_whole(field, &config, (int64_t)value);
    }
    return config;
}

static void expect_refused(const mt_model_field *field, double value)
{
    mt_model_config config = config_with(field, value);
    char said[128];
    snprintf(said, sizeof said,
             field->type == MT_MODEL_REAL ? "model: %s is %g, not in " : "model: %s is %.0f, ",
             field->name, value);
    ck_assert_msg(mt_model_config_check(&config) == MT_ERROR_INVALID, "%s %g is accepted",
                  field->name, value);
    ck_assert_msg(strncmp(mt_error_message(), said, strlen(said)) == 0, "'%s' instead of '%s'",
                  mt_error_message(), said);
}

/* Another field may refuse the value in turn, but not this one. */
static void expect_in_range(const mt_model_field *field, double value)
{
    mt_model_config config = config_with(field, value);
    char said[128];
    snprintf(said, sizeof said, "model: %s is ", field->name);
    ck_assert_msg(mt_model_config_check(&config) == MT_OK ||
                      strncmp(mt_error_message(), said, strlen(said)) != 0,
                  "%s", mt_error_message());
}

#define FOR_EACH_FIELD(field)                                                                      \
    for (const mt_model_field *field = mt_model_fields(); field->name != NULL; field++)

START_TEST(test_sizes_beside_their_range_are_refused_by_name_and_value)
{
    FOR_EACH_FIELD(field)
    {
        if (field->type == MT_MODEL_SIZE || field->type == MT_MODEL_LABEL) {
            bool below = field->least != 1.0; /* 0 may stand for a default */
            expect_refused(field, below ? field->least - 1.0 : -1.0);
            expect_refused(field, field->most + 1.0);
            expect_in_range(field, field->least);
        }
    }
}
END_TEST

START_TEST(test_reals_beside_their_range_are_refused_by_name_and_value)
{
    FOR_EACH_FIELD(field)
    {
        if (field->type == MT_MODEL_REAL) {
            expect_refused(field, field->most);
            expect_in_range(field, nextafter(field->most, field->least));
            if (isfinite(field->least)) {
                expect_refused(field, field->least - 0.5);
                expect_in_range(field, field->least + 0.5);
            }
        }
    }
}
END_TEST

START_TEST(test_choices_without_a_name_are_refused)
{
    FOR_EACH_FIELD(field)
    {
        if (field->type == MT_MODEL_CHOICE) {
            int count = 0;
            while (field->choice(count) != NULL) {
                ck_assert_int_eq(mt_choice_find(field->choice, field->choice(count)), count);
                expect_in_range(field, count++);
            }
            ck_assert_int_ge(count, 2);
            ck_assert_int_eq(mt_choice_find(field->choice, "none of them"), -1);
            expect_refused(field, count);
            expect_refused(field, -1.0);
        }
    }
}
END_TEST

START_TEST(test_every_field_but_recompute_is_a_row)
{
    mt_model_config from = {.vocab_size = 1,
                            .input_size = 2,
                            .output_size = 3,
                            .block_size = 4,
                            .attention_size = 5,
                            .linear_size = 6,
                            .context_size = 7,
                            .num_blocks = 8,
                            .norm = {.kind = MT_BASIC_NORM, .eps = 9.0, .partial = 10.0},
                            .time_first = MT_TIME_FIRST_RWKV,
                            .bias = true,
                            .head_bias = true,
                            .padding_index = 11,
                            .embed_dropout = 12.0,
                            .att_dropout = 13.0,
                            .ffn_dropout = 14.0};
    mt_model_config to = {.vocab_size = 0};
    FOR_EACH_FIELD(field)
    {
        mt_model_field_copy(field, &from, &to);
    }
    ck_assert(to.vocab_size == 1 && to.input_size == 2 && to.output_size == 3);
    ck_assert(to.block_size == 4 && to.attention_size == 5 && to.linear_size == 6);
    ck_assert(to.context_size == 7 && to.num_blocks == 8);
    ck_assert(to.norm.kind == MT_BASIC_NORM && to.norm.eps == 9.0 && to.norm.partial == 10.0);
    ck_assert(to.time_first == MT_TIME_FIRST_RWKV && to.bias && to.head_bias);
    ck_assert(to.padding_index == 11 && to.embed_dropout == 12.0);
    ck_assert(to.att_dropout == 13.0 && to.ffn_dropout == 14.0 && !to.recompute);
}
END_TEST

START_TEST(test_what_no_label_can_be_is_refused_too)
{
    FOR_EACH_FIELD(field)
    {
        if (field->type == MT_MODEL_LABEL) {
            mt_model_config config = sound_config();
            mt_model_field_set_whole(field, &config, INT64_C(1) << 32);
            ck_assert_int_eq(mt_model_config_check(&config), MT_ERROR_INVALID);
            mt_model_field_set_whole(field, &config, -(INT64_C(1) << 32));
            ck_assert_int_eq(mt_model_config_check(&config), MT_ERROR_INVALID);
        }
    }
}
END_TEST

START_TEST(test_names_are_told_apart)
{
    FOR_EACH_FIELD(field)
    {
        for (const mt_model_field *other = mt_model_fields(); other < field; other++) {
            ck_assert_str_ne(field->name, other->name);
            ck_assert_str_ne(field->attribute, other->attribute);
            ck_assert(field->espnet == NULL || field->option != NULL);
            ck_assert(field->option == NULL || other->option == NULL ||
                      strcmp(field->option, other->option) != 0);
        }
    }
}
END_TEST

static bool is_listed(const char *name, const char *const *list)
{
    while (*list != NULL && strcmp(name, *list) != 0) {
        list++;
    }
    return *list != NULL;
}

START_TEST(test_a_run_that_goes_on_keeps_all_but_context_and_dropout)
{
    static const char *const free_to_change[] = {"context_size", "embed_dropout", "att_dropout",
                                                 "ffn_dropout",  "rescale_every", NULL};
    FOR_EACH_FIELD(field)
    {
        ck_assert_msg(field->option == NULL ||
                          field->fixed == !is_listed(field->name, free_to_change),
                      "%s", field->name);
    }
}
END_TEST

START_TEST(test_weights_fit_one_value_of_what_they_were_trained_with)
{
    static const char *const of_weights[] = {
        "block_size", "attention_size", "linear_size", "context_size",  "num_blocks", "norm.kind",
        "norm.eps",   "norm.partial",   "bias",        "rescale_every", NULL};
    FOR_EACH_FIELD(field)
    {
        ck_assert_msg(field->of_weights == is_listed(field->name, of_weights), "%s", field->name);
    }
}
END_TEST

/* An option's range has every value that the field can have, and what stands for a default. */
START_TEST(test_options_of_sizes_have_the_range_of_their_field)
{
    FOR_EACH_FIELD(field)
    {
        if (field->option != NULL && field->type == MT_MODEL_SIZE) {
            ck_assert_double_eq(field->option_most, field->most);
            ck_assert(field->option_least == field->least || field->option_least == 0.0);
        }
    }
}
END_TEST

START_TEST(test_a_size_that_zero_stands_for_is_positive)
{
    FOR_EACH_FIELD(field)
    {
        if (field->type == MT_MODEL_SIZE) {
            mt_model_config config = config_with(field, 0.0);
            config = mt_model_config_resolved(&config);
            ck_assert(mt_model_field_whole(field, &config) == 0 || field->least == 1.0);
        }
    }
}
END_TEST

START_TEST(test_models_have_two_types_by_name)
{
    ck_assert_str_eq(mt_model_dtype_name(MT_F32), "f32");
    ck_assert_str_eq(mt_model_dtype_name(MT_F64), "f64");
    ck_assert_ptr_null(mt_model_dtype_name(MT_I32));
}
END_TEST

static Suite *fields_suite(void)
{
    return SUITE("model fields", test_sizes_beside_their_range_are_refused_by_name_and_value,
                 test_reals_beside_their_range_are_refused_by_name_and_value,
                 test_choices_without_a_name_are_refused, test_every_field_but_recompute_is_a_row,
                 test_what_no_label_can_be_is_refused_too, test_names_are_told_apart,
                 test_a_run_that_goes_on_keeps_all_but_context_and_dropout,
                 test_weights_fit_one_value_of_what_they_were_trained_with,
                 test_options_of_sizes_have_the_range_of_their_field,
                 test_a_size_that_zero_stands_for_is_positive, test_models_have_two_types_by_name);
}

MT_TEST_MAIN(fields_suite)
