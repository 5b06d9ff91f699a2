#include "train/command/ending.h"

#include <mixtape/weights.h>

#include "train/command/verbs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static volatile sig_atomic_t noted;
static int event = -1; /* can be read once a signal is noted, in whichever thread */

void catch_signal(int number, void (*handler)(int number), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags | SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        sigaction(number, &action, NULL);
    }
}

static void note(int number)
{
    const int error = errno;
    const uint64_t one = 1;
    noted = number;
    if (event >= 0 && write(event, &one, sizeof one) < 0) {
        noted = number; /* who waits is woken by the interruption alone */
    }
    errno = error;
}

static void catch_ending(void)
{
    static const int ending[] = {SIGHUP, SIGINT, SIGTERM};
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        catch_signal(ending[i], note, (int)SA_RESETHAND);
    }
}

void ending_catch(void)
{
    event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    catch_signal(SIGPIPE, note, 0); /* which each write gives */
    catch_signal(SIGXCPU, note, 0); /* which comes again with each second */
    catch_ending();
}

static bool is_over(void)
{
    return noted != 0;
}

void ending_catch_weights(void)
{
    catch_ending();
    catch_signal(SIGXCPU, note, 0);
    mt_weights_stop_when(is_over);
}

int ending_signal(void)
{
    return noted;
}

bool ending_wait_for(int file, short events)
{
    struct pollfd files[] = {{.fd = file, .events = events}, {.fd = event, .events = POLLIN}};
    while (noted == 0 && files[0].revents == 0) {
        if (poll(files, 2, -1) < 0 && errno != EINTR) {
            break; /* whoever reads finds out */
        }
    }
    return noted == 0;
}

int ending_status(void)
{
    if (noted == SIGPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    return EXIT_SIGNAL + noted;
}
