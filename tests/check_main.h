/* The main function of every test program: runs the suite that `make` returns; status 1 if any test
 * failed. CK_FORK=no runs the tests in one process (for debuggers and sanitizers). */
#ifndef MT_TESTS_CHECK_MAIN_H
#define MT_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

#define MT_TEST_MAIN(make)                                                                         \
    int main(void)                                                                                 \
    {                                                                                              \
        SRunner *runner = srunner_create(make());                                                  \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                          \
    }

#endif
