/* Every test program has a suite and a main function. */
#ifndef MT_TESTS_CHECK_MAIN_H
#define MT_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

/* A suite of the given tests: in C, SUITE("adam", test_a, test_b). */
static inline Suite *suite_of(const char *name, int count, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    tcase_set_timeout(cases, 300);
    for (int i = 0; i < count; i++) {
        tcase_add_test(cases, tests[i]);
    }
    suite_add_tcase(suite, cases);
    return suite;
}

#define SUITE(name, ...)                                                                           \
    suite_of(name, (int)(sizeof((const TTest *[]){__VA_ARGS__}) / sizeof(const TTest *)),          \
             (const TTest *[]){__VA_ARGS__})

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
