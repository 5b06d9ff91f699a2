/* Every test program has a suite and a main function. */
#ifndef MT_TESTS_CHECK_MAIN_H
#define MT_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

typedef void fixture(void);

/* A suite whose tests are yet to be added to `cases`, each between `setup` and `teardown` (NULL:
 * nothing). */
static inline Suite *suite_begin(const char *name, fixture *setup, fixture *teardown, TCase **cases)
{
    Suite *suite = suite_create(name);
    *cases = tcase_create(name);
    tcase_set_timeout(*cases, 300);
    tcase_add_checked_fixture(*cases, setup, teardown);
    suite_add_tcase(suite, *cases);
    return suite;
}

/* A suite of the given tests: in C, SUITE("adam", test_a, test_b), or SUITE_WITH("adam", setup,
 * teardown, test_a, test_b). */
static inline Suite *suite_of(const char *name, fixture *setup, fixture *teardown, int count,
                              const TTest *const *tests)
{
    TCase *cases;
    Suite *suite = suite_begin(name, setup, teardown, &cases);
    for (int i = 0; i < count; i++) {
        tcase_add_test(cases, tests[i]);
    }
    return suite;
}

#define SUITE_WITH(name, setup, teardown, ...)                                                     \
    suite_of(name, setup, teardown,                                                                \
             (int)(sizeof((const TTest *[]){__VA_ARGS__}) / sizeof(const TTest *)),                \
             (const TTest *[]){__VA_ARGS__})
#define SUITE(name, ...) SUITE_WITH(name, NULL, NULL, __VA_ARGS__)

/* The main function: runs the suite that `make` returns; status 1 if any test failed. CK_FORK=no
 * runs the tests in one process (for debuggers and sanitizers). Memory that
 * is to be written whole holds NaN before: what is read of it, or added to it, shows. */
#define MT_TEST_MAIN(make)                                                                         \
    int main(void)                                                                                 \
    {                                                                                              \
        setenv("MIXTAPE_POISON", "1", 0);                                                          \
        SRunner *runner = srunner_create(make());                                                  \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                          \
    }

#endif
